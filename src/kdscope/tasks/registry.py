"""An immutable registry of tasks, the built-in ones, and the training sets that have a name.

A registry is a value: it is built from tasks, never filled in place, so two studies in one process cannot change
each other's tasks.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kdscope.core.catalogue import Catalogue
from kdscope.core.errors import DataError
from kdscope.tasks.declaration import Declaration, built_in_task, load_library
from kdscope.tasks.mini import mini_tasks
from kdscope.tasks.sources import Source, first_file
from kdscope.tasks.task import Task

_LIBRARY = (
    # Ramesh et al. 2025, in the order of its tables; named as the folders of LLM-Adapters (Hu et al. 2023).
    *("gsm8k", "SVAMP", "MultiArith", "AddSub", "AQuA", "SingleEq"),
    *("hellaswag", "boolq", "social_i_qa", "piqa", "ARC-Easy", "ARC-Challenge", "winogrande", "openbookqa"),
    # Gu et al. 2024 (MiniLLM): free text, scored by ROUGE-L against the best of the references.
    *("dolly", "self_inst", "vicuna", "s_ni", "unni"),
)
"""The files of `library`, a task each."""


@dataclass(frozen=True, slots=True)
class TaskRegistry:
    """An ordered, immutable collection of tasks, found by name or alias in any case.

    Raises:
        DataError: Two tasks share a name or an alias.
    """

    tasks: tuple[Task, ...]
    _by_key: Mapping[str, Task] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_key: dict[str, Task] = {}
        for task in self.tasks:
            for key in {name_key(name) for name in (task.name, *task.aliases)}:
                if key in by_key:
                    raise DataError(f"{task.name} and {by_key[key].name} are both called {key!r}", key="tasks")
                by_key[key] = task
        object.__setattr__(self, "_by_key", MappingProxyType(by_key))

    def get(self, name: str) -> Task:
        """The task called `name`, in any case, with or without ``-`` and ``_``.

        Raises:
            DataError: No task has that name; the message suggests the closest one.
        """
        task = self._by_key.get(name_key(name))
        if task is None:
            raise DataError(f"unknown task {name!r}{self._suggestion(name)}")
        return task

    def extended(self, tasks: Iterable[Task]) -> TaskRegistry:
        """A new registry with `tasks` after the present ones."""
        return TaskRegistry((*self.tasks, *tasks))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name_key(name) in self._by_key

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def _suggestion(self, name: str) -> str:
        close = difflib.get_close_matches(name_key(name), self._by_key, n=1, cutoff=0.5)
        known = ", ".join(task.name for task in self.tasks)
        hint = f"; did you mean {self._by_key[close[0]].name}?" if close else ""
        return f"{hint} (known: {known})"


def name_key(name: str) -> str:
    """A name without what people write differently: case, hyphens, underscores and spaces."""
    return name.strip().lower().replace("-", "").replace("_", "").replace(" ", "")


@functools.cache
def built_in_registry() -> TaskRegistry:
    """The tasks that come with kdscope.

    First the 14 of Ramesh et al. 2025 (arXiv 2505.15442), mathematics before commonsense, then the five instruction
    sets of Gu et al. 2024 (arXiv 2306.08543), then the six generated mini tasks.

    >>> sum(not task.generated for task in built_in_registry()), len(built_in_registry())
    (19, 25)
    """
    return TaskRegistry((*map(built_in_task, _LIBRARY), *mini_tasks()))


EXTENSION_TASKS: Catalogue[Task] = Catalogue("task")
"""What loaded extensions of a user added (`kdscope.extend.register_task`)."""


def default_registry() -> TaskRegistry:
    """The built-in tasks and, after them, those of loaded extensions."""
    return built_in_registry().extended(EXTENSION_TASKS.values()) if EXTENSION_TASKS else built_in_registry()


def get_task(name: str) -> Task:
    """The task of `default_registry` called `name`, in any case, common short names included.

    Raises:
        DataError: No task has that name.

    >>> get_task("siqa").name
    'social_i_qa'
    """
    return default_registry().get(name)


def list_tasks() -> tuple[Task, ...]:
    """The tasks of `default_registry`: the paper's, the instruction sets, the generated ones, those of extensions."""
    return default_registry().tasks


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """One training set.

    Attributes:
        name: What it is called.
        sources: Where it can be had, the preferred one first.
        rows: Number of rows; None where it could not be verified.
        licence: Licence as its authors state it.
        citation: Authors and identifier.
        description: One line for people.
        contaminates: Tasks of which it is known to hold test items; the audit counts them.
        files: Paths below a data folder where it is looked for, in order.
    """

    name: str
    sources: tuple[Source, ...]
    rows: int | None
    licence: str
    citation: str
    description: str
    contaminates: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def locations(self) -> tuple[str, ...]:
        """Paths below a data folder where its rows are looked for; the first is where a download belongs."""
        return self.files or (f"{self.name}/train.json",)


@functools.cache
def list_training_sets() -> tuple[TrainingSet, ...]:
    """The training sets of the paper, then those of instruction following and GSM8K.

    >>> [training_set.name for training_set in list_training_sets()]
    ['math_10k', 'commonsense_15k', 'dolly_15k', 'gsm8k_train']
    """
    return tuple(map(_declared, load_library("training_sets")))


def get_training_set(name: str) -> TrainingSet:
    """The training set called `name`, in any case, with or without ``-`` and ``_``.

    Raises:
        DataError: None has that name.
    """
    by_key = {name_key(training_set.name): training_set for training_set in list_training_sets()}
    if name_key(name) not in by_key:
        known = ", ".join(training_set.name for training_set in by_key.values())
        raise DataError(f"unknown training set {name!r} (known: {known})")
    return by_key[name_key(name)]


def find_training_file(training_set: TrainingSet, folder: Path) -> Path:
    """The file with a training set's rows, below `folder`.

    Raises:
        DataError: There is none; the message names what was tried.
    """
    return first_file(training_set.name, folder, training_set.locations())


def _declared(values: Mapping[str, Any]) -> TrainingSet:
    lists = {key: tuple(values.get(key, ())) for key in ("contaminates", "files")}
    return TrainingSet(**{"rows": None, **values, **lists, "sources": Declaration(values).sources("sources")})

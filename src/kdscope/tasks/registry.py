"""What a task is, and an immutable registry of tasks.

A registry is a value: it is built from tasks, never filled in place, so two studies in one process cannot change
each other's tasks. The 14 tasks of the paper are in `catalogue`, the generated ones in `mini.catalogue`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from kdscope.errors import DataError

Domain = Literal["math", "commonsense"]
AnswerKind = Literal["number", "letter", "label"]


@dataclass(frozen=True, slots=True)
class Task:
    """One evaluation task: how its answers look and where it comes from.

    Attributes:
        name: Folder name of the task's data, for example ``"ARC-Easy"``.
        domain: Which of the paper's two groups of tables it belongs to.
        answer_kind: A free number, a letter of a multiple choice, or a word such as ``answer3``.
        labels: Every possible answer, in order: empty for numbers, A to at most E for letters, else one word numbered
            from 1 (``answer1``, ``answer2``, ...) or true and false.
        chance: Expected accuracy of a uniform guess, a fraction; 0 for numbers.
        test_items: Number of test items as published; None for a generated task, which has as many as are asked for.
        citation: Authors, venue and identifier of the task's paper; the software's name for a generated task.
        licence: Licence of the data as its authors state it.
        description: One line for people.
        aliases: Other names a person may type.
    """

    name: str
    domain: Domain
    answer_kind: AnswerKind
    labels: tuple[str, ...]
    chance: float
    test_items: int | None
    citation: str
    licence: str
    description: str
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.answer_kind == "number") == bool(self.labels):
            raise DataError("a number task has no labels, every other task has some", key=self.name)
        if not 0.0 <= self.chance < 1.0 or (self.test_items is not None and self.test_items <= 0):
            raise DataError("chance must be in [0, 1) and test_items positive", key=self.name)
        if not _is_readable(self.answer_kind, self.labels):
            form = "A to at most E" if self.answer_kind == "letter" else "one word numbered from 1, or true and false"
            raise DataError(f"labels must be {form}, not {', '.join(self.labels)}", key=self.name)

    @property
    def generated(self) -> bool:
        """Whether its items are made on demand, so that no file is needed."""
        return self.test_items is None


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
            for key in {_key(name) for name in (task.name, *task.aliases)}:
                if key in by_key:
                    raise DataError(f"{task.name} and {by_key[key].name} are both called {key!r}", key="tasks")
                by_key[key] = task
        object.__setattr__(self, "_by_key", MappingProxyType(by_key))

    def get(self, name: str) -> Task:
        """The task called `name`, in any case, with or without ``-`` and ``_``.

        Raises:
            DataError: No task has that name; the message suggests the closest one.
        """
        task = self._by_key.get(_key(name))
        if task is None:
            raise DataError(f"unknown task {name!r}{self._suggestion(name)}")
        return task

    def extended(self, tasks: Iterable[Task]) -> TaskRegistry:
        """A new registry with `tasks` after the present ones."""
        return TaskRegistry((*self.tasks, *tasks))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _key(name) in self._by_key

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def _suggestion(self, name: str) -> str:
        close = difflib.get_close_matches(_key(name), self._by_key, n=1, cutoff=0.5)
        known = ", ".join(task.name for task in self.tasks)
        hint = f"; did you mean {self._by_key[close[0]].name}?" if close else ""
        return f"{hint} (known: {known})"


def _is_readable(answer_kind: AnswerKind, labels: tuple[str, ...]) -> bool:
    """Whether the extraction rules know labels of this form."""
    if answer_kind == "letter":
        return "".join(labels) == "ABCDE"[: len(labels)]
    if answer_kind == "number" or labels == ("true", "false"):
        return True
    stem = labels[0].rstrip("0123456789")
    return bool(stem) and labels == tuple(f"{stem}{number}" for number in range(1, len(labels) + 1))


def _key(name: str) -> str:
    return name.strip().lower().replace("-", "").replace("_", "").replace(" ", "")

"""What a task is, and an immutable registry of tasks.

A registry is a value: it is built from tasks, never filled in place, so two studies in one process cannot change
each other's tasks. The 14 tasks of the paper are in `catalogue`, the generated ones in `mini.catalogue`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from kdscope.core.errors import DataError
from kdscope.tasks.mapping import FieldMapping
from kdscope.tasks.sources import Source

if TYPE_CHECKING:
    from kdscope.tasks.extraction import Extraction

Domain = Literal["math", "commonsense", "instruction"]
AnswerKind = Literal["number", "letter", "label", "text"]
Rules = Literal["robust", "published"]
Split = Literal["test", "train"]

_NAME = re.compile(r"[^\W\d_][\w.-]*")


@dataclass(frozen=True, slots=True)
class Task:
    """One evaluation task: how its answers look and where it comes from.

    Attributes:
        name: Folder name of the task's data, for example ``"ARC-Easy"``.
        domain: Which group of tables it belongs to: the paper's two, or instruction following.
        answer_kind: A free number, a letter of a multiple choice, a word such as ``answer3``, or free text, which is
            compared with references by ROUGE-L.
        labels: Every possible answer, in order: empty for numbers and texts, A to at most E for letters, else one word
            numbered from 1 (``answer1``, ``answer2``, ...) or true and false.
        chance: Expected accuracy of a uniform guess, a fraction; 0 for numbers and texts.
        test_items: Number of test items as published; None for a generated task, which has as many as are asked for,
            and for a task with a `file` of its own, which has as many as that.
        citation: Authors, venue and identifier of the task's paper; the software's name for a generated task.
        licence: Licence of the data as its authors state it.
        description: One line for people.
        aliases: Other names a person may type.
        sources: Where its test items can be had, the preferred one first.
        train_sources: The same for its training split; empty where there is none.
        file: The rows of a person's own task; None for rows that are looked for in a data folder.
        fields: How rows of `file` become instruction, input, output and answer; None where they are that already.
        template: Name of the prompt template it is asked with; None: the study's.
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
    sources: tuple[Source, ...] = ()
    train_sources: tuple[Source, ...] = ()
    file: Path | None = None
    fields: FieldMapping | None = None
    template: str | None = None

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise DataError("a name has letters, digits, '.', '_' and '-', and begins with a letter", key=self.name)
        if (self.answer_kind in ("number", "text")) == bool(self.labels):
            raise DataError("a number or text task has no labels, every other task has some", key=self.name)
        if not 0.0 <= self.chance < 1.0 or (self.test_items is not None and self.test_items <= 0):
            raise DataError("chance must be in [0, 1) and test_items positive", key=self.name)
        if not _is_readable(self.answer_kind, self.labels):
            form = "A to at most E" if self.answer_kind == "letter" else "one word numbered from 1, or true and false"
            raise DataError(f"labels must be {form}, not {', '.join(self.labels)}", key=self.name)

    @property
    def generated(self) -> bool:
        """Whether its items are made on demand, so that no file is needed."""
        return self.test_items is None and self.file is None

    def locations(self, split: Split = "test") -> tuple[str, ...]:
        """Paths below a data folder where its rows are looked for, in order; the first is where a download belongs.

        >>> from kdscope.tasks import get_task
        >>> get_task("gsm8k").locations()
        ('gsm8k/test.json', 'tasks/gsm8k/test.json')
        """
        if self.generated or self.file is not None:
            return ()
        if self.answer_kind != "text":
            return (f"{self.name}/{split}.json", f"tasks/{self.name}/{split}.json")
        # Files of the instruction sets are called as MiniLLM's are, and their folders go by several names.
        file = "valid.jsonl" if split == "test" else "train.jsonl"
        return tuple(f"{folder}{name}/{file}" for folder in ("", "instruct/") for name in (self.name, *self.aliases))

    def extract(
        self, text: str, rules: Rules = "robust", *, finish_reason: str = "stop", instruction: str = ""
    ) -> Extraction:
        """The answer that a completion states, by the robust rules or by those of the paper's code.

        Args:
            text: The completion.
            rules: Which rules read it.
            finish_reason: Why generation ended; ``"length"``: the text may be cut.
            instruction: The question, whose options and numbers the robust rules know.

        Raises:
            DataError: There are no such rules.

        >>> from kdscope.tasks import get_task
        >>> get_task("gsm8k").extract("She has 3 left. The answer is 3 of 24.").value
        '3'
        """
        from kdscope.tasks.extraction import extract_published
        from kdscope.tasks.robust import extract_robust

        _check_rules(rules)
        if rules == "published":
            return extract_published(self, text)
        return extract_robust(self, text, finish_reason=finish_reason, instruction=instruction)

    def is_correct(self, value: str | None, gold: str, rules: Rules = "robust") -> bool:
        """Whether an extracted answer is the right one; None never is, nor is any text of a text task.

        Raises:
            DataError: There are no such rules.
        """
        from kdscope.tasks.scoring import is_right

        _check_rules(rules)
        return is_right(self, value, gold, rules)


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


def _is_readable(answer_kind: AnswerKind, labels: tuple[str, ...]) -> bool:
    """Whether the extraction rules know labels of this form."""
    if answer_kind == "letter":
        return "".join(labels) == "ABCDE"[: len(labels)]
    if answer_kind in ("number", "text") or labels == ("true", "false"):
        return True
    stem = labels[0].rstrip("0123456789")
    return bool(stem) and labels == tuple(f"{stem}{number}" for number in range(1, len(labels) + 1))


def _check_rules(rules: str) -> None:
    if rules not in ("robust", "published"):
        raise DataError(f"there are no rules {rules!r} (known: robust, published)", key="rules")


def name_key(name: str) -> str:
    """A name without what people write differently: case, hyphens, underscores and spaces."""
    return name.strip().lower().replace("-", "").replace("_", "").replace(" ", "")

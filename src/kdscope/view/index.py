"""A run, opened: its tasks are indexed when they are first looked at, and again when their file has changed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kdscope.core.errors import DataError
from kdscope.view.run import Model, RunFolder, open_run
from kdscope.view.task_index import NONE, TaskIndex, read_task_index
from kdscope.view.texts import RecordTexts

_LEAD_FROM = 40
"""Prompts from which the words common to all are taken."""
_MANY_CHARACTERS = 24


@dataclass(frozen=True, eq=False)
class TaskRecords:
    """The records of one task: what is known of all of them, and their texts on demand."""

    index: TaskIndex
    texts: RecordTexts
    _frames: dict[str, tuple[str, str, str]] = field(default_factory=dict)

    def question(self, cell: str, prompt: str) -> str:
        """What a prompt of this model asks, without the many words that it may begin with like all others."""
        own, start = self.parts(cell, prompt)[1], self._frame(cell)[2]
        return f"… {own[len(start) :]}" if start and own.startswith(start) else own

    def parts(self, cell: str, prompt: str) -> tuple[str, str, str]:
        """A prompt of this model: the lines that it begins with like all others, its own, and those at its end."""
        head, tail, _ = self._frame(cell)
        if prompt.startswith(head) and prompt.endswith(tail) and len(head) + len(tail) < len(prompt):
            return head, prompt[len(head) : len(prompt) - len(tail)], tail
        return "", prompt, ""

    def _frame(self, cell: str) -> tuple[str, str, str]:
        if cell not in self._frames:
            self._frames[cell] = self._shared(cell)
        return self._frames[cell]

    def _shared(self, cell: str) -> tuple[str, str, str]:
        """Whole lines that prompts begin and end with, and the words that their questions begin with."""
        rows = self.index.rows_of(cell)
        rows = rows[rows != NONE][:_LEAD_FROM]
        prompts = list(dict.fromkeys(self.texts.column(rows.tolist(), "prompt")))
        if len(prompts) < 2:
            return "", "", ""
        head = _common_start(prompts)
        tail = _common_start([prompt[::-1] for prompt in prompts])[::-1]
        words = head[head.rfind("\n") + 1 : head.rfind(" ") + 1]
        tail = tail[tail.find("\n") :] if "\n" in tail else ""
        # Few words in common are how questions begin; many are an instruction that all of them repeat.
        return head[: head.rfind("\n") + 1], tail, words if len(words) >= _MANY_CHARACTERS else ""


class RunIndex:
    """A run to look at. Several threads may ask at once; what changes on disk is seen at the next request."""

    def __init__(self, folder: Path) -> None:
        """Open it.

        Raises:
            DataError: As `open_run`.
        """
        self._folder = Path(folder)
        self._lock = threading.Lock()
        self._run = open_run(self._folder)
        self._stamp = self._look()
        self._tasks: dict[str, tuple[tuple[int, int], TaskRecords]] = {}

    def run(self) -> RunFolder:
        """The run as it now is.

        Raises:
            DataError: As `open_run`.
        """
        with self._lock:
            stamp = self._look()
            if stamp != self._stamp:
                self._run, self._stamp = open_run(self._folder), stamp
            return self._run

    def task(self, name: str) -> TaskRecords:
        """The records of one of the run's tasks.

        Raises:
            DataError: The file is damaged or gone.
        """
        file = self.run().tasks[name]
        with self._lock:
            stamp = _stamp(file)
            known = self._tasks.get(name)
            if known is None or known[0] != stamp:
                known = stamp, TaskRecords(read_task_index(file), RecordTexts(file))
                self._tasks[name] = known
            return known[1]

    def _look(self) -> list[tuple[str, tuple[int, int]]]:
        files = [self._folder / "tables" / "cells.parquet", self._folder / "run.json"]
        files += sorted((self._folder / "records").glob("*.parquet"))
        return [(file.name, _stamp(file)) for file in files if file.exists()]


def with_records(run: RunFolder, index: TaskIndex) -> Sequence[Model]:
    """The models that answered a task, in the study's order."""
    return [model for cell, model in run.models.items() if cell in index.cells]


def _common_start(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)  # what these two share, all that lie between them do
    differing = (place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(differing, min(len(first), len(last)))]


def _stamp(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError as error:
        raise DataError(f"records cannot be read: {error.strerror or error}", file=file) from error
    return found.st_mtime_ns, found.st_size

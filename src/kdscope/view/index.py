"""The records of a run, opened: a task is indexed when it is first looked at, its texts are read on demand."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kdscope.core.errors import DataError
from kdscope.view.run import Model, RunFolder, open_run
from kdscope.view.task_index import NONE, TaskIndex, read_task_index

_KEPT_BYTES = 96 * 2**20
_KEPT_SEARCHES = 64


class RecordTexts:
    """Columns of one file of records. Several threads may ask at once."""

    def __init__(self, file: Path, *, kept_bytes: int = _KEPT_BYTES) -> None:
        self.file = file
        self._kept_bytes = kept_bytes
        self._lock = threading.Lock()
        self._chunks: OrderedDict[tuple[int, str], Any] = OrderedDict()
        self._searches: OrderedDict[tuple[int, str, str], NDArray[np.bool_]] = OrderedDict()
        try:
            self._metadata = pq.read_metadata(file)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"records cannot be read: {error}", file=file) from error
        sizes = [self._metadata.row_group(group).num_rows for group in range(self._metadata.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def read(self, row: int, columns: Sequence[str]) -> dict[str, Any]:
        """The values of one row; bytes that are no UTF-8 become replacement characters."""
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        chunks = self._chunks_of(group, columns)
        return {column: _value(chunks[column][int(row - self._starts[group])]) for column in columns}

    def column(self, rows: Sequence[int], column: str) -> list[Any]:
        """The values of a column in these rows."""
        groups = np.searchsorted(self._starts, rows, side="right") - 1
        chunks = {group: self._chunks_of(group, [column])[column] for group in dict.fromkeys(groups.tolist())}
        return [
            _value(chunks[int(group)][int(row - self._starts[group])]) for row, group in zip(rows, groups, strict=True)
        ]

    def search(self, rows: NDArray[np.int64], column: str, literal: str) -> NDArray[np.bool_]:
        """Whether the text of each row contains `literal`, whatever the case; a row of -1 does not."""
        found = np.zeros(len(rows), bool)
        present = rows >= 0
        groups = np.searchsorted(self._starts, rows, side="right") - 1
        for group in np.unique(groups[present]).tolist():
            here = present & (groups == group)
            found[here] = self._search(int(group), column, literal)[rows[here] - self._starts[group]]
        return found

    def _search(self, group: int, column: str, literal: str) -> NDArray[np.bool_]:
        key = (group, column, literal)
        with self._lock:
            if key in self._searches:
                self._searches.move_to_end(key)
                return self._searches[key]
        found = pc.match_substring(self._chunks_of(group, [column])[column], literal, ignore_case=True).fill_null(False)
        flags: NDArray[np.bool_] = found.to_numpy(zero_copy_only=False).astype(bool)
        with self._lock:
            self._searches[key] = flags
            while len(self._searches) > _KEPT_SEARCHES:
                self._searches.popitem(last=False)
        return flags

    def _chunks_of(self, group: int, columns: Sequence[str]) -> dict[str, Any]:
        """Columns of a row group: those that were kept, and the others read in one go."""
        with self._lock:
            found = {column: self._chunks[group, column] for column in columns if (group, column) in self._chunks}
            for column in found:
                self._chunks.move_to_end((group, column))
        found |= self._load(group, [column for column in columns if column not in found])
        with self._lock:
            self._chunks |= {(group, column): chunk for column, chunk in found.items()}
            while len(self._chunks) > 1 and sum(kept.nbytes for kept in self._chunks.values()) > self._kept_bytes:
                self._chunks.popitem(last=False)
        return found

    def _load(self, group: int, columns: Sequence[str]) -> dict[str, Any]:
        if not columns:
            return {}
        try:
            # A reader of its own: one must not be used by two threads at once.
            table = pq.ParquetFile(self.file, metadata=self._metadata).read_row_group(group, columns=list(columns))
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"records cannot be read: {error}", file=self.file) from error
        absent = pa.nulls(self._metadata.row_group(group).num_rows)  # a column of later versions
        present = set(table.column_names)
        return {column: table[column].combine_chunks() if column in present else absent for column in columns}


def _value(scalar: Any) -> Any:
    if pa.types.is_string(scalar.type) and scalar.is_valid:
        return scalar.as_buffer().to_pybytes().decode("utf-8", "replace")
    return scalar.as_py()


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

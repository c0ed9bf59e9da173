"""The texts of records, read when they are shown: row group by row group, and the last ones kept in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kdscope.core.errors import DataError

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

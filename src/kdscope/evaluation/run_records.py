"""The item records of a whole run beside its tables: one parquet file per task, so that a run can be read anywhere."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kdscope.core.errors import DataError
from kdscope.evaluation.records import LATER_COLUMNS, record_schema

CELL = "cell"
_SOURCES = b"kdscope.sources"


def write_run_records(files: Mapping[str, Mapping[str, Path]], folder: Path) -> None:
    """Put the records of every model and task into one file per task, a row group per model.

    Processes may do so at the same time: every file is whole at any moment, and the last one's in the end.

    Args:
        files: Records of a cell (outer key) on a task (inner key), in the order of the study. A file in a folder that
            never changes: a task whose files are those of the last call is left as it is.
        folder: Gets `<task>.parquet`: the column ``cell``, then those of `Record`. Files of other tasks are removed.

    Raises:
        DataError: A file of records cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    by_task: dict[str, dict[str, Path]] = {}
    for cell, answered in files.items():
        for task, file in answered.items():
            by_task.setdefault(task, {})[cell] = file
    for file in folder.glob("*.parquet"):
        if file.stem not in by_task:
            file.unlink(missing_ok=True)  # another process may have been faster
    for task, cells in by_task.items():
        _write_task(cells, folder / f"{task}.parquet")


def read_run_records(
    folder: Path, columns: Sequence[str] | None = None, *, tasks: Iterable[str] | None = None
) -> pa.Table:
    """The records of a run, task by task, with the column ``cell``.

    Args:
        folder: As `write_run_records` leaves it.
        columns: Which columns; all unless told.
        tasks: Which tasks, in this order; all by name unless told. A task that no model answered has no file.

    Raises:
        DataError: The folder has no records, or a file is damaged.
    """
    files = sorted(folder.glob("*.parquet")) if tasks is None else [folder / f"{task}.parquet" for task in tasks]
    present = [file for file in files if file.exists()]
    if not present:
        raise DataError("no item records are here; run the study again, nothing is trained twice", file=folder)
    return pa.concat_tables([_read(file, columns) for file in present])


def run_record_schema() -> pa.Schema:
    """The columns of the files."""
    return pa.schema([pa.field(CELL, pa.string()), *record_schema()])


def _read(file: Path, columns: Sequence[str] | None) -> pa.Table:
    try:
        # One open file, not a data set: folder names like task=other must not become columns.
        table = pq.ParquetFile(file).read(columns=None if columns is None else list(columns))
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"records cannot be read: {error}", file=file) from error
    missing = [name for name in columns or run_record_schema().names if name not in table.column_names]
    if missing:
        raise DataError("this column of the records is missing", file=file, key=missing[0])
    return table.replace_schema_metadata(None)


def _write_task(cells: Mapping[str, Path], file: Path) -> None:
    sources = hashlib.sha256(json.dumps([[cell, str(path)] for cell, path in cells.items()]).encode()).digest()
    if file.exists() and _sources(file) == sources:
        return
    partial = file.with_name(f".{file.name}.{os.urandom(6).hex()}.partial")  # nobody else's, whoever writes beside us
    try:
        _write_cells(cells, partial, sources)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _write_cells(cells: Mapping[str, Path], file: Path, sources: bytes) -> None:
    schema = run_record_schema()
    with pq.ParquetWriter(file, schema.with_metadata({_SOURCES: sources}), compression="zstd") as writer:
        for cell, path in cells.items():
            table = _one(path)
            table = table.add_column(0, schema.field(CELL), pa.array([cell] * len(table), pa.string()))
            writer.write_table(table.cast(schema).replace_schema_metadata({_SOURCES: sources}))


def _one(path: Path) -> pa.Table:
    try:
        table = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"records cannot be read: {error}", file=path) from error
    for field in record_schema():
        if field.name not in table.column_names and field.name in LATER_COLUMNS:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    try:
        return table.select(record_schema().names)
    except KeyError as error:
        raise DataError("a column of the records is missing", file=path, key=str(error.args[0])) from error


def _sources(file: Path) -> bytes | None:
    try:
        return (pq.read_schema(file).metadata or {}).get(_SOURCES)
    except (OSError, pa.ArrowException):
        return None

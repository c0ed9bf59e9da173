"""Item records: one row per model, task and item; of one model, and of a whole run beside its tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from kdscope.core.errors import DataError
from kdscope.core.files import discard, sha256_of, unique_token

SCORINGS = ("robust", "published")
"""The two ways of reading an answer that every record holds."""

LATER_COLUMNS = frozenset({"rouge_l"})
"""Columns that records of earlier versions do not have."""
CELL = "cell"
"""Column of a run's records: which model answered."""
_SOURCES = b"kdscope.sources"
_TYPES = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
Row = TypeVar("Row")


@dataclass(frozen=True)
class Record:
    """One completion and its two scorings.

    Attributes:
        task: Task name.
        item_id: Stable id of the item, task/index.
        item_hash: Hash of the item's content.
        decoding_seed: Seed of the sampling; an item may have several records that differ in it.
        prompt: What the model was given; empty where that is not known.
        completion: What it wrote, special tokens removed.
        finish_reason: stop (it ended by itself), length (the token limit), run_on (it went on to a new instruction).
        gold: The right answer.
        published_value: Answer by the published rules; None where they find none.
        correct_published: Whether that is right.
        robust_value: Answer by the robust extractor; None where it finds none.
        robust_rule: Which of its rules found it.
        robust_status: explicit, fallback, ambiguous or unparsed.
        truncated: Whether the completion ran into the length limit before its answer was complete.
        correct_robust: Whether the robust answer is right.
        completion_tokens: Length of the completion in tokens; 0 where that is not known.
        rouge_l: ROUGE-L F1 against the best reference, for tasks answered by free text; None for all others.
    """

    task: str
    item_id: str
    item_hash: str
    decoding_seed: int
    prompt: str
    completion: str
    finish_reason: str
    gold: str
    published_value: str | None
    correct_published: bool
    robust_value: str | None
    robust_rule: str
    robust_status: str
    truncated: bool
    correct_robust: bool
    completion_tokens: int
    rouge_l: float | None = None


ModelRecords = Mapping[str, Sequence[Record]]
"""Records of one model by task."""


def answer_of(record: Record, scoring: str) -> str | None:
    """The answer a record holds under one of the two scorings."""
    return record.robust_value if scoring == "robust" else record.published_value


def is_correct(record: Record, scoring: str) -> bool:
    """Whether it is right under one of the two scorings."""
    return record.correct_robust if scoring == "robust" else record.correct_published


def value_of(record: Record, scoring: str) -> float:
    """Score of a record: its ROUGE-L if it is free text, else 1 for a right answer and 0 for a wrong one."""
    return float(is_correct(record, scoring)) if record.rouge_l is None else record.rouge_l


def record_schema() -> pa.Schema:
    """The parquet schema of records."""
    return _schema(Record)


def write_records(records: Iterable[Record], file: Path) -> None:
    """Write records to parquet; the same records give the same bytes."""
    write_row_file(records, Record, file)


def read_records(file: Path) -> list[Record]:
    """Read records back, also those written before there was a column for ROUGE-L.

    Raises:
        DataError: The file is no parquet file, or lacks a column.
    """
    return [Record(**row) for row in _record_table(file).to_pylist()]


def _record_table(file: Path) -> pa.Table:
    """The columns of records, in order and with their types; columns of later versions are empty where missing."""
    table, schema = _read_parquet(file, "records"), record_schema()
    for field in schema:
        if field.name not in table.column_names:
            if field.name not in LATER_COLUMNS:
                raise DataError("this column of the records is missing", file=file, key=field.name)
            table = table.append_column(field, pa.nulls(len(table), field.type))
    try:
        return table.select(schema.names).cast(schema)
    except pa.ArrowException as error:
        raise DataError(f"a column of the records has another type: {error}", file=file) from error


def _read_parquet(file: Path, what: str, columns: Sequence[str] | None = None) -> pa.Table:
    try:
        # One open file, not a data set: folder names like task=other must not become columns.
        return pq.ParquetFile(file).read(columns=None if columns is None else list(columns))
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{what} cannot be read: {error}", file=file) from error


def write_row_file(rows: Iterable[Any], kind: type[Any], file: Path) -> None:
    """Rows of one dataclass; a table without rows has the columns all the same.

    Args:
        rows: Instances of `kind`, whose fields are str, int, float or bool, or one of these or None.
        kind: The dataclass.
        file: Where to.
    """
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=_schema(kind)), file)


def read_row_file(kind: type[Row], file: Path) -> list[Row]:
    """The rows that `write_row_file` wrote.

    Raises:
        DataError: The file cannot be read, or lacks a column.
    """
    schema, table = _schema(kind), _read_parquet(file, "the table")
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise DataError("this column is missing", file=file, key=missing[0])
    try:
        return [kind(**row) for row in table.select(schema.names).cast(schema).to_pylist()]
    except pa.ArrowException as error:
        raise DataError(f"the table cannot be read: {error}", file=file) from error


def _schema(kind: type[Any]) -> pa.Schema:
    return pa.schema([(field.name, _TYPES[str(field.type).removesuffix(" | None")]) for field in fields(kind)])


def write_run_records(
    files: Mapping[str, Mapping[str, Path]], folder: Path, earlier: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """Put the records of every model and task into one file per task, a row group per model.

    Processes may do so at the same time: every file is whole at any moment, and the last one's in the end. Where one
    cannot be written, all stay as they were.

    Args:
        files: Records of a cell (outer key) on a task (inner key), in the order of the study.
        folder: Gets `<task>.parquet`: the column ``cell``, then those of `Record`. Files of other tasks are removed.
        earlier: SHA-256 of the files that an earlier call wrote, by name: one that still is so, and whose records are
            those of this call, is left as it is.

    Returns:
        The SHA-256 of every file, by name.

    Raises:
        DataError: A file of records cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    by_task: dict[str, dict[str, Path]] = {}
    for cell, answered in files.items():
        for task, file in answered.items():
            by_task.setdefault(task, {})[cell] = file
    # A name that is nobody else's, whoever writes beside us.
    partials = {task: folder / f".{task}.parquet.{unique_token()}.partial" for task in by_task}
    try:
        hashes = {
            f"{task}.parquet": _write_task(cells, folder / f"{task}.parquet", partials[task], earlier)
            for task, cells in by_task.items()
        }
        for task, partial in partials.items():
            if partial.exists():
                _put(partial, folder / f"{task}.parquet")
    finally:
        for partial in partials.values():
            discard(partial)
    for file in folder.glob("*.parquet"):
        if file.name not in hashes:
            discard(file)
    return hashes


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
    return pa.concat_tables([_read_task(file, columns) for file in present])


def run_record_schema() -> pa.Schema:
    """The columns of the files."""
    return pa.schema([pa.field(CELL, pa.string()), *record_schema()])


def _read_task(file: Path, columns: Sequence[str] | None) -> pa.Table:
    table = _read_parquet(file, "records", columns)
    missing = [name for name in columns or run_record_schema().names if name not in table.column_names]
    if missing:
        raise DataError("this column of the records is missing", file=file, key=missing[0])
    return table.replace_schema_metadata(None)


def _write_task(cells: Mapping[str, Path], file: Path, partial: Path, earlier: Mapping[str, str]) -> str:
    """Write the records of a task, unless the file has them; the SHA-256 of one or the other."""
    sources = _hash_sources(cells)
    if _sources(file) == sources and sha256_of(file) == earlier.get(file.name):
        return earlier[file.name]
    _write_cells(cells, partial, sources)
    return sha256_of(partial)


def _put(partial: Path, file: Path) -> None:
    if file.is_dir():  # no rename of a file replaces it
        discard(file)
    partial.replace(file)


def _hash_sources(cells: Mapping[str, Path]) -> bytes:
    """What a file is made of, by content: a stage that ran again may have left others in the same place."""
    return hashlib.sha256(json.dumps([[cell, sha256_of(path)] for cell, path in cells.items()]).encode()).digest()


def _write_cells(cells: Mapping[str, Path], file: Path, sources: bytes) -> None:
    schema = run_record_schema()
    with pq.ParquetWriter(file, schema.with_metadata({_SOURCES: sources}), compression="zstd") as writer:
        for cell, path in cells.items():
            table = _record_table(path)
            table = table.add_column(0, schema.field(CELL), pa.array([cell] * len(table), pa.string()))
            writer.write_table(table.cast(schema).replace_schema_metadata({_SOURCES: sources}))


def _sources(file: Path) -> bytes | None:
    try:
        return (pq.read_schema(file).metadata or {}).get(_SOURCES)
    except (OSError, pa.ArrowException):
        return None

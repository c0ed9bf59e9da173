"""One row per model, task and item: everything a later question may need, and nothing averaged yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kdscope.core.errors import DataError

SCORINGS = ("robust", "published")
"""The two ways of reading an answer that every record holds."""

_COLUMN_TYPES = {
    "str": pa.string(),
    "str | None": pa.string(),
    "int": pa.int64(),
    "bool": pa.bool_(),
    "float | None": pa.float64(),
}
LATER_COLUMNS = frozenset({"rouge_l"})
"""Columns that records of earlier versions do not have."""


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


def answer_of(record: Record, scoring: str) -> str | None:
    """The answer a record holds under one of the two scorings."""
    return record.robust_value if scoring == "robust" else record.published_value


def is_correct(record: Record, scoring: str) -> bool:
    """Whether it is right under one of the two scorings."""
    return record.correct_robust if scoring == "robust" else record.correct_published


def value_of(record: Record, scoring: str) -> float:
    """What a record is worth: its ROUGE-L if it is free text, else 1 for a right answer and 0 for a wrong one."""
    return float(is_correct(record, scoring)) if record.rouge_l is None else record.rouge_l


def record_schema() -> pa.Schema:
    """The parquet schema of records."""
    return pa.schema([(f.name, _COLUMN_TYPES[str(f.type)]) for f in fields(Record)])


def write_records(records: Iterable[Record], file: Path) -> None:
    """Write records to parquet; the same records give the same bytes."""
    table = pa.Table.from_pylist([asdict(record) for record in records], schema=record_schema())
    pq.write_table(table, file)


def read_records(file: Path) -> list[Record]:
    """Read records back, also those written before there was a column for ROUGE-L.

    Raises:
        DataError: The file is no parquet file, or lacks a column.
    """
    try:
        # One open file, not a data set: folder names like task=other must not become columns.
        table = pq.ParquetFile(file).read()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"records cannot be read: {error}", file=file) from error
    return [Record(**row) for row in _as_declared(table, file).to_pylist()]


def _as_declared(table: pa.Table, file: Path) -> pa.Table:
    """The table's columns, in order and with the types of records; columns of later versions may be missing."""
    schema = record_schema()
    missing = [name for name in schema.names if name not in table.column_names]
    if any(name not in LATER_COLUMNS for name in missing):
        raise DataError("this column of the records is missing", file=file, key=missing[0])
    present = pa.schema([field for field in schema if field.name not in missing])
    try:
        return table.select(present.names).cast(present)
    except pa.ArrowException as error:
        raise DataError(f"a column of the records has another type: {error}", file=file) from error

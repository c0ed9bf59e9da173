"""One row per model, task and item: everything a later question may need, and nothing averaged yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_COLUMN_TYPES = {"str": pa.string(), "str | None": pa.string(), "int": pa.int64(), "bool": pa.bool_()}


@dataclass(frozen=True)
class Record:
    """One completion and its two scorings.

    Attributes:
        task: Task name.
        item_id: Stable id of the item, task/index.
        item_hash: Hash of the item's content.
        decoding_seed: Seed of the sampling.
        prompt: What the model was given.
        completion: What it wrote, special tokens removed.
        finish_reason: stop or length.
        gold: The right answer.
        published_value: Answer by the published rules; None where they find none.
        correct_published: Whether that is right.
        robust_value: Answer by the robust extractor; None where it finds none.
        robust_rule: Which of its rules found it.
        robust_status: explicit, fallback, ambiguous or unparsed.
        truncated: Whether the completion ran into the length limit before its answer was complete.
        correct_robust: Whether the robust answer is right.
        completion_tokens: Length of the completion in tokens.
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


def record_schema() -> pa.Schema:
    """The parquet schema of records."""
    return pa.schema([(f.name, _COLUMN_TYPES[str(f.type)]) for f in fields(Record)])


def write_records(records: Iterable[Record], file: Path) -> None:
    """Write records to parquet; the same records give the same bytes."""
    table = pa.Table.from_pylist([asdict(record) for record in records], schema=record_schema())
    pq.write_table(table, file)


def read_records(file: Path) -> list[Record]:
    """Read records back."""
    return [Record(**row) for row in pq.read_table(file, schema=record_schema()).to_pylist()]

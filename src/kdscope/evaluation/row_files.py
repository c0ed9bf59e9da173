"""Tables of dataclass rows as parquet: the columns and their types are those of the dataclass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from kdscope.core.errors import DataError

_TYPES = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}

Row = TypeVar("Row")


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
    schema = _schema(kind)
    try:
        # One open file, not a data set: folder names like task=other must not become columns.
        table = pq.ParquetFile(file).read()
        missing = [name for name in schema.names if name not in table.column_names]
        if missing:
            raise DataError("this column is missing", file=file, key=missing[0])
        return [kind(**row) for row in table.select(schema.names).cast(schema).to_pylist()]
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"the table cannot be read: {error}", file=file) from error


def _schema(kind: type[Any]) -> pa.Schema:
    return pa.schema([(field.name, _TYPES[str(field.type).removesuffix(" | None")]) for field in fields(kind)])

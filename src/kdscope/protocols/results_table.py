"""Results as one tidy table, one row per model and task: read from a file, checked, put into one shape.

Columns of a file, in any order and any case; only the first four must be there:

- ``student``: the model that was measured.
- ``method``: ``sft`` is the control, ``base`` the untrained model, every other name a way of distilling.
- ``task``: the task; ``Average`` is a mean over tasks that the file brings along.
- ``value``: in percent, or fractions throughout.
- ``metric``: ``accuracy`` (unless told), ``agreement`` with the teacher, ``fidelity`` of the reasoning, or any other.
- ``teacher``, ``temperature``, ``teacher_condition``: of distilled students; the last is ``adapted`` or ``base``.
- ``family``: methods counted as one by the published protocol; from the method unless told; ``any`` is all of them.
- ``domain``, ``study``: what is analysed apart; ``seed``: tells repeats of one cell apart.

Further columns are kept and not used. Missing is an empty field, ``-``, ``na``, ``nan``, ``none`` or ``null``.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kdscope.core.characters import plain_line
from kdscope.core.errors import DataError
from kdscope.protocols.table_checks import (
    Unit,
    check_cells,
    check_controls,
    check_fields,
    check_numbers,
    in_percent,
    number_of,
    table_warnings,
)
from kdscope.results.column_names import ACCURACY, ADAPTED, AVERAGE, BASE, COLUMNS, REQUIRED, SFT, is_distilled
from kdscope.results.csv_cells import unguarded
from kdscope.results.methods import published_names

_MISSING = frozenset({"", "-", "na", "n/a", "nan", "none", "null"})


@dataclass(frozen=True, slots=True)
class ResultsTable:
    """A table fit for analysis, and what a reader should know about it.

    Attributes:
        table: Columns `column_names.COLUMNS`, then those of the file's own; values in percent, missing text empty.
        warnings: Sentences, one for each thing that was changed or that limits conclusions.
    """

    table: pd.DataFrame
    warnings: tuple[str, ...] = ()


def read_results_table(path: Path | str, *, unit: Unit = "auto") -> ResultsTable:
    """Read a tidy table of results from a CSV, TSV or parquet file.

    Args:
        path: The file; its columns are those above. Errors call a row of a CSV or TSV file by its line, as a
            spreadsheet does (the header is 1); the first row of a parquet file is 1.
        unit: Unit of the values; ``auto`` takes them for fractions where a metric nowhere exceeds 1.

    Raises:
        DataError: The file cannot be read, lacks a column, has a row that cannot be used (missing or not a number, out
            of range, a cell twice), mixes percentages and fractions, or a distilled student has no SFT control.
    """
    path = Path(path)
    readers = {".csv": _read_text, ".tsv": _read_text, ".parquet": _read_parquet}
    if path.suffix not in readers:
        raise DataError(f"results are read from {', '.join(readers)} files, not from '{path.suffix}'", file=path)
    return _checked(readers[path.suffix](path), path, unit)


def results_table(frame: pd.DataFrame, *, file: Path | str = "table", unit: Unit = "auto") -> ResultsTable:
    """Check a tidy table and put it into one shape: `read_results_table` for one already in memory.

    Args:
        frame: Columns as above; errors call its first row 1.
        file: What errors call the table; its stem is the study's name unless the table tells one.
        unit: As in `read_results_table`.

    Raises:
        DataError: As `read_results_table`.
    """
    return _checked(frame.set_axis(range(1, len(frame) + 1)), file, unit)


def _checked(frame: pd.DataFrame, file: Path | str, unit: Unit) -> ResultsTable:
    text = _named(frame, file).map(_text)
    check_fields(text, file)
    check_numbers(text, file)
    table = _filled(text, plain_line(Path(file).stem), file)
    check_cells(table, file)
    check_controls(table, file)
    table, changed = in_percent(table, file, unit)
    return ResultsTable(table.reset_index(drop=True), (*changed, *table_warnings(table)))


def _read_text(path: Path) -> pd.DataFrame:
    """Every field as written, but for the apostrophe of `csv_cells`.

    Not by pandas, which guesses types and forgives rows of the wrong length.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
            found = [(reader.line_num, list(map(unguarded, fields))) for fields in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read: {error}", file=path) from error
    rows = [(line, fields) for line, fields in found if any(map(str.strip, fields))]
    if not rows:
        raise DataError("the file is empty", file=path)
    (_, header), *rows = rows
    for row, fields in rows:
        if len(fields) != len(header):
            raise DataError(f"{len(fields)} fields under a header of {len(header)}", file=path, row=row)
    return pd.DataFrame([fields for _, fields in rows], [row for row, _ in rows], header, dtype=object)


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read: {error}", file=path) from error
    return frame.set_axis(range(1, len(frame) + 1))


def _named(frame: pd.DataFrame, file: Path | str) -> pd.DataFrame:
    """The same with column names in lower case, all required ones there, each once."""
    names = [str(name).strip().lower() for name in frame.columns]
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise DataError(
            f"lacks the column {', '.join(missing)}; it has {', '.join(names)}. A table of results has one row per "
            f"model and task, with at least {', '.join(REQUIRED)}",
            file=file,
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"has the column {', '.join(twice)} more than once", file=file)
    if frame.empty:
        raise DataError("has a header and no rows", file=file)
    return frame.set_axis(names, axis=1)


def _text(value: Any) -> str:
    """A field as text; empty where it is missing; whole numbers without a decimal point."""
    if pd.isna(value):
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    written = str(value).strip()
    return "" if written.lower() in _MISSING else written


def _filled(text: pd.DataFrame, study: str, file: Path | str) -> pd.DataFrame:
    """All of `COLUMNS` in order, numbers as numbers, what was left out filled in; then the file's own columns."""
    table = text.reindex(columns=[*COLUMNS, *(name for name in text if name not in COLUMNS)], fill_value="")
    for name, default in (("study", study), ("domain", "all"), ("metric", ACCURACY)):
        table[name] = table[name].mask(table[name] == "", default)
    table["method"] = table["method"].map(_method)
    table["metric"] = table["metric"].str.lower()
    table["task"] = table["task"].map(lambda task: AVERAGE if task.lower() == AVERAGE.lower() else task)
    for name in ("temperature", "value"):
        table[name] = [_number(field, name, row, file) for row, field in table[name].items()]
    return _of_their_methods(table)


def _of_their_methods(table: pd.DataFrame) -> pd.DataFrame:
    """The same with family and teacher's condition of every distilled student, and of no control."""
    distilled, with_teacher = is_distilled(table), table["metric"] != ACCURACY
    published = published_names()
    own_name = table["method"].map(lambda method: published.get(method, method))
    family = table["family"].mask(table["family"] == "", own_name)
    condition = table["teacher_condition"].mask(table["teacher_condition"] == "", ADAPTED)
    return table.assign(
        family=family.where(distilled, ""),
        teacher_condition=condition.where(distilled, ""),
        temperature=table["temperature"].where(distilled),
        # A control's accuracy belongs to no teacher; how far it agrees with one does.
        teacher=table["teacher"].where(distilled | with_teacher, ""),
    )


def _method(written: str) -> str:
    lower = written.lower()
    return SFT if lower == SFT else BASE if lower in (BASE, "basemodel") else written


def _number(field: str, column: str, row: Any, file: Path | str) -> float:
    """The number a field says, to the last bit; NaN where it is empty."""
    number = number_of(field)
    if field and math.isnan(number):
        raise DataError(f"{field!r} is not a number", file=file, row=int(row), key=column)
    return number

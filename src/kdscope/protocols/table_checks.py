"""Checks of a table of results: what cannot be used is an error with its row, what limits conclusions a warning.

Values are put into percent; both units in one table are refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from kdscope.core.characters import problem_of_name
from kdscope.core.errors import DataError
from kdscope.results.column_names import (
    ACCURACY,
    ADAPTED,
    AGREEMENT,
    AVERAGE,
    CELL,
    COLUMNS,
    FIDELITY,
    ITEM_STDERR,
    ITEMS,
    MODEL,
    REQUIRED,
    SFT,
    UNADAPTED,
    is_distilled,
)

_MAX_TEMPERATURE = 1000
_NUMBERS = {ITEMS: (1.0, 1e9, "whole "), ITEM_STDERR: (0.0, 100.0, "")}
"""Least, largest and kind of the numbers in optional columns."""


def check_fields(text: pd.DataFrame, file: Path | str) -> None:
    """Refuse a row without one of the required fields, or with a name in which a character cannot be seen.

    Args:
        text: Fields as text, empty where missing; the index is what rows are called.
        file: What errors call the table.

    Raises:
        DataError: The first such row, and the first column it lacks or that holds the character.
    """
    for column in [name for name in COLUMNS if name in text]:
        for row, name in text[column].items():
            if (problem := problem_of_name(name)) is not None:
                raise DataError(problem, file=file, row=int(str(row)), key=column)
    missing = text[list(REQUIRED)] == ""
    for row in missing.index[missing.any(axis=1)]:
        column = next(name for name in REQUIRED if missing.loc[row, name])
        advice = "; leave out the rows of what was not measured" if column == "value" else ""
        raise DataError(f"missing{advice}", file=file, row=int(row), key=column)


def check_numbers(text: pd.DataFrame, file: Path | str) -> None:
    """Refuse numbers that cannot be meant in the columns that a table may have beside a value.

    Args:
        text: Fields as text, empty where missing; the index is what rows are called.
        file: What errors call the table.

    Raises:
        DataError: The first such field.
    """
    for column, (low, high, kind) in _NUMBERS.items():
        for row, written in text[column].items() if column in text else ():
            number = number_of(written) if written else low
            if not (low <= number <= high and (kind == "" or number.is_integer())):
                message = f"expected a {kind}number from {low:.0f} to {high:,.0f}, given {written[:40]!r}"
                raise DataError(message, file=file, row=int(str(row)), key=column)


def number_of(written: str) -> float:
    """The number a field says, to the last bit; NaN where it says none, as with grouped digits."""
    try:
        return math.nan if "_" in written else float(written)
    except ValueError:
        return math.nan


def check_cells(table: pd.DataFrame, file: Path | str) -> None:
    """Refuse values and settings that cannot be, and a cell that is there twice.

    Raises:
        DataError: The first such row.
    """
    _refuse(~np.isfinite(table["value"]), "is not finite", "value", table, file)
    _refuse(table["temperature"] <= 0, "is not above 0", "temperature", table, file)
    _refuse(table["temperature"] > _MAX_TEMPERATURE, f"is above {_MAX_TEMPERATURE}", "temperature", table, file)
    conditions = ("", ADAPTED, UNADAPTED)
    wrong = ~table["teacher_condition"].isin(conditions)
    _refuse(wrong, f"is neither {ADAPTED} nor {UNADAPTED}", "teacher_condition", table, file)
    cell = table.groupby(list(CELL), dropna=False, sort=False).ngroup()
    for row in table.index[cell.duplicated()]:
        first = cell.index[cell == cell[row]][0]
        unused = ", ".join(str(name) for name in table if name not in COLUMNS)
        raise DataError(
            f"the same cell as row {first} ({_described(table.loc[row])}). Repeats need a column seed"
            + (f"; the columns {unused} tell no cells apart" if unused else ""),
            file=file,
            row=int(row),
        )


def check_controls(table: pd.DataFrame, file: Path | str) -> None:
    """Refuse a table in which some distilled student has no control to gain over, or nothing was distilled.

    Raises:
        DataError: The first such student, or the table as a whole.
    """
    measured = table[table["metric"] == ACCURACY]
    distilled = measured[is_distilled(measured)]
    if distilled.empty:
        raise DataError(f"no row is the accuracy of a distilled student (metric {ACCURACY})", file=file)
    controls = measured[measured["method"] == SFT]
    if controls.empty:
        raise DataError(f"no row has the method {SFT}: a gain is over the same student without a teacher", file=file)
    place = ["study", "domain", "student"]
    known = set(controls[place].itertuples(index=False, name=None))
    for row, where in zip(distilled.index, distilled[place].itertuples(index=False, name=None), strict=True):
        if where not in known:
            *_, student = where
            raise DataError(f"{student} is distilled and has no {SFT} row", file=file, row=int(row), key="student")


def _refuse(wrong: pd.Series[bool], what: str, column: str, table: pd.DataFrame, file: Path | str) -> None:
    for row in table.index[wrong]:
        raise DataError(f"{table.loc[row, column]} {what}", file=file, row=int(row), key=column)


def _described(row: pd.Series[Any]) -> str:
    told = (row[name] for name in CELL if name not in ("study", "domain"))
    return ", ".join(str(value) for value in told if value != "" and value == value)


Unit = Literal["auto", "percent", "fraction"]

_TASK = ("study", "domain", "task")


def in_percent(table: pd.DataFrame, file: Path | str, unit: Unit = "auto") -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The table with accuracies, agreements and fidelities in percent; other metrics stay as they are.

    Under ``auto`` a metric that nowhere exceeds 1 is in fractions. Where it does, a model or a task that nowhere does
    (and is not all 0) is refused: its rows are fractions among percentages, or it failed and ``unit`` must say so.

    Args:
        table: A tidy table; the index is what rows are called.
        file: What errors call the table.
        unit: The unit, or ``auto``.

    Returns:
        The table, and a sentence for each metric that was converted or looks doubtful.

    Raises:
        DataError: Both units in one metric, or a value outside 0 to 100 percent (fidelity may be negative).
    """
    table, notes = table.copy(), []
    for metric in [name for name in table["metric"].unique() if name.split("_")[0] in (ACCURACY, AGREEMENT, FIDELITY)]:
        rows = table.index[table["metric"] == metric]
        values = table.loc[rows, "value"]
        guessed = unit == "auto" and values.max() <= 1
        if guessed:
            notes.append(f"{metric}: no value is above 1, so they are read as fractions.")
        if guessed or unit == "fraction":
            # 0.57 * 100 is 56.99999999999999: rounding keeps ties between cells ties.
            table.loc[rows, "value"] = (values * 100).round(10)
        elif unit == "auto":
            _refuse_mixture(table.loc[rows], metric, file)
            notes += _doubts(values, metric)
        _refuse_outside(table.loc[rows], metric, file)
    return table, tuple(notes)


def _refuse_mixture(rows: pd.DataFrame, metric: str, file: Path | str) -> None:
    for keys, what in ((MODEL, "of this model"), (_TASK, "of this task")):
        largest = rows.groupby(list(keys), dropna=False)["value"].transform("max")
        small = rows[(largest > 0) & (largest <= 1)]
        if not small.empty:
            row, example = small.index[0], rows.nlargest(1, "value")
            raise DataError(
                f"percentages are mixed with fractions: no {metric} {what} is above 1, here {small.loc[row, 'value']}, "
                f"but row {example.index[0]} has {example['value'].iloc[0]}. Use one unit; if all are percentages, "
                "say so (unit percent)",
                file=file,
                row=int(row),
                key="value",
            )


def _doubts(values: pd.Series[float], metric: str) -> list[str]:
    small = values[(values > 0) & (values < 1)]
    if small.empty:
        return []
    return [
        f"{metric}: {len(small)} of {len(values)} values are below 1 percent (row {small.index[0]}: {small.iloc[0]}); "
        "if they are meant as fractions, the conclusions are wrong."
    ]


def _refuse_outside(rows: pd.DataFrame, metric: str, file: Path | str) -> None:
    lowest = -100 if metric.startswith(FIDELITY) else 0
    outside = rows[(rows["value"] < lowest) | (rows["value"] > 100)]
    if not outside.empty:
        row = outside.index[0]
        raise DataError(
            f"{outside.loc[row, 'value']} percent is not between {lowest} and 100 (metric {metric})",
            file=file,
            row=int(row),
            key="value",
        )


_ROUNDING_PERCENT = 0.06
"""Tasks and average may each be rounded to one decimal."""


def table_warnings(table: pd.DataFrame) -> tuple[str, ...]:
    """Sentences on one student, students without a control on some task, and averages that are none.

    Args:
        table: A tidy table in percent; the index is what rows are called.
    """
    accuracy = table[table["metric"] == ACCURACY]
    return (*_few_students(accuracy), *_without_control(accuracy), *_wrong_averages(accuracy))


def _few_students(accuracy: pd.DataFrame) -> Iterator[str]:
    for domain, rows in accuracy[is_distilled(accuracy)].groupby("domain", sort=False):
        students = rows["student"].unique()
        if len(students) == 1:
            yield (
                f"{domain}: {students[0]} is the only distilled student, so nothing can be said about other students, "
                "or about the size of students."
            )


def _without_control(accuracy: pd.DataFrame) -> Iterator[str]:
    place = ["study", "domain", "student", "task"]
    known = pd.MultiIndex.from_frame(accuracy.loc[accuracy["method"] == SFT, place])
    distilled = accuracy[is_distilled(accuracy)]
    alone = distilled[~pd.MultiIndex.from_frame(distilled[place]).isin(known)]
    if not alone.empty:
        first = alone.iloc[0]
        yield (
            f"{len(alone)} values have no {SFT} value of their student and task and enter no gain "
            f"(row {alone.index[0]}: {first['student']}, {first['task']})."
        )


def _wrong_averages(accuracy: pd.DataFrame) -> Iterator[str]:
    # No temperature is 0 here: a missing one would not survive as part of an index.
    wide = accuracy.fillna({"temperature": 0}).set_index([*MODEL, "task"])["value"].unstack("task")
    if AVERAGE not in wide or wide.shape[1] < 2:
        return
    for domain, models in wide.groupby("domain", sort=False):
        tasks = models.drop(columns=AVERAGE).dropna(axis=1, how="all")
        difference = (tasks.mean(axis=1, skipna=False) - models[AVERAGE]).abs()
        wrong = difference[difference > _ROUNDING_PERCENT]
        if not wrong.empty:
            yield (
                f"{domain}: {len(wrong)} of {len(models)} models have an {AVERAGE} that is not the mean of their "
                f"tasks, off by up to {wrong.max():.2f}."
            )

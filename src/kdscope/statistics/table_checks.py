"""What makes a table of results useless: fields missing, cells twice, no control. Each is one error with its row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kdscope.core.errors import DataError
from kdscope.statistics.tidy import ACCURACY, ADAPTED, CELL, COLUMNS, REQUIRED, SFT, UNADAPTED, is_distilled


def check_fields(text: pd.DataFrame, file: Path | str) -> None:
    """Refuse a row without one of the required fields.

    Args:
        text: Fields as text, empty where missing; the index is what rows are called.
        file: What errors call the table.

    Raises:
        DataError: The first such row, and the first column it lacks.
    """
    missing = text[list(REQUIRED)] == ""
    for row in missing.index[missing.any(axis=1)]:
        column = next(name for name in REQUIRED if missing.loc[row, name])
        advice = "; leave out the rows of what was not measured" if column == "value" else ""
        raise DataError(f"missing{advice}", file=file, row=int(row), key=column)


def check_cells(table: pd.DataFrame, file: Path | str) -> None:
    """Refuse values and settings that cannot be, and a cell that is there twice.

    Raises:
        DataError: The first such row.
    """
    _refuse(~np.isfinite(table["value"]), "is not finite", "value", table, file)
    _refuse(table["temperature"] <= 0, "is not above 0", "temperature", table, file)
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

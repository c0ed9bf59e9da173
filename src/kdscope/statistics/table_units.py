"""Percentages or fractions: one unit for a whole table, and an error where both are in it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pandas as pd

from kdscope.core.errors import DataError
from kdscope.statistics.tidy import ACCURACY, AGREEMENT, FIDELITY, MODEL

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

"""The accuracy table as a person reads it: one line for each task, value, error and interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from kdscope.results.formatting import decimals, interval
from kdscope.results.markdown import padded_table
from kdscope.results.measures import AVERAGES
from kdscope.results.table import Table, plain_table

_HEADINGS = ("Task", "n", "Scoring", "Metric", "Value", "±", "Stderr", "95% interval", "Unparsed", "Truncated")
_NUMERIC = (1, 4, 6, 7, 8, 9)
BELOW_CHANCE = "▼"
"""Marks a value whose whole interval lies below a uniform guess."""


def leaderboard(
    accuracy: pd.DataFrame, scorings: Sequence[str] = ("robust", "published"), *, unit: str = "Model"
) -> Table:
    """Rows to print: tasks in their order, averages last; a column for the model only where there are several.

    Free text is scored in one way only and has one row. A value marked with ▼ is below chance, its whole interval
    included.

    Args:
        accuracy: What `accuracy_table` made.
        scorings: Which scorings are shown.
        unit: Heading of the column that names the model.
    """
    shown = [row for row in accuracy.to_dict("records") if _is_shown(row, scorings)]
    cells = list(dict.fromkeys(row["cell"] for row in shown))
    tasks = list(dict.fromkeys(row["task"] for row in shown))
    shown.sort(key=lambda row: (cells.index(row["cell"]), row["task"] in AVERAGES, tasks.index(row["task"])))
    if len(cells) <= 1:
        return plain_table(_HEADINGS, map(_line, shown), _NUMERIC)
    lines = [(str(row["cell"]), *_line(row)) for row in shown]
    return plain_table((unit, *_HEADINGS), lines, [place + 1 for place in _NUMERIC])


def write_leaderboard(table: Table, file: Path, title: str = "") -> None:
    """Write the table as a Markdown file."""
    head = f"# {title}\n\n" if title else ""
    note = f"\n{BELOW_CHANCE} below chance, the whole interval included.\n" if _is_marked(table) else ""
    file.write_text(head + padded_table(table) + note, encoding="utf-8", newline="\n")


def _is_shown(row: Mapping[Any, Any], scorings: Sequence[str]) -> bool:
    return row["scoring"] in (scorings if row["metric"] == "accuracy" else scorings[:1])


def _is_marked(table: Table) -> bool:
    return any(BELOW_CHANCE in cell.text for row in table.rows for cell in row)


def _line(row: Mapping[Any, Any]) -> tuple[str, ...]:
    return (
        str(row["task"]),
        f"{row['items']:,}",
        str(row["scoring"]) if row["metric"] == "accuracy" else "",
        str(row["metric"]),
        decimals(row["accuracy"]) + (f" {BELOW_CHANCE}" if row["below_chance"] else ""),
        "±",
        decimals(row["stderr"]),
        interval(row["low"], row["high"]),
        f"{100 * row['unparsed_rate']:.1f}%",
        f"{100 * row['truncated_rate']:.1f}%",
    )

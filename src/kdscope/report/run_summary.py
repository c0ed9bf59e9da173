"""A study in a terminal: one row a model, and the primary question's answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from kdscope.report.formatting import MISSING, fixed, is_missing, p_value, percent, points, with_interval
from kdscope.report.labels import name_cells
from kdscope.report.panels import averages, pooled, select
from kdscope.report.tables import ReportTables, records

HEADINGS = ("model", "how", "accuracy %", "gain over SFT, points", "Holm p", "like its teacher")
RIGHT_ALIGNED = frozenset({2, 3, 4, 5})


def run_rows(tables: ReportTables, scoring: str) -> list[list[str]]:
    """The cells of a table under `HEADINGS`, with 95% intervals.

    Accuracy is the mean over tasks, the gain that over all items together; `like its teacher` is agreement with the
    teacher, from 0 (as much as the SFT control) to 1 (as much as the teacher run again). A model that failed says so.
    """
    return [
        [
            row["model"],
            row["how"],
            "failed" if row["state"] == "failed" else percent(row["accuracy"]),
            _gain(row),
            p_value(row["p_holm"]),
            _likeness(row),
        ]
        for row in run_numbers(tables, scoring)
    ]


def run_numbers(tables: ReportTables, scoring: str) -> list[dict[str, Any]]:
    """The same for programs: shares and differences of shares, None where nothing was measured."""
    sources = (
        (_by_cell(averages(tables, scoring)), ("accuracy",)),
        (_by_cell(pooled(select(tables.gains, scoring=scoring))), ("gain", "low", "high", "p_holm")),
        (
            _by_cell(select(pooled(tables.fidelity), measure="agreement")),
            ("normalised", "normalised_low", "normalised_high"),
        ),
    )
    states = dict(zip(tables.cells["cell"], tables.cells["state"], strict=True))
    rows = []
    for cell, name in name_cells(tables.cells).items():
        row: dict[str, Any] = {"cell": cell, "model": name.model, "how": name.short, "state": states[cell]}
        for found, columns in sources:
            row |= {column: _number(found.get(cell, {}).get(column)) for column in columns}
        rows.append(row)
    return rows


def run_answers(tables: ReportTables) -> list[str]:
    """The sentences on the study's primary question."""
    return [str(row["sentence"]) for row in records(tables.statistics) if row["role"] == "confirmatory"]


def _gain(row: Mapping[str, Any]) -> str:
    if is_missing(row.get("gain")):
        return MISSING
    return with_interval(*(points(row[name]) for name in ("gain", "low", "high")))


def _likeness(row: Mapping[str, Any]) -> str:
    if is_missing(row.get("normalised")):
        return MISSING
    return with_interval(*(fixed(row[name], 2) for name in ("normalised", "normalised_low", "normalised_high")))


def _number(value: Any) -> float | None:
    return None if is_missing(value) else float(value)


def _by_cell(rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The first row of each cell."""
    found: dict[str, dict[str, Any]] = {}
    for row in records(rows):
        found.setdefault(str(row["cell"]), row)
    return found

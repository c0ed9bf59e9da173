"""The tables of the page: rows of already formatted text with a value to sort by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from kdscope.report.figures import ITEM_LEVEL, task_names
from kdscope.results import formatting
from kdscope.results.formatting import MISSING, is_missing, percent, points, with_interval
from kdscope.results.measures import AVERAGES, POOLS
from kdscope.results.methods import BASE
from kdscope.results.tables import ReportTables, pooled, records, select

_GAIN = ("gain", "low", "high")


@dataclass(frozen=True)
class Entry:
    """One table entry: what is shown, what it sorts by, and whether it deserves a second look."""

    text: str
    sort: str = ""
    flagged: bool = False


@dataclass(frozen=True)
class View:
    """One table of the page; `csv` names the tidy table that it was made from."""

    key: str
    title: str
    how_to_read: str
    csv: str
    empty: str
    head: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]

    @cached_property
    def text_columns(self) -> frozenset[int]:
        """Columns without anything to sort by as a number."""
        return frozenset(range(len(self.head))) - {
            place for row in self.rows for place, entry in enumerate(row) if entry.sort
        }


def models_view(tables: ReportTables) -> View:
    """One row per model: its size, and what was done with it."""
    names = tables.names
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in records(tables.cells):
        group = "teacher" if row["role"] == "teacher" else "student"
        groups.setdefault((group, names[row["cell"]].model), []).append(row)
    return View(
        key="models",
        title="Models",
        how_to_read="Steps and tokens are per cell; a range where cells differ. Trained parameters are those that "
        "training may change (adapters, or everything).",
        csv="cells",
        empty="The study has no models.",
        head=("model", "as", "parameters", "trained", "methods", "seeds", "cells done", "steps", "target tokens"),
        rows=tuple(_model_row(role, model, rows) for (role, model), rows in groups.items()),
    )


def _model_row(role: str, model: str, rows: Sequence[Mapping[str, Any]]) -> tuple[Entry, ...]:
    methods = dict.fromkeys(row["method"] for row in rows)
    done = sum(row["state"] == "done" for row in rows)
    seeds = {int(row["seed"]) for row in rows if not is_missing(row["seed"])}
    trained = [row for row in rows if row["method"] != BASE]
    return (
        Entry(model),
        Entry(role),
        _range(rows, "parameters"),
        _range(trained, "trained_parameters"),
        Entry(", ".join(methods)),
        Entry(", ".join(str(seed) for seed in sorted(seeds)) or MISSING),
        Entry(f"{done} of {len(rows)}", str(done), flagged=done < len(rows)),
        _range(trained, "steps"),
        _range(trained, "target_tokens"),
    )


def _range(rows: Sequence[Mapping[str, Any]], column: str) -> Entry:
    values = [int(row[column]) for row in rows if not is_missing(row[column])]
    if not values:
        return Entry(MISSING)
    low, high = formatting.short_count(min(values)), formatting.short_count(max(values))
    return Entry(low if low == high else f"{low} to {high}", str(max(values)))


def cells_view(tables: ReportTables) -> View:
    """One row per cell: what was trained and how it went."""
    return View(
        key="cells",
        title="Cells",
        how_to_read="A cell is one model trained once, with one seed.",
        csv="cells",
        empty="The study has no cells.",
        head=(
            *("cell", "method", "T", "weight", "noise", "seed", "state", "steps", "kept step", "learning rate"),
            *("target tokens", "validation loss"),
        ),
        rows=tuple(_cell_row(row) for row in records(tables.cells)),
    )


def _cell_row(row: Mapping[str, Any]) -> tuple[Entry, ...]:
    return (
        Entry(row["cell"]),
        Entry(row["method"]),
        *(_number(row[column], "{:g}") for column in ("kd_temperature", "kd_weight", "teacher_noise_std", "seed")),
        Entry(row["state"], flagged=row["state"] == "failed"),
        _number(row["steps"], "{:,}"),
        _kept(row),
        _number(row["learning_rate"], "{:g}"),
        _number(row["target_tokens"], "{:,}"),
        _number(row["validation_loss"], "{:.3f}"),
    )


def _kept(row: Mapping[str, Any]) -> Entry:
    kept = _number(row["kept_step"], "{:,}")
    in_warm_start = not is_missing(row["distilled"]) and not row["distilled"]
    return replace(kept, text=f"{kept.text} (warm start)", flagged=True) if in_warm_start else kept


def accuracy_view(tables: ReportTables, scoring: str) -> View:
    """One row per cell, one column per task, with 95% intervals; chance in the last row."""
    rows = tables.named(select(tables.accuracy, scoring=scoring))
    tasks = [task for task in task_names(tables) if task in set(rows["task"])]
    by_cell = {str(cell): _by(part, "task") for cell, part in rows.groupby("cell", sort=False)}
    body = [
        (
            Entry(cell),
            *(_accuracy_entry(part[task]) if task in part else Entry(MISSING) for task in tasks),
        )
        for cell, part in by_cell.items()
    ]
    chance = rows.drop_duplicates("task").set_index("task")["chance"]
    if chance.notna().any():
        body.append((Entry("chance"), *(_number(100 * chance[task], "{:.1f}") for task in tasks)))
    return View(
        key=f"accuracy-table-{scoring}",
        title=f"Accuracy, percent ({scoring} scoring)",
        how_to_read="In brackets the 95% interval; free text has its mean ROUGE-L, times 100. Two overlapping "
        "intervals do not show that two models are equal, nor two that stand apart by how much they differ: for that, "
        "read the paired differences. ▼: below chance.",
        csv="accuracy",
        empty="No model has been evaluated under this scoring.",
        head=("cell", *(_task_head(task, rows) for task in tasks)),
        rows=tuple(body),
    )


def _task_head(task: str, rows: pd.DataFrame) -> str:
    items = rows["items"][rows["task"] == task].dropna().unique()
    return f"{task} (n={items[0]:,})" if len(items) == 1 and task not in AVERAGES else task


def _accuracy_entry(row: Mapping[str, Any]) -> Entry:
    below = not is_missing(row["below_chance"]) and bool(row["below_chance"])
    text = with_interval(percent(row["accuracy"]), percent(row["low"]), percent(row["high"]))
    return Entry(text + (" ▼" if below else ""), _sort(row["accuracy"]), flagged=below)


def gains_view(tables: ReportTables, scoring: str) -> View:
    """One row per comparison with SFT: pooled gain, its test, and the gain on every task."""
    rows = tables.named(select(tables.gains, scoring=scoring))
    tasks = [task for task in dict.fromkeys(rows["task"]) if task not in (*POOLS, *AVERAGES)]
    body = []
    for (cell, control), part in rows.groupby(["cell", "control"], sort=False):
        body.append(
            (Entry(str(cell)), Entry(str(control)), *_gain_entries(records(pooled(part)), _by(part, "task"), tasks))
        )
    methods = "; ".join(rows["method_of_test"].dropna().unique())
    return View(
        key=f"gains-table-{scoring}",
        title=f"Difference from SFT by checkpoint, points ({scoring} scoring)",
        how_to_read=f"{ITEM_LEVEL} What holds of methods is in the table at the top. Student and control answered the "
        "same items; “only cell” and “only control” count the items that one got right and the other did not. The Holm "
        "p of the pooled difference allows for the number of comparisons; intervals are pointwise."
        + (f" Tests and intervals: {methods}." if methods else ""),
        csv="gains",
        empty="There is no finished distilled student with a finished SFT control to compare it with.",
        head=("cell", "control", "items", "only cell", "only control", "pooled difference", "p", "Holm p", *tasks),
        rows=tuple(body),
    )


def _gain_entries(
    overall: Sequence[Mapping[str, Any]], by_task: Mapping[str, Mapping[str, Any]], tasks: list[str]
) -> list[Entry]:
    nothing: dict[str, Any] = dict.fromkeys(("items", "only_cell", "only_control", *_GAIN, "p_value", "p_holm"))
    total = overall[0] if overall else nothing
    counts = [_number(total[column], "{:,}") for column in ("items", "only_cell", "only_control")]
    tests = [Entry(formatting.p_value(total[column]), _sort(total[column])) for column in ("p_value", "p_holm")]
    by = [_gain_entry(by_task.get(task, nothing)) for task in tasks]
    return [*counts, _gain_entry(total), *tests, *by]


def _gain_entry(row: Mapping[str, Any]) -> Entry:
    return Entry(with_interval(*(points(row[column]) for column in _GAIN)), _sort(row["gain"]))


def grid_tests_view(tables: ReportTables) -> View:
    """The tests over the whole grid."""
    rows = [
        (
            *(
                Entry(MISSING if is_missing(row[c]) else row[c])
                for c in ("protocol", "hypothesis", "group", "task", "test")
            ),
            _number(row["statistic"], "{:.3f}"),
            Entry(formatting.p_value(row["p_value"]), _sort(row["p_value"])),
            _number(row["n"], "{:,}"),
        )
        for row in records(tables.tests)
    ]
    return View(
        key="tests-table",
        title="Published tests over the grid",
        how_to_read="The tests of the published analysis, as published: p-values are not adjusted for their number, "
        "and the cells they treat as independent share students, teachers and items.",
        csv="tests",
        empty="The grid is too small for the published tests, or none was run.",
        head=("protocol", "hypothesis", "group", "task", "test", "statistic", "p", "n"),
        rows=tuple(rows),
    )


def _by(rows: pd.DataFrame, column: str) -> dict[str, dict[str, Any]]:
    return {row[column]: row for row in records(rows)}


def _number(value: Any, template: str) -> Entry:
    return Entry(MISSING) if is_missing(value) else Entry(template.format(value).replace("-", "\u2212"), _sort(value))


def _sort(value: Any) -> str:
    return "" if is_missing(value) else repr(float(value))

"""How a run went: accuracy by task, answers that could not be read, validation loss, and what training cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from kdscope.figures import style
from kdscope.figures.panels import (
    Figure,
    Panels,
    by_model,
    by_rows,
    marks_legend,
    own_panels,
    tagged,
    with_method_style,
)
from kdscope.figures.style import FULL, HALF, STEP, TEXT, LegendEntry, padded, panel_width
from kdscope.results.formatting import fixed, is_missing, percent, short_count, with_interval
from kdscope.results.measures import AVERAGES
from kdscope.results.methods import BASE, BLUE, INK, VERMILION
from kdscope.results.tables import ReportTables, records, select

UNPARSED_LIMIT = 0.2
"""Above this share of unreadable answers, an accuracy says as much about format as about ability."""

_TASKS_BESIDE = 7
"""Tasks up to which two panels of accuracy stand side by side."""
_COLUMN, _NAMES = 48, 260
"""Pixels that a task's numbers and the names of rows need."""
_SLANTED = 34
"""Pixels that the slanted name of the last task takes beside its column."""
_MARGIN = 3
"""Percent on either side of the axis, so that marks at its ends cover no names."""
_RATES = (
    LegendEntry("no answer could be read", VERMILION, "circle"),
    LegendEntry("cut off at the length limit", BLUE, "square", filled=False),
)


@dataclass(frozen=True)
class _Cost:
    """A column of `cells` and how it is told."""

    column: str
    axis: str
    unit: float
    decimals: int


_COSTS = (
    _Cost("target_tokens", "target tokens", 1.0, 0),
    _Cost("training_seconds", "training time (s)", 1.0, 1),
    _Cost("peak_memory_bytes", "peak memory (GiB)", 2.0**30, 2),
)

_MINUTES, _HOURS = 3_000.0, 180_000.0
"""Seconds from which on times are told in minutes, and in hours."""


def accuracy_figure(tables: ReportTables, scoring: str) -> Figure:
    """Accuracy of every model on every task as a heat map with the values printed."""
    rows = select(tables.accuracy, scoring=scoring)
    rows = tables.named(rows[rows["accuracy"].notna()])
    top = float(rows["accuracy"].max()) if len(rows) else 1.0
    flags = rows["below_chance"].fillna(False).astype(bool)
    rows = rows.assign(
        printed=[percent(value) + ("▼" if flag else "") for value, flag in zip(rows["accuracy"], flags, strict=True)],
        ink=np.where(rows["accuracy"] > 0.66 * top, "#ffffff", "#101014"),
        hover=[_accuracy_hover(row) for row in records(rows)],
    )
    tasks = tables.tasks
    return Figure(
        key=f"accuracy-{scoring}",
        title=f"Accuracy by task, in percent ({scoring} scoring)",
        how_to_read="Darker is more accurate, on one scale for all panels. ▼ marks a result whose whole 95% interval "
        "lies below chance, which points to answers that lost their format.",
        empty="No model has been evaluated.",
        panels=Panels({label: partial(_heat_panel, part, label, tasks, top) for label, part in by_rows(rows)}),
        students=own_panels(rows),
        data=rows[["cell", "task", "metric", "items", "accuracy", "low", "high", "chance"]],
    )


def _heat_panel(rows: pd.DataFrame, title: str, tasks: list[str], top: float) -> alt.LayerChart:
    shown = [task for task in tasks if task in set(rows["task"])]
    rows = rows.assign(column=[shown.index(task) for task in rows["task"]])
    axis = alt.Axis(title=None, orient="top", labelAngle=-35, domain=False, ticks=False, labelLimit=130, labelPadding=4)
    gaps = alt.Scale(paddingInner=0.03, paddingOuter=0.015)
    x = alt.X("task:N", sort=alt.EncodingSortField("column", op="min"), axis=axis, scale=gaps)
    base = style.chart(tagged(rows, in_rows=True, columns=shown)).encode(
        x=x, y=style.row_axis(gaps=0.07), description=style.hover()
    )
    shade = alt.Color("accuracy:Q", scale=alt.Scale(scheme="blues", domain=[0, top or 1.0]), legend=None)
    box = base.mark_rect().encode(color=shade)
    text = base.mark_text(fontSize=TEXT).encode(text="printed:N", fill=alt.Fill("ink:N", scale=None, legend=None))
    width = HALF if len(shown) <= _TASKS_BESIDE else max(FULL, _NAMES + _COLUMN * len(shown))
    panel = style.finish([box, text], title, width, alt.Step(STEP))
    return panel.properties(padding={"left": 5, "top": 5, "bottom": 5, "right": _SLANTED})


def _accuracy_hover(row: Mapping[str, Any]) -> str:
    value = with_interval(percent(row["accuracy"]), percent(row["low"]), percent(row["high"]))
    return f"{row['short']} on {row['task']}: {value}% ({row['cell']})"


def rates_figure(tables: ReportTables, scoring: str) -> Figure:
    """Share of answers that could not be read, and share cut off, over all items of a model."""
    rows = tables.named(answer_rates(tables, scoring))
    long = rows.melt(["cell", "model", "short", "method", "role", "place"], ["unparsed", "truncated"], "rate", "share")
    long = long[long["share"].notna()].sort_values("place", kind="stable")
    unparsed = long["rate"] == "unparsed"
    hovers = [f"{row['short']}: {percent(row['share'])}% {row['rate']} ({row['cell']})" for row in records(long)]
    long = long.assign(
        colour=np.where(unparsed, VERMILION, BLUE),
        fill=np.where(unparsed, VERMILION, "transparent"),
        shape=np.where(unparsed, "circle", "square"),
        hover=hovers,
        share=100 * long["share"],
    )
    width = panel_width(len(list(by_rows(long))))
    return Figure(
        key="rates",
        title=f"Answers that could not be read or were cut off ({scoring} scoring)",
        how_to_read=f"Shares of all items. Right of the dashed line ({100 * UNPARSED_LIMIT:g}%), an accuracy says as "
        "much about the format of the answers as about their truth.",
        empty="It is not known how many answers could not be read or were cut off.",
        panels=Panels({label: partial(_rates_panel, part, label, width) for label, part in by_rows(long)}),
        legend=_RATES,
        students=own_panels(long),
        data=long[["cell", "rate", "share"]],
    )


def _rates_panel(rows: pd.DataFrame, title: str, width: int) -> alt.LayerChart:
    x = alt.X(
        "share:Q",
        title="% of items",
        scale=alt.Scale(domain=[-_MARGIN, 100 + _MARGIN], nice=False),
        axis=alt.Axis(values=[0, 20, 40, 60, 80, 100]),
    )
    marks = (
        style.chart(tagged(rows, in_rows=True))
        .mark_point(size=55, strokeWidth=2, opacity=1)
        .encode(x=x, y=style.row_axis(), shape=style.shape())
    )
    marks = marks.encode(color=style.colour(), fill=style.fill(), description=style.hover())
    return style.finish([style.reference_line(x=100 * UNPARSED_LIMIT), marks], title, width, alt.Step(STEP))


def answer_rates(tables: ReportTables, scoring: str) -> pd.DataFrame:
    """Columns cell, unparsed, truncated: the tasks' rates weighted by their items; NaN where not measured."""
    rows = select(tables.accuracy, scoring=scoring)
    of_cells: dict[str, list[dict[str, Any]]] = {}
    for row in records(rows[~rows["task"].isin(AVERAGES)]):
        of_cells.setdefault(row["cell"], []).append(row)
    rates = [
        {"cell": cell, "unparsed": _weighted(own, "unparsed_rate"), "truncated": _weighted(own, "truncated_rate")}
        for cell, own in of_cells.items()
    ]
    return pd.DataFrame(rates, columns=["cell", "unparsed", "truncated"])


def _weighted(rows: list[dict[str, Any]], column: str) -> float:
    known = [row for row in rows if not is_missing(row[column]) and not is_missing(row["items"]) and row["items"] > 0]
    if not known:
        return float("nan")
    return float(np.average([row[column] for row in known], weights=[float(row["items"]) for row in known]))


def training_figure(tables: ReportTables) -> Figure:
    """Validation loss against optimiser steps."""
    rows = with_method_style(tables.named(tables.training[tables.training["validation_loss"].notna()]))
    rows = rows.assign(
        hover=[
            f"{row['short']}, step {row['step']}: {fixed(row['validation_loss'], 3)} ({row['cell']})"
            for row in records(rows)
        ]
    )
    width = panel_width(rows["model"].nunique())
    return Figure(
        key="training",
        title="Validation loss",
        how_to_read="Cross-entropy on held-out rows, in nats per token, against optimiser steps. A curve still falling "
        "at its end was stopped early; one that turns up has begun to overfit.",
        empty="No validation loss has been recorded.",
        panels=Panels({model: partial(_training_panel, part, model, width) for model, part in by_model(rows)}),
        students={model: model for model in rows["model"][rows["role"] != "teacher"].unique()},
        data=rows[["cell", "step", "tokens", "validation_loss"]],
        legend=marks_legend(rows),
    )


def _training_panel(rows: pd.DataFrame, title: str, width: int) -> alt.LayerChart:
    reach = padded(rows["validation_loss"].to_numpy(dtype=float))
    scale = alt.Scale(domain=reach, nice=False)
    base = style.chart(tagged(rows)).encode(
        x=alt.X("step:Q", title="optimiser step", axis=alt.Axis(tickCount=5, grid=False)),
        y=alt.Y("validation_loss:Q", title="validation loss", scale=scale, axis=alt.Axis(tickCount=5)),
        color=style.colour(),
    )
    line = base.mark_line(strokeWidth=1.5).encode(detail="cell:N", description=style.hover())
    dots = base.mark_point(size=28, opacity=1, strokeWidth=1.5).encode(
        shape=style.shape(), fill=style.fill(), description=style.hover()
    )
    return style.finish([line, dots], title, width, 260)


def cost_figure(tables: ReportTables) -> Figure:
    """One bar per trained cell and cost."""
    trained = tables.cells[tables.cells["method"] != BASE]
    rows = with_method_style(tables.named(trained[["cell", *(cost.column for cost in _COSTS)]]))
    panels: dict[str, Callable[[], alt.LayerChart]] = {}
    students: dict[str, str] = {}
    for cost in map(partial(_with_unit, trained), _COSTS):
        known = rows[rows[cost.column].notna()]
        owners = own_panels(known)
        for name, part in by_rows(known):
            label = f"{name}, {cost.axis}"
            panels[label] = partial(_cost_panel, part, name, cost, HALF)
            students |= {label: owners[name]} if name in owners else {}
    return Figure(
        key="cost",
        title="What it cost",
        how_to_read="Per cell. Target tokens are those a loss was computed on, repeated passes included; time is of "
        "training alone, and does not hold the teacher's answers, which are made once and shared.",
        empty="No tokens, time or memory have been recorded.",
        panels=Panels(panels),
        students=students,
        data=rows[["cell", *(cost.column for cost in _COSTS)]],
    )


def _with_unit(cells: pd.DataFrame, cost: _Cost) -> _Cost:
    """Time in seconds, in minutes or hours only where seconds would be numbers of many digits."""
    longest = cells[cost.column].max()
    if cost.column != "training_seconds" or pd.isna(longest) or longest < _MINUTES:
        return cost
    unit, name = (3600.0, "hours") if longest >= _HOURS else (60.0, "minutes")
    return replace(cost, axis=f"training time ({name})", unit=unit)


def _cost_panel(rows: pd.DataFrame, title: str, cost: _Cost, width: int) -> alt.LayerChart:
    amount = rows[cost.column].astype(float) / cost.unit
    told = [short_count(int(value)) if not cost.decimals else fixed(value, cost.decimals) for value in amount]
    rows = rows.assign(amount=amount, told=told)
    rows = rows.assign(hover=[f"{row['short']}: {row['told']} {cost.axis} ({row['cell']})" for row in records(rows)])
    rows = tagged(rows, in_rows=True)
    axis = alt.Axis(tickCount=4, format="~g" if cost.decimals else "~s", labelExpr="datum.value ? datum.label : '0'")
    x = alt.X("amount:Q", title=cost.axis, scale=alt.Scale(domain=[0, 1.25 * float(amount.max()) or 1.0]), axis=axis)
    base = style.chart(rows).encode(y=style.row_axis(), description=style.hover())
    bars = base.mark_bar(height=11).encode(x=x, color=style.colour())
    text = base.mark_text(align="left", dx=4, fontSize=TEXT, color=INK).encode(x=x, text="told:N")
    return style.finish([bars, text], title, width, alt.Step(STEP))

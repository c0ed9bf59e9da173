"""The figures of results: gains, accuracy, unreadable answers and training, one panel per model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from kdscope.report.fidelity_figures import decomposition_figure, paradox_figure
from kdscope.report.formatting import fixed, p_equals, percent, points, with_interval
from kdscope.report.panels import Figure, by_model, named, padded, pooled, reference_line, select, with_method_style
from kdscope.report.plane import plane_figure
from kdscope.report.schema import AVERAGES
from kdscope.report.style import (
    BLUE,
    MUTED,
    VERMILION,
    LegendEntry,
    chart,
    colour,
    finish,
    hover,
    method_legend,
    row_axis,
    shape,
)
from kdscope.report.tables import ReportTables, records

UNPARSED_LIMIT = 0.2
"""Above this share of unreadable answers, an accuracy says as much about format as about ability."""

_WIDTH = 230
_VERDICTS = (
    LegendEntry("interval above 0", BLUE),
    LegendEntry("interval below 0", VERMILION),
    LegendEntry("interval includes 0", MUTED, filled=False),
)
_RATES = (
    LegendEntry("no answer could be read", VERMILION, "circle"),
    LegendEntry("cut off at the length limit", BLUE, "square", filled=False),
)


def main_figures(tables: ReportTables, scoring: str) -> list[Figure]:
    """All figures in the order in which a reader needs them."""
    return [
        gain_figure(tables, scoring),
        accuracy_figure(tables, scoring),
        plane_figure(tables, scoring),
        paradox_figure(tables, scoring),
        decomposition_figure(tables),
        rates_figure(tables, scoring),
        training_figure(tables),
    ]


def other_scoring_figures(tables: ReportTables, scoring: str) -> list[Figure]:
    """The figures that say something else under the other scoring."""
    return [gain_figure(tables, scoring), accuracy_figure(tables, scoring)]


def gain_figure(tables: ReportTables, scoring: str) -> Figure:
    """Pooled gain over SFT with its 95% interval, in percentage points."""
    rows = pooled(select(tables.gains, scoring=scoring))
    rows = named(tables, rows[rows["gain"].notna()])
    above, below = rows["low"] > 0, rows["high"] < 0
    rows = rows.assign(
        colour=np.select([above, below], [BLUE, VERMILION], MUTED),
        fill=np.select([above, below], [BLUE, VERMILION], "transparent"),
        hover=[_gain_hover(row) for row in records(rows)],
        gain=100 * rows["gain"],
        low=100 * rows["low"].fillna(rows["gain"]),
        high=100 * rows["high"].fillna(rows["gain"]),
    )
    reach = padded(rows[["gain", "low", "high"]].to_numpy(dtype=float), including=0.0)
    return Figure(
        key=f"gains-{scoring}",
        title=f"Gain over SFT, in points ({scoring} scoring)",
        how_to_read="Each row is a distilled student against the SFT control of the same student, on the same items. "
        "The line is the 95% interval of that one comparison; where it crosses 0, the gain cannot be told from none.",
        empty="There is no finished distilled student with a finished SFT control to compare it with.",
        panels={model: _gain_panel(part, model, reach) for model, part in by_model(rows)},
        legend=_VERDICTS,
    )


def _gain_panel(rows: pd.DataFrame, title: str, reach: list[float]) -> alt.LayerChart:
    look: dict[str, Any] = {"title": "gain over SFT (points)", "scale": alt.Scale(domain=reach, nice=False)}
    base = chart(rows).encode(y=row_axis(), color=colour(), description=hover())
    interval = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", **look), x2="high:Q")
    dot = base.mark_point(size=60, strokeWidth=2, opacity=1)
    dot = dot.encode(x=alt.X("gain:Q", **look), fill=alt.Fill("fill:N", scale=None, legend=None))
    return finish([reference_line(x=0.0), interval, dot], title, _WIDTH, alt.Step(22))


def _gain_hover(row: Mapping[str, Any]) -> str:
    gain = with_interval(points(row["gain"]), points(row["low"]), points(row["high"]))
    return f"{row['short']}: {gain} points, Holm p {p_equals(row['p_holm'])}, {row['items']} items ({row['cell']})"


def accuracy_figure(tables: ReportTables, scoring: str) -> Figure:
    """Accuracy of every model on every task as a heat map with the values printed."""
    rows = select(tables.accuracy, scoring=scoring)
    rows = named(tables, rows[rows["accuracy"].notna()])
    top = float(rows["accuracy"].max()) if len(rows) else 1.0
    flags = rows["below_chance"].fillna(False).astype(bool)
    rows = rows.assign(
        printed=[percent(value) + ("▼" if flag else "") for value, flag in zip(rows["accuracy"], flags, strict=True)],
        ink=np.where(rows["accuracy"] > 0.72 * top, "#ffffff", "#101014"),
        hover=[_accuracy_hover(row) for row in records(rows)],
    )
    tasks = task_names(tables)
    return Figure(
        key=f"accuracy-{scoring}",
        title=f"Accuracy by task, in percent ({scoring} scoring)",
        how_to_read="Darker is more accurate, on one scale for all panels. ▼ marks a result whose whole 95% interval "
        "lies below chance, which points to answers that lost their format.",
        empty="No model has been evaluated.",
        panels={model: _heat_panel(part, model, tasks, top) for model, part in by_model(rows)},
    )


def _heat_panel(rows: pd.DataFrame, title: str, tasks: list[str], top: float) -> alt.LayerChart:
    shown = [task for task in tasks if task in set(rows["task"])]
    rows = rows.assign(column=[shown.index(task) for task in rows["task"]])
    axis = alt.Axis(title=None, orient="top", labelAngle=-35, domain=False, ticks=False, labelLimit=110, labelPadding=4)
    x = alt.X("task:N", sort=alt.EncodingSortField("column", op="min"), axis=axis)
    base = chart(rows).encode(x=x, y=row_axis(), description=hover())
    shade = alt.Color("accuracy:Q", scale=alt.Scale(scheme="blues", domain=[0, top or 1.0]), legend=None)
    box = base.mark_rect(cornerRadius=2).encode(color=shade)
    text = base.mark_text(fontSize=10.5).encode(text="printed:N", fill=alt.Fill("ink:N", scale=None, legend=None))
    return finish([box, text], title, 50 * len(shown), alt.Step(22))


def _accuracy_hover(row: Mapping[str, Any]) -> str:
    value = with_interval(percent(row["accuracy"]), percent(row["low"]), percent(row["high"]))
    return f"{row['short']} on {row['task']}: {value}% ({row['cell']})"


def rates_figure(tables: ReportTables, scoring: str) -> Figure:
    """Share of answers that could not be read, and share cut off, over all items of a model."""
    rows = named(tables, answer_rates(tables, scoring))
    long = rows.melt(["cell", "model", "short", "place"], ["unparsed", "truncated"], "rate", "share")
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
    return Figure(
        key="rates",
        title=f"Answers that could not be read or were cut off ({scoring} scoring)",
        how_to_read=f"Shares of all items. Right of the dashed line ({100 * UNPARSED_LIMIT:g}%), an accuracy says as "
        "much about the format of the answers as about their truth.",
        empty="No model has been evaluated.",
        panels={model: _rates_panel(part, model) for model, part in by_model(long)},
        legend=_RATES,
    )


def _rates_panel(rows: pd.DataFrame, title: str) -> alt.LayerChart:
    x = alt.X("share:Q", title="% of items", scale=alt.Scale(domain=[0, 100]), axis=alt.Axis(tickCount=5))
    marks = chart(rows).mark_point(size=55, strokeWidth=2, opacity=1).encode(x=x, y=row_axis(), shape=shape())
    marks = marks.encode(color=colour(), fill=alt.Fill("fill:N", scale=None, legend=None), description=hover())
    return finish([reference_line(x=100 * UNPARSED_LIMIT), marks], title, _WIDTH, alt.Step(22))


def answer_rates(tables: ReportTables, scoring: str) -> pd.DataFrame:
    """Columns cell, unparsed, truncated: the tasks' rates weighted by their items; NaN where not measured."""
    rows = select(tables.accuracy, scoring=scoring)
    cells = [
        {"cell": cell, "unparsed": _weighted(part, "unparsed_rate"), "truncated": _weighted(part, "truncated_rate")}
        for cell, part in rows[~rows["task"].isin(AVERAGES)].groupby("cell", sort=False)
    ]
    return pd.DataFrame(cells, columns=["cell", "unparsed", "truncated"])


def _weighted(rows: pd.DataFrame, column: str) -> float:
    known = rows[rows[column].notna() & (rows["items"].fillna(0) > 0)]
    return float(np.average(known[column], weights=known["items"].astype(float))) if len(known) else float("nan")


def training_figure(tables: ReportTables) -> Figure:
    """Validation loss against optimiser steps."""
    rows = with_method_style(named(tables, tables.training[tables.training["validation_loss"].notna()]))
    rows = rows.assign(
        hover=[
            f"{row['short']}, step {row['step']}: {fixed(row['validation_loss'], 3)} ({row['cell']})"
            for row in records(rows)
        ]
    )
    return Figure(
        key="training",
        title="Validation loss",
        how_to_read="Cross-entropy on held-out rows, in nats per token, against optimiser steps. A curve still falling "
        "at its end was stopped early; one that turns up has begun to overfit.",
        empty="No validation loss has been recorded.",
        panels={model: _training_panel(part, model) for model, part in by_model(rows)},
        legend=method_legend(list(rows["method"])),
    )


def _training_panel(rows: pd.DataFrame, title: str) -> alt.LayerChart:
    reach = padded(rows["validation_loss"].to_numpy(dtype=float))
    scale = alt.Scale(domain=reach, nice=False)
    base = chart(rows).encode(
        x=alt.X("step:Q", title="optimiser step", axis=alt.Axis(tickCount=5, grid=False)),
        y=alt.Y("validation_loss:Q", title="validation loss", scale=scale, axis=alt.Axis(tickCount=5)),
        color=colour(),
    )
    line = base.mark_line(strokeWidth=1.5).encode(detail="cell:N")
    dots = base.mark_point(size=28, opacity=1, strokeWidth=1.5).encode(
        shape=shape(), fill=alt.Fill("fill:N", scale=None, legend=None), description=hover()
    )
    return finish([line, dots], title, 260, 170)


def task_names(tables: ReportTables) -> list[str]:
    """Tasks in their order of appearance, the average last."""
    names = list(dict.fromkeys(tables.accuracy["task"]))
    return [name for name in names if name not in AVERAGES] + [name for name in names if name in AVERAGES]

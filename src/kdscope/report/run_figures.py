"""The figures of how it went: answers that could not be read, and validation loss while training."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from kdscope.report.marks import tagged
from kdscope.report.panels import (
    Figure,
    by_model,
    by_rows,
    marks_legend,
    own_panels,
    padded,
    reference_line,
    with_method_style,
)
from kdscope.report.style import STEP, LegendEntry, chart, colour, finish, hover, panel_width, row_axis, shape
from kdscope.results.formatting import fixed, percent
from kdscope.results.measures import AVERAGES
from kdscope.results.palette import BLUE, VERMILION
from kdscope.results.tables import ReportTables, records, select

UNPARSED_LIMIT = 0.2
"""Above this share of unreadable answers, an accuracy says as much about format as about ability."""

_MARGIN = 3
"""Percent on either side of the axis, so that marks at its ends cover no names."""
_RATES = (
    LegendEntry("no answer could be read", VERMILION, "circle"),
    LegendEntry("cut off at the length limit", BLUE, "square", filled=False),
)


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
        panels={label: _rates_panel(part, label, width) for label, part in by_rows(long)},
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
        chart(tagged(rows, in_rows=True))
        .mark_point(size=55, strokeWidth=2, opacity=1)
        .encode(x=x, y=row_axis(), shape=shape())
    )
    marks = marks.encode(color=colour(), fill=alt.Fill("fill:N", scale=None, legend=None), description=hover())
    return finish([reference_line(x=100 * UNPARSED_LIMIT), marks], title, width, alt.Step(STEP))


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
        panels={model: _training_panel(part, model, width) for model, part in by_model(rows)},
        students={model: model for model in rows["model"][rows["role"] != "teacher"].unique()},
        data=rows[["cell", "step", "tokens", "validation_loss"]],
        legend=marks_legend(rows),
    )


def _training_panel(rows: pd.DataFrame, title: str, width: int) -> alt.LayerChart:
    reach = padded(rows["validation_loss"].to_numpy(dtype=float))
    scale = alt.Scale(domain=reach, nice=False)
    base = chart(tagged(rows)).encode(
        x=alt.X("step:Q", title="optimiser step", axis=alt.Axis(tickCount=5, grid=False)),
        y=alt.Y("validation_loss:Q", title="validation loss", scale=scale, axis=alt.Axis(tickCount=5)),
        color=colour(),
    )
    line = base.mark_line(strokeWidth=1.5).encode(detail="cell:N", description=hover())
    dots = base.mark_point(size=28, opacity=1, strokeWidth=1.5).encode(
        shape=shape(), fill=alt.Fill("fill:N", scale=None, legend=None), description=hover()
    )
    return finish([line, dots], title, width, 260)

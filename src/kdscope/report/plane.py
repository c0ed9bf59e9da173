"""The paradox plane: did a student become more like its teacher, and did it become better?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from kdscope.report.formatting import fixed, points
from kdscope.report.marks import tagged
from kdscope.report.panels import Figure, marks_legend, named, padded, pooled, reference_line, select, with_method_style
from kdscope.report.style import chart, colour, finish, hover, shape
from kdscope.report.tables import ReportTables, records

_MEASURES = {"agreement": "of answers (agreement)", "bleu": "of texts (BLEU)", "value_f1": "of steps (value F1)"}
_NORMALISED = ("normalised", "normalised_low", "normalised_high")
_FURTHEST = 1.5
"""Intervals are drawn up to here on either side of the span from control to ceiling."""


def plane_figure(tables: ReportTables, scoring: str) -> Figure:
    """Gain over SFT against normalised fidelity, both with intervals: one mark per cell."""
    rows = _gain_and_fidelity(tables, scoring)
    groups = [(str(m), str(measure), part) for (m, measure), part in rows.groupby(["model", "measure"], sort=False)]
    panels = {
        f"{model}, {measure}": _panel(part, f"{model}: fidelity {_MEASURES[measure]}")
        for model, measure, part in groups
    }
    return Figure(
        key="plane",
        title="Better, or more alike?",
        how_to_read="To the right: more like its teacher than the SFT control of the same student (at 0), up to "
        "another run of the teacher itself (at 1). Up: better than that control. Bars are 95% intervals. A mark above "
        "0 but not to the right of 0 gained without imitating; one to the right but not above 0 imitated without "
        "gaining.",
        empty="No student has a control and a ceiling that are clearly apart, so there is nothing to normalise by.",
        panels=panels,
        legend=marks_legend(rows),
        students={f"{model}, {measure}": model for model, measure, _ in groups},
        data=rows[["cell", "teacher_cell", "measure", *_NORMALISED, "gain", "low", "high"]],
    )


def _gain_and_fidelity(tables: ReportTables, scoring: str) -> pd.DataFrame:
    known = pooled(tables.fidelity)
    known = known[known["measure"].isin(list(_MEASURES)) & known["normalised"].notna()]
    gains = pooled(select(tables.gains, scoring=scoring))[["cell", "gain", "low", "high"]]
    columns = ["cell", "teacher_cell", "measure", *_NORMALISED]
    both = known[columns].merge(gains, on="cell", how="inner")
    rows = with_method_style(named(tables, both[both["gain"].notna()]))
    for name in ("gain", "low", "high"):
        rows[name] = 100 * rows[name]
    return rows


def _panel(rows: pd.DataFrame, title: str) -> alt.LayerChart:
    rows = rows.assign(
        left=rows["normalised_low"].clip(-_FURTHEST, 1 + _FURTHEST),
        right=rows["normalised_high"].clip(-_FURTHEST, 1 + _FURTHEST),
        place=rows["normalised"].clip(-_FURTHEST, 1 + _FURTHEST),
        hover=[_hover(row) for row in records(rows)],
    )
    across = padded(np.append(rows[["left", "right", "place"]].to_numpy(dtype=float), (0.0, 1.0)))
    up = padded(np.append(rows[["low", "high", "gain"]].to_numpy(dtype=float), 0.0))
    few = alt.Axis(tickCount=5)
    x = alt.X("place:Q", title="normalised fidelity", scale=alt.Scale(domain=across, nice=False), axis=few)
    y = alt.Y("gain:Q", title="gain over SFT (points)", scale=alt.Scale(domain=up, nice=False), axis=few)
    rows = tagged(rows)
    marks = chart(rows).mark_point(size=75, strokeWidth=1.8, opacity=1)
    fill = alt.Fill("fill:N", scale=None, legend=None)
    bars = chart(rows).mark_rule(strokeWidth=1.1)
    layers = [
        reference_line(x=0.0),
        reference_line(x=1.0),
        reference_line(y=0.0),
        bars.encode(x=_at(x, "left"), x2="right:Q", y=y, color=colour(), description=hover()),
        bars.encode(x=x, y=_at(y, "low"), y2="high:Q", color=colour(), description=hover()),
        marks.encode(x=x, y=y, color=colour(), shape=shape(), fill=fill, description=hover()),
    ]
    return finish(layers, title, 270, 190)


def _hover(row: Mapping[str, Any]) -> str:
    low, middle, high = (fixed(row[name], 2) for name in ("normalised_low", "normalised", "normalised_high"))
    gain = points(row["gain"] / 100)
    cells = f"{row['cell']} and {row['teacher_cell']}"
    return f"{row['short']}: normalised fidelity {middle} ({low} to {high}), gain {gain} ({cells})"


def _at(channel: alt.X | alt.Y, column: str) -> alt.X | alt.Y:
    """The same axis at another column."""
    moved = channel.copy()
    moved.shorthand = f"{column}:Q"
    return moved

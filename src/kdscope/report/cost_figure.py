"""What every cell cost: tokens trained on, time, and memory, as far as they are known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import altair as alt
import pandas as pd

from kdscope.report.marks import tagged
from kdscope.report.panels import Figure, by_rows, own_panels, with_method_style
from kdscope.report.style import HALF, STEP, TEXT, chart, finish, hover, row_axis
from kdscope.results.formatting import fixed, short_count
from kdscope.results.methods import BASE
from kdscope.results.palette import INK
from kdscope.results.tables import ReportTables, records


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


def cost_figure(tables: ReportTables) -> Figure:
    """One bar per trained cell and cost."""
    trained = tables.cells[tables.cells["method"] != BASE]
    rows = with_method_style(tables.named(trained[["cell", *(cost.column for cost in _COSTS)]]))
    panels: dict[str, alt.LayerChart] = {}
    students: dict[str, str] = {}
    for cost in map(partial(_with_unit, trained), _COSTS):
        known = rows[rows[cost.column].notna()]
        owners = own_panels(known)
        for name, part in by_rows(known):
            label = f"{name}, {cost.axis}"
            panels[label] = _panel(part, name, cost, HALF)
            students |= {label: owners[name]} if name in owners else {}
    return Figure(
        key="cost",
        title="What it cost",
        how_to_read="Per cell. Target tokens are those a loss was computed on, repeated passes included; time is of "
        "training alone, and does not hold the teacher's answers, which are made once and shared.",
        empty="No tokens, time or memory have been recorded.",
        panels=panels,
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


def _panel(rows: pd.DataFrame, title: str, cost: _Cost, width: int) -> alt.LayerChart:
    amount = rows[cost.column].astype(float) / cost.unit
    told = [short_count(int(value)) if not cost.decimals else fixed(value, cost.decimals) for value in amount]
    rows = rows.assign(amount=amount, told=told)
    rows = rows.assign(hover=[f"{row['short']}: {row['told']} {cost.axis} ({row['cell']})" for row in records(rows)])
    rows = tagged(rows, in_rows=True)
    axis = alt.Axis(tickCount=4, format="~g" if cost.decimals else "~s", labelExpr="datum.value ? datum.label : '0'")
    x = alt.X("amount:Q", title=cost.axis, scale=alt.Scale(domain=[0, 1.25 * float(amount.max()) or 1.0]), axis=axis)
    base = chart(rows).encode(y=row_axis(), description=hover())
    look = alt.Color("colour:N", scale=None, legend=None)
    bars = base.mark_bar(height=11).encode(x=x, color=look)
    text = base.mark_text(align="left", dx=4, fontSize=TEXT, color=INK).encode(x=x, text="told:N")
    return finish([bars, text], title, width, alt.Step(STEP))

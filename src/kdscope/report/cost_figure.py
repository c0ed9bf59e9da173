"""What every cell cost: tokens trained on, time, and memory, as far as they are known."""

from __future__ import annotations

from dataclasses import dataclass

import altair as alt
import pandas as pd

from kdscope.report.formatting import fixed, short_count
from kdscope.report.marks import tagged
from kdscope.report.panels import Figure, by_rows, named, own_panels, with_method_style
from kdscope.report.style import INK, chart, finish, hover, row_axis
from kdscope.report.tables import ReportTables, records


@dataclass(frozen=True)
class _Cost:
    """A column of `cells` and how it is told."""

    column: str
    axis: str
    unit: float
    decimals: int


_COSTS = (
    _Cost("target_tokens", "target tokens", 1.0, 0),
    _Cost("training_seconds", "training time (minutes)", 60.0, 1),
    _Cost("peak_memory_bytes", "peak memory (GiB)", 2.0**30, 2),
)


def cost_figure(tables: ReportTables) -> Figure:
    """One bar per trained cell and cost."""
    trained = tables.cells[tables.cells["method"] != "base"]
    rows = with_method_style(named(tables, trained[["cell", *(cost.column for cost in _COSTS)]]))
    panels: dict[str, alt.LayerChart] = {}
    students: dict[str, str] = {}
    for cost in _COSTS:
        known = rows[rows[cost.column].notna()]
        owners = own_panels(known)
        for name, part in by_rows(known):
            label = f"{name}, {cost.axis}"
            panels[label] = _panel(part, name, cost)
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


def _panel(rows: pd.DataFrame, title: str, cost: _Cost) -> alt.LayerChart:
    amount = rows[cost.column].astype(float) / cost.unit
    told = [short_count(int(value)) if not cost.decimals else fixed(value, cost.decimals) for value in amount]
    rows = rows.assign(amount=amount, told=told)
    rows = rows.assign(hover=[f"{row['short']}: {row['told']} {cost.axis} ({row['cell']})" for row in records(rows)])
    rows = tagged(rows, in_rows=True)
    axis = alt.Axis(tickCount=4, format="" if cost.decimals else "~s", labelExpr="datum.value ? datum.label : '0'")
    x = alt.X("amount:Q", title=cost.axis, scale=alt.Scale(domain=[0, 1.18 * float(amount.max()) or 1.0]), axis=axis)
    base = chart(rows).encode(y=row_axis(), description=hover())
    look = alt.Color("colour:N", scale=None, legend=None)
    bars = base.mark_bar(height=11).encode(x=x, color=look)
    text = base.mark_text(align="left", dx=4, fontSize=10.5, color=INK).encode(x=x, text="told:N")
    return finish([bars, text], title, 190, alt.Step(20))

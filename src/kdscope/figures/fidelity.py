"""The figure that splits items by who was right, one panel per student and teacher."""

from __future__ import annotations

from functools import partial

import altair as alt
import pandas as pd

from kdscope.figures import style
from kdscope.figures.panels import Figure, Panels, by_rows, tagged
from kdscope.figures.style import STEP, LegendEntry, panel_width
from kdscope.results.formatting import percent
from kdscope.results.measures import DECOMPOSITION
from kdscope.results.methods import GREEN, GRID, INK, PURPLE, SKY, VERMILION
from kdscope.results.tables import ReportTables, pooled, records

_PARTS = (
    LegendEntry("both right", GREEN, "square"),
    LegendEntry("both wrong, same answer", VERMILION, "square"),
    LegendEntry("both wrong, different answers", GRID, "square"),
    LegendEntry("only the teacher right", SKY, "square"),
    LegendEntry("only the student right", PURPLE, "square"),
)


def decomposition_figure(tables: ReportTables) -> Figure:
    """Every item in one of five parts, by who was right and whether student and teacher said the same."""
    rows = pooled(tables.fidelity)
    rows = tables.named(rows[rows["measure"].isin(DECOMPOSITION) & rows["value"].notna()])
    parts = [DECOMPOSITION.index(measure) for measure in rows["measure"]]
    rows = rows.assign(
        part=parts,
        colour=[_PARTS[part].colour for part in parts],
        hover=[
            f"{row['short']}: {_PARTS[part].label} {percent(row['value'])}% ({row['cell']})"
            for part, row in zip(parts, records(rows), strict=True)
        ],
        share=100 * rows["value"],
    )
    stacks = {
        f"{label} vs {teacher}": (model, some) for model, teacher, part in _pairs(rows) for label, some in by_rows(part)
    }
    width = panel_width(len(stacks))
    return Figure(
        key="decomposition",
        title="What agreement is made of",
        how_to_read="All items, split by who was right. Compare a distilled student with the SFT row: where “both "
        "wrong, same answer” has grown, the student may have taken over errors of the teacher. With only two options "
        "to choose from, two wrong answers are always the same, so such a task cannot show it.",
        empty="No student has been compared with a teacher answer by answer.",
        panels=Panels({label: partial(_stack_panel, part, label, width) for label, (_, part) in stacks.items()}),
        legend=_PARTS,
        students={label: model for label, (model, _) in stacks.items()},
        data=rows[["cell", "teacher_cell", "measure", "share"]],
    )


def _pairs(rows: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    groups = rows.groupby(["model", "teacher_cell"], sort=False)
    return [(str(model), str(teacher), part) for (model, teacher), part in groups]


def _stack_panel(rows: pd.DataFrame, title: str, width: int) -> alt.LayerChart:
    scale = alt.Scale(domain=[0, max(100.0, float(rows.groupby("short")["share"].sum().max()))], nice=False)
    x = alt.X("share:Q", title="% of items", stack="zero", scale=scale, axis=alt.Axis(tickCount=5))
    bars = style.chart(tagged(rows, in_rows=True)).mark_bar(height=17, stroke=INK, strokeWidth=0.3)
    bars = bars.encode(
        x=x, y=style.row_axis(), color=style.colour(), order=alt.Order("part:Q"), description=style.hover()
    )
    return style.finish([bars], title, width, alt.Step(STEP))

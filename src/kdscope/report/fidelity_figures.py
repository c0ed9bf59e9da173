"""The figures that compare students with a teacher, one panel per student and teacher."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from kdscope.report.formatting import fixed, percent
from kdscope.report.marks import tagged
from kdscope.report.panels import (
    Figure,
    averages,
    by_rows,
    marks_legend,
    named,
    padded,
    pooled,
    reference_line,
    with_method_style,
)
from kdscope.report.schema import DECOMPOSITION, SCORE_MEASURES
from kdscope.report.style import (
    GREEN,
    GRID,
    INK,
    PURPLE,
    SKY,
    VERMILION,
    LegendEntry,
    chart,
    colour,
    finish,
    hover,
    row_axis,
    shape,
)
from kdscope.report.tables import ReportTables, records

_AXES = (("agreement", "agreement with the teacher (%)"), ("bleu", "BLEU against the teacher"))
_PARTS = (
    LegendEntry("both right", GREEN, "square"),
    LegendEntry("both wrong, same answer", VERMILION, "square"),
    LegendEntry("both wrong, different answers", GRID, "square"),
    LegendEntry("only the teacher right", SKY, "square"),
    LegendEntry("only the student right", PURPLE, "square"),
)


def paradox_figure(tables: ReportTables, scoring: str) -> Figure:
    """Agreement with the teacher, and BLEU against its text, beside accuracy: one mark per cell."""
    rows = _beside_accuracy(tables, scoring)
    panels, students = {}, {}
    for model, teacher, part in _pairs(rows):
        for measure, axis_title in _AXES:
            some = part[part["measure"] == measure]
            if len(some):
                label = f"{model} vs {teacher}, {measure}"
                panels[label] = _paradox_panel(some, f"{model} vs {teacher}", axis_title)
                students[label] = model
    return Figure(
        key="paradox",
        title="Fidelity beside accuracy",
        how_to_read="To the right: more like the teacher. Up: more accurate (unweighted mean over tasks, "
        f"{scoring} scoring). The dashed line is the teacher's own accuracy. A mark to the right of the open SFT "
        "diamond but no higher imitates more without being right more often.",
        empty="No student has been compared with a teacher.",
        panels=panels,
        legend=marks_legend(rows),
        in_pairs=True,
        students=students,
        data=rows[["cell", "teacher_cell", "measure", "value", "accuracy"]],
    )


def decomposition_figure(tables: ReportTables) -> Figure:
    """Every item in one of five parts, by who was right and whether student and teacher said the same."""
    rows = pooled(tables.fidelity)
    rows = named(tables, rows[rows["measure"].isin(DECOMPOSITION) & rows["value"].notna()])
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
    return Figure(
        key="decomposition",
        title="What agreement is made of",
        how_to_read="All items, split by who was right. Compare a distilled student with the SFT row: where “both "
        "wrong, same answer” has grown, the student may have taken over errors of the teacher. With only two options "
        "to choose from, two wrong answers are always the same, so such a task cannot show it.",
        empty="No student has been compared with a teacher answer by answer.",
        panels={label: _stack_panel(part, label) for label, (_, part) in stacks.items()},
        legend=_PARTS,
        students={label: model for label, (model, _) in stacks.items()},
        data=rows[["cell", "teacher_cell", "measure", "share"]],
    )


def _pairs(rows: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    groups = rows.groupby(["model", "teacher_cell"], sort=False)
    return [(str(model), str(teacher), part) for (model, teacher), part in groups]


def _beside_accuracy(tables: ReportTables, scoring: str) -> pd.DataFrame:
    rows = pooled(tables.fidelity)
    rows = named(tables, rows[rows["measure"].isin([measure for measure, _ in _AXES]) & rows["value"].notna()])
    means = averages(tables, scoring).set_index("cell")["accuracy"] * 100
    rows = rows.assign(
        value=rows["value"] * np.where(rows["measure"].isin(SCORE_MEASURES), 1.0, 100.0),
        accuracy=rows["cell"].map(means),
        ceiling=rows["teacher_cell"].map(means),
    )
    return with_method_style(rows[rows["accuracy"].notna()])


def _paradox_panel(rows: pd.DataFrame, title: str, axis_title: str) -> alt.LayerChart:
    rows = rows.assign(
        hover=[
            f"{row['short']}: {axis_title} {fixed(row['value'])}, accuracy {fixed(row['accuracy'])}% ({row['cell']})"
            for row in records(rows)
        ]
    )
    reach = padded(rows["value"].to_numpy(dtype=float))
    heights = padded(rows[["accuracy", "ceiling"]].to_numpy(dtype=float))
    few = alt.Axis(tickCount=5)
    marks = chart(tagged(rows)).mark_point(size=75, strokeWidth=1.8, opacity=1)
    marks = marks.encode(
        x=alt.X("value:Q", title=axis_title, scale=alt.Scale(domain=reach, nice=False), axis=few),
        y=alt.Y("accuracy:Q", title="accuracy (%)", scale=alt.Scale(domain=heights, nice=False), axis=few),
        color=colour(),
        shape=shape(),
        fill=alt.Fill("fill:N", scale=None, legend=None),
        description=hover(),
    )
    ceilings = [reference_line(y=float(value)) for value in rows["ceiling"].dropna().unique()]
    return finish([*ceilings, marks], title, 196, 150)


def _stack_panel(rows: pd.DataFrame, title: str) -> alt.LayerChart:
    scale = alt.Scale(domain=[0, 100], clamp=True)
    x = alt.X("share:Q", title="% of items", stack="zero", scale=scale, axis=alt.Axis(tickCount=5))
    bars = chart(tagged(rows, in_rows=True)).mark_bar(height=15, stroke=INK, strokeWidth=0.3)
    bars = bars.encode(x=x, y=row_axis(), color=colour(), order=alt.Order("part:Q"), description=hover())
    return finish([bars], title, 230, alt.Step(22))

"""The figures of gain against one setting: the student's size, temperature, noise, and how good the teacher is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from kdscope.figures import style
from kdscope.figures.panels import Figure, Panels, by_model, marks_legend, tagged, with_method_style
from kdscope.figures.style import FULL, padded, panel_width
from kdscope.results.formatting import percent, points, short_count, with_interval
from kdscope.results.methods import MUTED
from kdscope.results.tables import ReportTables, averages, pooled, records, select

_SETTINGS = ("kd_temperature", "teacher_noise_std", "kd_weight", "teacher", "teacher_condition", "seed", "variant")
_COLUMNS = ("gain", "low", "high")
_HEIGHT = 260
_NOTE = (
    "Bars are pointwise 95% intervals over items. They are statements about single checkpoints: another training seed "
    "may give another difference."
)


@dataclass(frozen=True)
class _Setting:
    """A numeric setting that gains are drawn against."""

    column: str
    key: str
    title: str
    axis: str
    word: str


_TEMPERATURE = _Setting("kd_temperature", "temperature", "Gain by temperature", "KD temperature", "temperatures")
_NOISE = _Setting("teacher_noise_std", "noise", "Gain by noise on the teacher's signal", "noise (std)", "noise levels")


def size_figure(tables: ReportTables, scoring: str) -> Figure:
    """Gain over SFT against the student's number of parameters, all students in one panel."""
    rows = _gains(tables, scoring)
    rows = rows[rows["parameters"].notna() & (rows["parameters"].fillna(0) > 0)]
    several = rows["parameters"].nunique() > 1
    return Figure(
        key="size",
        title="Gain by student size",
        how_to_read="Each mark is a distilled student against its own SFT control, over all tasks. Students stand in "
        f"the order of their numbers of parameters, the marks of one student side by side. {_NOTE}",
        empty="This needs finished students of at least two sizes.",
        panels={"all students": _size_panel(rows)} if several else {},
        legend=marks_legend(rows) if several else (),
        data=rows[["cell", "model", "parameters", *_COLUMNS]] if several else pd.DataFrame(),
    )


def _size_panel(rows: pd.DataFrame) -> alt.LayerChart:
    """Students in the order of their sizes, the marks of one student side by side in its part of the axis."""
    rows = tagged(rows.assign(student=_size_labels(rows), slot=rows.groupby("model").cumcount()), by_student=True)
    order = list(dict.fromkeys(rows.sort_values("parameters", kind="stable")["student"]))
    axis = alt.Axis(labelAngle=0, grid=False, labelExpr="split(datum.label, '\\n')", labelLimit=200)
    x = alt.X("student:N", sort=order, title="student, by number of parameters", axis=axis)
    return _interval_panel(rows, x, "", FULL, 280, beside="slot:N")


def _size_labels(rows: pd.DataFrame) -> list[str]:
    return [f"{row['model']}\n{short_count(row['parameters'])}" for row in records(rows)]


def temperature_figure(tables: ReportTables, scoring: str) -> Figure | None:
    """Gain against KD temperature; None where the study has no two temperatures."""
    return _setting_figure(tables, scoring, _TEMPERATURE)


def noise_figure(tables: ReportTables, scoring: str) -> Figure | None:
    """Gain against the noise on the teacher's signal; None where the study has no two levels."""
    return _setting_figure(tables, scoring, _NOISE)


def _setting_figure(tables: ReportTables, scoring: str, setting: _Setting) -> Figure | None:
    if tables.cells[setting.column].nunique() < 2:
        return None
    rows = _gains(tables, scoring)
    rows = rows[rows[setting.column].notna()]
    others = [column for column in _SETTINGS if column != setting.column]
    rows = rows.assign(line=["|".join(str(row[name]) for name in ("method", *others)) for row in records(rows)])
    several = rows.groupby(["model", "line"])[setting.column].transform("nunique") > 1
    rows = rows[several]
    width = panel_width(rows["model"].nunique())
    return Figure(
        key=setting.key,
        title=setting.title,
        how_to_read=f"A line joins cells that differ only in {setting.axis}. The largest of several differences is "
        f"biased upwards: {setting.word} chosen here need a check on other items. {_NOTE}",
        empty=f"This needs finished cells with a gain over SFT that differ in nothing but {setting.axis}.",
        panels=Panels({model: partial(_setting_panel, part, model, setting, width) for model, part in by_model(rows)}),
        legend=marks_legend(rows),
        students={model: model for model in rows["model"].unique()},
        data=rows[["cell", setting.column, *_COLUMNS]],
    )


def _setting_panel(rows: pd.DataFrame, title: str, setting: _Setting, width: int) -> alt.LayerChart:
    values = sorted(float(value) for value in rows[setting.column].unique())
    axis = alt.Axis(values=values, format="~g", grid=False)
    x = alt.X(
        f"{setting.column}:Q",
        title=setting.axis,
        scale=alt.Scale(domain=padded(np.array(values)), nice=False),
        axis=axis,
    )
    return _interval_panel(tagged(rows), x, title, width, _HEIGHT, line="line:N")


def teacher_figure(tables: ReportTables, scoring: str) -> Figure:
    """Gain over SFT against the accuracy of the teacher, one panel per student."""
    rows = _with_teachers(tables, scoring)
    rows = rows[rows.groupby("model")["teacher_accuracy"].transform("nunique") > 1]
    width = panel_width(rows["model"].nunique())
    return Figure(
        key="teacher",
        title="Does a better teacher give a better student?",
        how_to_read="To the right: a teacher with more right answers (mean over tasks). Up: a student further above "
        f"its SFT control. Marks above each other have the same teacher. {_NOTE}",
        empty="This needs students taught by at least two teachers (or by one before and after it was adapted).",
        panels=Panels({model: partial(_teacher_panel, part, model, width) for model, part in by_model(rows)}),
        legend=marks_legend(rows),
        students={model: model for model in rows["model"].unique()},
        data=rows[["cell", "teacher_cell", "teacher_accuracy", *_COLUMNS]],
    )


def _with_teachers(tables: ReportTables, scoring: str) -> pd.DataFrame:
    known = averages(tables, scoring).set_index("cell")["accuracy"]
    teachers = tables.cells[tables.cells["role"] == "teacher"].drop_duplicates(["teacher", "teacher_condition"])
    teachers = teachers.assign(teacher_accuracy=100 * teachers["cell"].map(known))
    teachers = teachers.rename(columns={"cell": "teacher_cell"})
    columns = ["teacher", "teacher_condition", "teacher_cell", "teacher_accuracy"]
    rows = _gains(tables, scoring).merge(teachers[columns], on=["teacher", "teacher_condition"])
    rows = rows[rows["teacher_accuracy"].notna()].sort_values("place", kind="stable")
    told = [f"{row['hover']}; teacher {percent(row['teacher_accuracy'] / 100)}%" for row in records(rows)]
    return rows.assign(hover=told)


def _teacher_panel(rows: pd.DataFrame, title: str, width: int) -> alt.LayerChart:
    reach = padded(rows["teacher_accuracy"].to_numpy(dtype=float))
    scale = alt.Scale(domain=reach, nice=False)
    x = alt.X("teacher_accuracy:Q", title="teacher's accuracy (%)", scale=scale, axis=alt.Axis(tickCount=5))
    return _interval_panel(tagged(rows), x, title, width, _HEIGHT)


def _gains(tables: ReportTables, scoring: str) -> pd.DataFrame:
    """Pooled gains in points with the settings, names and looks of their cells."""
    rows = pooled(select(tables.gains, scoring=scoring))
    rows = tables.named(rows[rows["gain"].notna()])
    rows = rows.merge(tables.cells[["cell", "parameters", *_SETTINGS]], on="cell")
    rows = with_method_style(rows.assign(hover=[_words(row) for row in records(rows)]))
    for name in _COLUMNS:
        rows[name] = 100 * rows[name]
    return rows


def _words(row: Mapping[str, Any]) -> str:
    gain = with_interval(*(points(row[name]) for name in _COLUMNS))
    return f"{row['model']}, {row['short']}: {gain} points"


def _interval_panel(
    rows: pd.DataFrame, x: alt.X, title: str, width: int, height: int, line: str = "", beside: str = ""
) -> alt.LayerChart:
    """Marks with vertical intervals over a line at no gain, joined by lines where `line` tells them apart.

    `beside` puts marks of one place of a named axis side by side.
    """
    rows = rows.assign(low=rows["low"].fillna(rows["gain"]), high=rows["high"].fillna(rows["gain"]))
    up = padded(rows[[*_COLUMNS]].to_numpy(dtype=float), including=0.0)
    axis = alt.Axis(title="difference from SFT (points)", tickCount=5)
    scale = alt.Scale(domain=up, nice=False)
    base = style.chart(rows).encode(x=x, color=style.colour(), description=style.hover())
    base = base.encode(xOffset=alt.XOffset(beside)) if beside else base
    layers = [
        style.reference_line(y=0.0),
        base.mark_rule(strokeWidth=1.1).encode(y=alt.Y("low:Q", scale=scale, axis=axis), y2="high:Q"),
        base.mark_point(size=60, strokeWidth=1.8, opacity=1).encode(
            y=alt.Y("gain:Q", scale=scale, axis=axis),
            shape=style.shape(),
            fill=style.fill(),
        ),
    ]
    if line:
        joined = base.mark_line(strokeWidth=1.2, color=MUTED)
        layers.insert(1, joined.encode(y=alt.Y("gain:Q", scale=scale, axis=axis), detail=line))
    return style.finish(layers, title, width, height)

"""The figures of gain against one setting: the student's size, temperature, noise, and how good the teacher is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from kdscope.report.formatting import percent, points, short_count, with_interval
from kdscope.report.marks import tagged
from kdscope.report.panels import (
    Figure,
    averages,
    by_model,
    marks_legend,
    named,
    padded,
    pooled,
    reference_line,
    select,
    with_method_style,
)
from kdscope.report.style import MUTED, chart, colour, finish, hover, shape
from kdscope.report.tables import ReportTables, records

_SETTINGS = ("kd_temperature", "teacher_noise_std", "kd_weight", "teacher", "teacher_condition", "seed", "variant")
_COLUMNS = ("gain", "low", "high")
_SPREAD = 0.35
"""Marks of one student stand side by side over this share of the distance to the nearest other size."""
_STUDENT_WIDTH, _WIDEST = 150, 490
"""In pixels; the widest still fits a telephone at two thirds of its size."""


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
        how_to_read="Each mark is a distilled student against its own SFT control, over all tasks; bars are 95% "
        "intervals. Students stand at their number of parameters (log scale), the marks of one student side by side.",
        empty="This needs finished students of at least two sizes.",
        panels={"all students": _size_panel(rows)} if several else {},
        legend=marks_legend(rows) if several else (),
        data=rows[["cell", "model", "parameters", *_COLUMNS]] if several else pd.DataFrame(),
    )


def _size_panel(rows: pd.DataFrame) -> alt.LayerChart:
    rows = tagged(_side_by_side(rows), by_student=True)
    sizes = rows.drop_duplicates("parameters")
    reach = padded(np.log(rows["beside"].to_numpy(dtype=float)))
    ticks = alt.Axis(
        values=[float(size) for size in sizes["parameters"]],
        labelExpr=_labels(
            {float(part["parameters"].iloc[0]): _size_label(part) for _, part in rows.groupby("parameters")}
        ),
        grid=False,
        labelFontSize=9.5,
        labelOverlap="greedy",
    )
    x = alt.X(
        "beside:Q",
        title="parameters of the student (log scale)",
        scale=alt.Scale(type="log", domain=[float(np.exp(end)) for end in reach], nice=False),
        axis=ticks,
    )
    width = min(_WIDEST, _STUDENT_WIDTH * rows["model"].nunique())
    return _interval_panel(rows, x, "", width, 250)


def _labels(names: Mapping[float, list[str]]) -> str:
    """An expression that gives each value its name; names are quoted as the expression's language quotes them."""
    told = " : ".join(f"datum.value === {value!r} ? {json.dumps(name)}" for value, name in names.items())
    return f"{told} : ''"


def _size_label(rows: pd.DataFrame) -> list[str]:
    students = list(dict.fromkeys(rows["model"]))
    more = [f"and {len(students) - 1} more"] if len(students) > 1 else []
    return [students[0], *more, short_count(rows["parameters"].iloc[0])]


def _side_by_side(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with `beside`: where on the log axis a mark stands so that those of one size do not hide each other."""
    sizes = np.log(np.sort(rows["parameters"].astype(float).unique()))
    room = _SPREAD * float(np.diff(sizes).min())
    rank = rows.groupby("parameters").cumcount()
    most = max(int(rank.max()), 1)
    middle = rows.groupby("parameters")["cell"].transform("size").sub(1).div(2)
    return rows.assign(beside=np.exp(np.log(rows["parameters"].astype(float)) + room * (rank - middle) / most))


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
    return Figure(
        key=setting.key,
        title=setting.title,
        how_to_read=f"A line joins cells that differ only in {setting.axis}; bars are 95% intervals. The best of "
        f"several {setting.word} flatters itself: a choice made here wants a check on other items.",
        empty=f"This needs finished cells with a gain over SFT that differ in nothing but {setting.axis}.",
        panels={model: _setting_panel(part, model, setting) for model, part in by_model(rows)},
        legend=marks_legend(rows),
        students={model: model for model in rows["model"].unique()},
        data=rows[["cell", setting.column, *_COLUMNS]],
    )


def _setting_panel(rows: pd.DataFrame, title: str, setting: _Setting) -> alt.LayerChart:
    values = sorted(float(value) for value in rows[setting.column].unique())
    axis = alt.Axis(values=values, format="~g", grid=False)
    x = alt.X(f"{setting.column}:Q", title=setting.axis, scale=alt.Scale(domain=padded(np.array(values))), axis=axis)
    return _interval_panel(tagged(rows), x, title, 260, 190, line="line:N")


def teacher_figure(tables: ReportTables, scoring: str) -> Figure:
    """Gain over SFT against the accuracy of the teacher, one panel per student."""
    rows = _with_teachers(tables, scoring)
    rows = rows[rows.groupby("model")["teacher_accuracy"].transform("nunique") > 1]
    return Figure(
        key="teacher",
        title="Does a better teacher give a better student?",
        how_to_read="To the right: a teacher with more right answers (mean over tasks). Up: a student further above "
        "its SFT control. Marks above each other have the same teacher; bars are 95% intervals.",
        empty="This needs students taught by at least two teachers (or by one before and after it was adapted).",
        panels={model: _teacher_panel(part, model) for model, part in by_model(rows)},
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


def _teacher_panel(rows: pd.DataFrame, title: str) -> alt.LayerChart:
    reach = padded(rows["teacher_accuracy"].to_numpy(dtype=float))
    scale = alt.Scale(domain=reach, nice=False)
    x = alt.X("teacher_accuracy:Q", title="teacher's accuracy (%)", scale=scale, axis=alt.Axis(tickCount=5))
    return _interval_panel(tagged(rows), x, title, 260, 190)


def _gains(tables: ReportTables, scoring: str) -> pd.DataFrame:
    """Pooled gains in points with the settings, names and looks of their cells."""
    rows = pooled(select(tables.gains, scoring=scoring))
    rows = named(tables, rows[rows["gain"].notna()])
    rows = rows.merge(tables.cells[["cell", "parameters", *_SETTINGS]], on="cell")
    rows = with_method_style(rows.assign(hover=[_words(row) for row in records(rows)]))
    for name in _COLUMNS:
        rows[name] = 100 * rows[name]
    return rows


def _words(row: Mapping[str, Any]) -> str:
    gain = with_interval(*(points(row[name]) for name in _COLUMNS))
    return f"{row['model']}, {row['short']}: {gain} points"


def _interval_panel(
    rows: pd.DataFrame, x: alt.X, title: str, width: int, height: int, line: str | None = None
) -> alt.LayerChart:
    """Marks with vertical intervals over a line at no gain, joined by lines where `line` tells them apart."""
    rows = rows.assign(low=rows["low"].fillna(rows["gain"]), high=rows["high"].fillna(rows["gain"]))
    up = padded(rows[[*_COLUMNS]].to_numpy(dtype=float), including=0.0)
    axis = alt.Axis(title="gain over SFT (points)", tickCount=5)
    scale = alt.Scale(domain=up, nice=False)
    base = chart(rows).encode(x=x, color=colour(), description=hover())
    layers = [
        reference_line(y=0.0),
        base.mark_rule(strokeWidth=1.1).encode(y=alt.Y("low:Q", scale=scale, axis=axis), y2="high:Q"),
        base.mark_point(size=60, strokeWidth=1.8, opacity=1).encode(
            y=alt.Y("gain:Q", scale=scale, axis=axis),
            shape=shape(),
            fill=alt.Fill("fill:N", scale=None, legend=None),
        ),
    ]
    if line is not None:
        joined = base.mark_line(strokeWidth=1.2, color=MUTED)
        layers.insert(1, joined.encode(y=alt.Y("gain:Q", scale=scale, axis=axis), detail=line))
    return finish(layers, title, width, height)

"""The figures of results: gains, accuracy, unreadable answers and training, one panel per model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from kdscope.report.cost_figure import cost_figure
from kdscope.report.fidelity_figures import decomposition_figure
from kdscope.report.marks import tagged
from kdscope.report.method_figures import method_figure, plane_figure
from kdscope.report.panels import Figure, by_rows, own_panels, padded, reference_line
from kdscope.report.run_figures import rates_figure, training_figure
from kdscope.report.settings_figures import noise_figure, size_figure, teacher_figure, temperature_figure
from kdscope.report.style import (
    FULL,
    HALF,
    STEP,
    TEXT,
    LegendEntry,
    chart,
    colour,
    finish,
    hover,
    panel_width,
    row_axis,
    shape,
)
from kdscope.results.formatting import is_missing, p_value, percent, points, with_interval
from kdscope.results.measures import AVERAGES, POOLS
from kdscope.results.palette import BLUE, MUTED, VERMILION
from kdscope.results.tables import ReportTables, pooled, records, select

_MOST_VARIANTS = 48
_GAIN_COLUMNS = ("control", "task", "items", "gain", "low", "high", "p_value", "p_holm")
_ABOVE, _BELOW = LegendEntry("interval above 0", BLUE), LegendEntry("interval below 0", VERMILION)
_INCLUDES = LegendEntry("interval includes 0", MUTED, filled=False)
_UNKNOWN = LegendEntry("no interval known", MUTED, "cross")
_VERDICTS = (_ABOVE, _BELOW, _INCLUDES, _UNKNOWN)
_DOT, _CROSS = 60, 30
_TASKS_BESIDE = 7
"""Tasks up to which two panels of accuracy stand side by side."""
_COLUMN, _NAMES = 48, 260
"""Pixels that a task's numbers and the names of rows need."""
_SLANTED = 34
"""Pixels that the slanted name of the last task takes beside its column."""
ITEM_LEVEL = (
    "These are item-level statements about single checkpoints: another training seed may give another difference."
)
"""What is said wherever a gain of one checkpoint over another is shown."""


def main_figures(tables: ReportTables, scoring: str) -> list[Figure]:
    """The figures before the appendix, in the order in which a reader needs them."""
    return [method_figure(tables), plane_figure(tables), accuracy_figure(tables, scoring)]


def appendix_figures(tables: ReportTables, scoring: str) -> list[Figure]:
    """The others; those about settings that the study varies only where it does."""
    figures = [
        gain_figure(tables, scoring),
        size_figure(tables, scoring),
        temperature_figure(tables, scoring),
        noise_figure(tables, scoring),
        teacher_figure(tables, scoring),
        decomposition_figure(tables),
        rates_figure(tables, scoring),
        training_figure(tables),
        cost_figure(tables),
    ]
    return [figure for figure in figures if figure is not None]


def other_scoring_figures(tables: ReportTables, scoring: str) -> list[Figure]:
    """The figures that say something else under the other scoring."""
    return [gain_figure(tables, scoring), accuracy_figure(tables, scoring)]


def gain_figure(tables: ReportTables, scoring: str) -> Figure:
    """Pooled gain over SFT with its 95% interval, in percentage points."""
    rows = _gain_rows(tables, pooled(select(tables.gains, scoring=scoring)))
    single = _single_tasks(tables, scoring)
    shown = {_VERDICTS[verdict] for part in (rows, single) for verdict in part["verdict"]}
    reach, width = _reach(rows), panel_width(len(list(by_rows(rows))))
    return Figure(
        key=f"gains-{scoring}",
        title=f"Difference from SFT by checkpoint, in points ({scoring} scoring)",
        how_to_read="Each row is one trained student against one SFT control of the same student, on the same items. "
        f"The line is the pointwise 95% interval of that comparison. {ITEM_LEVEL}",
        empty="There is no finished distilled student with a finished SFT control to compare it with.",
        panels={label: _gain_panel(part, label, reach, width) for label, part in by_rows(rows)},
        legend=tuple(entry for entry in _VERDICTS if entry in shown),
        variants=_gains_by_task(single),
        students=own_panels(single) | own_panels(rows),
        data=rows[["cell", *_GAIN_COLUMNS]],
    )


def _gain_rows(tables: ReportTables, rows: pd.DataFrame) -> pd.DataFrame:
    rows = tables.named(rows[rows["gain"].notna()])
    unknown = rows["low"].isna() | rows["high"].isna()
    verdict = np.select([unknown, rows["low"] > 0, rows["high"] < 0], [3, 0, 1], 2)
    looks = [_VERDICTS[place] for place in verdict]
    return rows.assign(
        verdict=verdict,
        colour=[look.colour for look in looks],
        fill=[look.colour if look.filled else "transparent" for look in looks],
        shape=[look.shape for look in looks],
        size=np.where(unknown, _CROSS, _DOT),
        hover=[_gain_hover(row) for row in records(rows)],
        gain=100 * rows["gain"],
        low=100 * rows["low"].fillna(rows["gain"]),
        high=100 * rows["high"].fillna(rows["gain"]),
    )


def _reach(rows: pd.DataFrame) -> list[float]:
    return padded(rows[["gain", "low", "high"]].to_numpy(dtype=float), including=0.0)


def _single_tasks(tables: ReportTables, scoring: str) -> pd.DataFrame:
    """The gains on every task alone; none where there is one task only, or where that would be very many panels."""
    rows = select(tables.gains, scoring=scoring)
    rows = rows[~rows["task"].isin((*POOLS, *AVERAGES))]
    tasks, students = rows["task"].unique(), tables.named(rows)["model"].nunique()
    left_out = len(tasks) < 2 or len(tasks) * students > _MOST_VARIANTS
    return _gain_rows(tables, rows.iloc[:0] if left_out else rows)


def _gains_by_task(rows: pd.DataFrame) -> dict[str, dict[str, alt.LayerChart]]:
    """The same panels for every task alone, on one scale."""
    reach = _reach(rows)
    return {
        str(task): {label: _gain_panel(part, f"{label}, {task}", reach, width) for label, part in by_rows(of_task)}
        for task, of_task in rows.groupby("task", sort=False)
        for width in [panel_width(len(list(by_rows(of_task))))]
    }


def _gain_panel(rows: pd.DataFrame, title: str, reach: list[float], width: int) -> alt.LayerChart:
    look: dict[str, Any] = {"title": "difference from SFT (points)", "scale": alt.Scale(domain=reach, nice=False)}
    base = chart(tagged(rows, in_rows=True)).encode(y=row_axis(), color=colour(), description=hover())
    interval = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", **look), x2="high:Q")
    dot = base.mark_point(strokeWidth=2, opacity=1).encode(
        x=alt.X("gain:Q", **look),
        fill=alt.Fill("fill:N", scale=None, legend=None),
        shape=shape(),
        size=alt.Size("size:Q", scale=None, legend=None),
    )
    return finish([reference_line(x=0.0), interval, dot], title, width, alt.Step(STEP))


def _gain_hover(row: Mapping[str, Any]) -> str:
    gain = with_interval(points(row["gain"]), points(row["low"]), points(row["high"]))
    adjusted = "" if is_missing(row["p_holm"]) else f", Holm p {p_value(row['p_holm'])}"
    items = f", {row['items']} items" if row["items"] else ""
    return f"{row['short']}: {gain} points{adjusted}{items} ({row['cell']})"


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
    tasks = task_names(tables)
    return Figure(
        key=f"accuracy-{scoring}",
        title=f"Accuracy by task, in percent ({scoring} scoring)",
        how_to_read="Darker is more accurate, on one scale for all panels. ▼ marks a result whose whole 95% interval "
        "lies below chance, which points to answers that lost their format.",
        empty="No model has been evaluated.",
        panels={label: _heat_panel(part, label, tasks, top) for label, part in by_rows(rows)},
        students=own_panels(rows),
        data=rows[["cell", "task", "metric", "items", "accuracy", "low", "high", "chance"]],
    )


def _heat_panel(rows: pd.DataFrame, title: str, tasks: list[str], top: float) -> alt.LayerChart:
    shown = [task for task in tasks if task in set(rows["task"])]
    rows = rows.assign(column=[shown.index(task) for task in rows["task"]])
    axis = alt.Axis(title=None, orient="top", labelAngle=-35, domain=False, ticks=False, labelLimit=130, labelPadding=4)
    gaps = alt.Scale(paddingInner=0.03, paddingOuter=0.015)
    x = alt.X("task:N", sort=alt.EncodingSortField("column", op="min"), axis=axis, scale=gaps)
    base = chart(tagged(rows, in_rows=True, columns=shown)).encode(x=x, y=row_axis(gaps=0.07), description=hover())
    shade = alt.Color("accuracy:Q", scale=alt.Scale(scheme="blues", domain=[0, top or 1.0]), legend=None)
    box = base.mark_rect().encode(color=shade)
    text = base.mark_text(fontSize=TEXT).encode(text="printed:N", fill=alt.Fill("ink:N", scale=None, legend=None))
    width = HALF if len(shown) <= _TASKS_BESIDE else max(FULL, _NAMES + _COLUMN * len(shown))
    panel = finish([box, text], title, width, alt.Step(STEP))
    return panel.properties(padding={"left": 5, "top": 5, "bottom": 5, "right": _SLANTED})


def _accuracy_hover(row: Mapping[str, Any]) -> str:
    value = with_interval(percent(row["accuracy"]), percent(row["low"]), percent(row["high"]))
    return f"{row['short']} on {row['task']}: {value}% ({row['cell']})"


def task_names(tables: ReportTables) -> list[str]:
    """Tasks in their order of appearance, the average last."""
    names = list(dict.fromkeys(tables.accuracy["task"]))
    return [name for name in names if name not in AVERAGES] + [name for name in names if name in AVERAGES]

"""Differences from SFT: by method, against fidelity (one mark per setting, over all its runs), and by checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from kdscope.figures import style
from kdscope.figures.panels import Figure, Panels, by_rows, marks_legend, own_panels, tagged, with_method_style
from kdscope.figures.style import STEP, LegendEntry, padded, panel_width
from kdscope.results.findings import (
    CHECKPOINTS,
    MEAN_OF_METHODS,
    Finding,
    Setting,
    StudentFindings,
    Verdict,
    student_findings,
)
from kdscope.results.formatting import is_missing, p_value, points, with_interval
from kdscope.results.measures import AVERAGES, POOLS
from kdscope.results.methods import BLUE, MUTED, VERMILION
from kdscope.results.tables import ReportTables, pooled, records, select

ITEM_LEVEL = (
    "These are item-level statements about single checkpoints: another training seed may give another difference."
)
"""What is said wherever a gain of one checkpoint over another is shown."""

_LOOKS: Mapping[Verdict, LegendEntry] = {
    Verdict.HIGHER: LegendEntry("significantly above SFT", BLUE),
    Verdict.LOWER: LegendEntry("significantly below SFT", VERMILION),
    Verdict.OPEN: LegendEntry("not significant", MUTED, filled=False),
    Verdict.NO_CLAIM: LegendEntry("no claim: no interval that includes training runs", MUTED, "cross", filled=False),
}
_INTERVALS = "95% intervals that hold for all comparisons of their family at once"
_ONE_SEED = " With one training seed they are about these trained checkpoints, not about methods."
_GAIN = ("gain", "low", "high")
_FIDELITY = ("fidelity", "fidelity_low", "fidelity_high")
_DATA = ("model", "domain", "short", "method", "teacher", "scope")
_COLUMNS = (*_DATA, *_GAIN, "p_adjusted", "hover")
_HEIGHT = 300

_OF_INTERVALS = (
    LegendEntry("interval above 0", BLUE),
    LegendEntry("interval below 0", VERMILION),
    LegendEntry("interval includes 0", MUTED, filled=False),
    LegendEntry("no interval known", MUTED, "cross"),
)
_OF_CHECKPOINTS = ("cell", "control", "task", "items", *_GAIN, "p_value", "p_holm")
_DOT, _CROSS, _OF_METHOD = 60, 30, 70
"""Sizes of marks, in square pixels."""
_MOST_VARIANTS = 48
"""Panels of single tasks, which are drawn only where there are no more."""


def method_figure(tables: ReportTables) -> Figure:
    """Gain of every main setting over its control, with simultaneous intervals, in points: a row per setting."""
    students = student_findings(tables)
    rows = pd.DataFrame(
        [row for student in students for row in _rows_of_methods(student)], columns=[*_COLUMNS, "verdict"]
    )
    looks = [_LOOKS[Verdict(verdict)] for verdict in rows["verdict"]]
    rows = _in_looks(rows, looks).assign(size=_OF_METHOD)
    groups = _by_student(rows)
    reach, width = _reach(rows), panel_width(len(groups))
    return Figure(
        key="methods",
        title="Difference from SFT by method, in points",
        how_to_read=f"Each row is a setting of a student against the SFT control of the same student. Lines are "
        f"{_INTERVALS}.{_of_one_seed(students)}",
        empty="No distilled student has a control with statistics to compare it with.",
        panels=Panels({label: partial(_gain_panel, part, label, reach, width) for label, part in groups.items()}),
        legend=tuple(look for look in _LOOKS.values() if look in looks),
        students={label: str(part["model"].iloc[0]) for label, part in groups.items()},
        data=rows[[*_DATA, *_GAIN, "p_adjusted"]],
    )


def gain_fidelity_figure(tables: ReportTables) -> Figure:
    """Gain against fidelity, both minus the control's, in points with intervals: one mark per setting."""
    students = student_findings(tables)
    rows = pd.DataFrame(
        [row for student in students for row in _rows_of_both(student)], columns=[*_COLUMNS, *_FIDELITY]
    )
    rows = with_method_style(rows.assign(unadapted=False))
    groups = _by_student(rows)
    width = panel_width(len(groups))
    return Figure(
        key="plane",
        title="Fidelity and gain, both against SFT",
        how_to_read="To the right: more answers like the teacher's than both accuracies explain, beyond the SFT "
        f"control's. Up: more accurate than that control. Bars are {_INTERVALS}.{_of_one_seed(students)}",
        empty="No setting has both a gain and a fidelity against a control.",
        panels=Panels({label: partial(_both_panel, part, label, width) for label, part in groups.items()}),
        legend=marks_legend(rows),
        students={label: str(part["model"].iloc[0]) for label, part in groups.items()},
        data=rows[[*_DATA, *_FIDELITY, *_GAIN, "p_adjusted"]],
    )


def gain_figure(tables: ReportTables, scoring: str) -> Figure:
    """Pooled gain of every checkpoint over SFT with its 95% interval over items, in percentage points."""
    rows = _rows_of_checkpoints(tables, pooled(select(tables.gains, scoring=scoring)))
    single = _single_tasks(tables, scoring)
    shown = {verdict for part in (rows, single) for verdict in part["verdict"]}
    reach, width = _reach(rows), panel_width(len(list(by_rows(rows))))
    return Figure(
        key=f"gains-{scoring}",
        title=f"Difference from SFT by checkpoint, in points ({scoring} scoring)",
        how_to_read="Each row is one trained student against one SFT control of the same student, on the same items. "
        f"The line is the pointwise 95% interval of that comparison. {ITEM_LEVEL}",
        empty="There is no finished distilled student with a finished SFT control to compare it with.",
        panels=Panels({label: partial(_gain_panel, part, label, reach, width) for label, part in by_rows(rows)}),
        legend=tuple(look for place, look in enumerate(_OF_INTERVALS) if place in shown),
        variants=_panels_of_tasks(single),
        students=own_panels(single) | own_panels(rows),
        data=rows[[*_OF_CHECKPOINTS]],
    )


def _of_one_seed(students: list[StudentFindings]) -> str:
    scopes = {gain.scope for student in students for gain in student.gains}
    return _ONE_SEED if CHECKPOINTS in scopes else ""


def _rows_of_methods(student: StudentFindings) -> Iterator[dict[str, Any]]:
    """The settings, and the mean over methods where there are several of them."""
    mean = student.mean
    if mean is not None and mean not in student.gains and len(student.settings) > 1:
        yield _row(student, MEAN_OF_METHODS, mean) | {"verdict": mean.verdict.value}
    for gain in student.gains:
        yield _row(student, gain.setting, gain) | {"verdict": gain.verdict.value}


def _rows_of_both(student: StudentFindings) -> Iterator[dict[str, Any]]:
    for setting in student.settings:
        if setting.gain is not None and setting.fidelity is not None and not is_missing(setting.fidelity.estimate):
            yield _row(student, setting.name, setting.gain) | _fidelity(setting, setting.fidelity)


def _row(student: StudentFindings, name: str, gain: Finding) -> dict[str, Any]:
    adjusted = "" if gain.verdict is Verdict.NO_CLAIM else f", adjusted p {p_value(gain.p_adjusted)}"
    return {
        "model": student.student,
        "domain": student.domain,
        "short": name,
        "method": gain.family or MEAN_OF_METHODS,
        "teacher": gain.key.teacher,
        "scope": gain.scope,
        "hover": f"{name}: {gain.text} points{adjusted}",
        "p_adjusted": gain.p_adjusted,
        **_with_limits(_GAIN, gain),
    }


def _fidelity(setting: Setting, finding: Finding) -> dict[str, Any]:
    gain = setting.gain.text if setting.gain else ""
    hover = f"{setting.name}: fidelity {finding.text}, difference in accuracy {gain} points"
    return {"hover": hover, **_with_limits(_FIDELITY, finding)}


def _with_limits(names: tuple[str, str, str], finding: Finding) -> dict[str, float]:
    """Estimate and limits under these names; an interval of no length where there is none."""
    limits = (finding.low, finding.high) if finding.has_interval else (finding.estimate, finding.estimate)
    return dict(zip(names, (finding.estimate, *limits), strict=True))


def _by_student(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of a panel by its heading: a student, with the domain where there are several."""
    known = rows[rows["gain"].notna()]
    return {
        f"{student}, {domain}" if domain else str(student): part
        for (student, domain), part in known.groupby(["model", "domain"], sort=False)
    }


def _rows_of_checkpoints(tables: ReportTables, rows: pd.DataFrame) -> pd.DataFrame:
    rows = tables.named(rows[rows["gain"].notna()])
    unknown = rows["low"].isna() | rows["high"].isna()
    verdict = np.select([unknown, rows["low"] > 0, rows["high"] < 0], [3, 0, 1], 2)
    return _in_looks(rows, [_OF_INTERVALS[place] for place in verdict]).assign(
        verdict=verdict,
        size=np.where(unknown, _CROSS, _DOT),
        hover=[_checkpoint_hover(row) for row in records(rows)],
        gain=100 * rows["gain"],
        low=100 * rows["low"].fillna(rows["gain"]),
        high=100 * rows["high"].fillna(rows["gain"]),
    )


def _in_looks(rows: pd.DataFrame, looks: list[LegendEntry]) -> pd.DataFrame:
    return rows.assign(
        colour=[look.colour for look in looks],
        shape=[look.shape for look in looks],
        fill=[look.colour if look.filled else "transparent" for look in looks],
    )


def _single_tasks(tables: ReportTables, scoring: str) -> pd.DataFrame:
    """The gains on every task alone; none where there is one task only, or where that would be very many panels."""
    rows = select(tables.gains, scoring=scoring)
    rows = rows[~rows["task"].isin((*POOLS, *AVERAGES))]
    tasks, students = rows["task"].unique(), tables.named(rows)["model"].nunique()
    left_out = len(tasks) < 2 or len(tasks) * students > _MOST_VARIANTS
    return _rows_of_checkpoints(tables, rows.iloc[:0] if left_out else rows)


def _panels_of_tasks(rows: pd.DataFrame) -> dict[str, dict[str, alt.LayerChart]]:
    """The same panels for every task alone, on one scale."""
    reach = _reach(rows)
    return {
        str(task): {label: _gain_panel(part, f"{label}, {task}", reach, width) for label, part in by_rows(of_task)}
        for task, of_task in rows.groupby("task", sort=False)
        for width in [panel_width(len(list(by_rows(of_task))))]
    }


def _checkpoint_hover(row: Mapping[str, Any]) -> str:
    gain = with_interval(points(row["gain"]), points(row["low"]), points(row["high"]))
    adjusted = "" if is_missing(row["p_holm"]) else f", Holm p {p_value(row['p_holm'])}"
    items = f", {row['items']} items" if row["items"] else ""
    return f"{row['short']}: {gain} points{adjusted}{items} ({row['cell']})"


def _reach(rows: pd.DataFrame) -> list[float]:
    return padded(rows[[*_GAIN]].to_numpy(dtype=float), including=0.0)


def _gain_panel(rows: pd.DataFrame, title: str, reach: list[float], width: int) -> alt.LayerChart:
    look: dict[str, Any] = {"title": "difference from SFT (points)", "scale": alt.Scale(domain=reach, nice=False)}
    base = style.chart(tagged(rows, in_rows=True))
    base = base.encode(y=style.row_axis(), color=style.colour(), description=style.hover())
    interval = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", **look), x2="high:Q")
    size = alt.Size("size:Q", scale=None, legend=None)
    dot = base.mark_point(strokeWidth=2, opacity=1).encode(
        x=alt.X("gain:Q", **look), fill=style.fill(), shape=style.shape(), size=size
    )
    return style.finish([style.reference_line(x=0.0), interval, dot], title, width, alt.Step(STEP))


def _both_panel(rows: pd.DataFrame, title: str, width: int) -> alt.LayerChart:
    across = padded(rows[[*_FIDELITY]].to_numpy(dtype=float), including=0.0)
    base = style.chart(tagged(rows)).encode(color=style.colour(), description=style.hover())

    def x(column: str) -> alt.X:
        scale, axis = alt.Scale(domain=across, nice=False), alt.Axis(tickCount=6)
        return alt.X(f"{column}:Q", title="fidelity over SFT's (points)", scale=scale, axis=axis)

    def y(column: str) -> alt.Y:
        scale, axis = alt.Scale(domain=_reach(rows), nice=False), alt.Axis(tickCount=6)
        return alt.Y(f"{column}:Q", title="difference from SFT (points)", scale=scale, axis=axis)

    marks = base.mark_point(size=85, strokeWidth=1.8, opacity=1)
    layers = [
        style.reference_line(x=0.0),
        style.reference_line(y=0.0),
        base.mark_rule(strokeWidth=1.3).encode(x=x("fidelity_low"), x2="fidelity_high:Q", y=y("gain")),
        base.mark_rule(strokeWidth=1.3).encode(x=x("fidelity"), y=y("low"), y2="high:Q"),
        marks.encode(x=x("fidelity"), y=y("gain"), shape=style.shape(), fill=style.fill()),
    ]
    return style.finish(layers, title, width, _HEIGHT)

"""The figures of the statistics: gain by method, and gain against fidelity; one mark per setting, over all its runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import altair as alt
import pandas as pd

from kdscope.report.findings import (
    CHECKPOINTS,
    MEAN_OF_METHODS,
    Finding,
    Setting,
    StudentFindings,
    Verdict,
    student_findings,
)
from kdscope.report.marks import tagged
from kdscope.report.panels import Figure, marks_legend, padded, reference_line, with_method_style
from kdscope.report.style import STEP, LegendEntry, chart, colour, finish, hover, panel_width, row_axis, shape
from kdscope.results.formatting import is_missing, p_value
from kdscope.results.palette import BLUE, MUTED, VERMILION
from kdscope.results.tables import ReportTables

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
_HEIGHT = 300


def method_figure(tables: ReportTables) -> Figure:
    """Gain of every main setting over its control, with simultaneous intervals, in points: a row per setting."""
    found = student_findings(tables)
    rows = pd.DataFrame([row for one in found for row in _gain_rows(one)], columns=[*_COLUMNS, "verdict"])
    looks = [_LOOKS[Verdict(verdict)] for verdict in rows["verdict"]]
    rows = rows.assign(
        colour=[look.colour for look in looks],
        shape=[look.shape for look in looks],
        fill=[look.colour if look.filled else "transparent" for look in looks],
    )
    groups = _groups(rows)
    reach = padded(rows[[*_GAIN]].to_numpy(dtype=float), including=0.0)
    width = panel_width(len(groups))
    return Figure(
        key="methods",
        title="Difference from SFT by method, in points",
        how_to_read=f"Each row is a setting of a student against the SFT control of the same student. Lines are "
        f"{_INTERVALS}.{_seeds(found)}",
        empty="No distilled student has a control with statistics to compare it with.",
        panels={label: _gain_panel(part, label, reach, width) for label, part in groups.items()},
        legend=tuple(look for look in _LOOKS.values() if look in looks),
        students={label: str(part["model"].iloc[0]) for label, part in groups.items()},
        data=rows[[*_DATA, *_GAIN, "p_adjusted"]],
    )


def plane_figure(tables: ReportTables) -> Figure:
    """Gain against fidelity, both minus the control's, in points with intervals: one mark per setting."""
    found = student_findings(tables)
    rows = pd.DataFrame([row for one in found for row in _both_rows(one)], columns=[*_COLUMNS, *_FIDELITY])
    rows = with_method_style(rows.assign(unadapted=False))
    groups = _groups(rows)
    width = panel_width(len(groups))
    return Figure(
        key="plane",
        title="Fidelity and gain, both against SFT",
        how_to_read="To the right: more answers like the teacher's than both accuracies explain, beyond the SFT "
        f"control's. Up: more accurate than that control. Bars are {_INTERVALS}.{_seeds(found)}",
        empty="No setting has both a gain and a fidelity against a control.",
        panels={label: _plane_panel(part, label, width) for label, part in groups.items()},
        legend=marks_legend(rows),
        students={label: str(part["model"].iloc[0]) for label, part in groups.items()},
        data=rows[[*_DATA, *_FIDELITY, *_GAIN, "p_adjusted"]],
    )


_DATA = ("model", "domain", "short", "method", "teacher", "scope")
_COLUMNS = (*_DATA, *_GAIN, "p_adjusted", "hover")


def _seeds(found: list[StudentFindings]) -> str:
    scopes = {gain.scope for one in found for gain in one.gains}
    return _ONE_SEED if CHECKPOINTS in scopes else ""


def _gain_rows(one: StudentFindings) -> Iterator[dict[str, Any]]:
    """The settings, and the mean over methods where there are several of them."""
    mean = one.mean
    if mean is not None and mean not in one.gains and len(one.settings) > 1:
        yield _row(one, MEAN_OF_METHODS, mean) | {"verdict": mean.verdict.value}
    for gain in one.gains:
        yield _row(one, gain.setting, gain) | {"verdict": gain.verdict.value}


def _both_rows(one: StudentFindings) -> Iterator[dict[str, Any]]:
    for setting in one.settings:
        if setting.gain is not None and setting.fidelity is not None and not is_missing(setting.fidelity.estimate):
            yield _row(one, setting.name, setting.gain) | _fidelity(setting, setting.fidelity)


def _row(one: StudentFindings, name: str, gain: Finding) -> dict[str, Any]:
    low, high = (gain.low, gain.high) if gain.has_interval else (gain.estimate, gain.estimate)
    adjusted = "" if gain.verdict is Verdict.NO_CLAIM else f", adjusted p {p_value(gain.p_adjusted)}"
    numbers = {"gain": gain.estimate, "low": low, "high": high, "p_adjusted": gain.p_adjusted}
    return {
        "model": one.student,
        "domain": one.domain,
        "short": name,
        "method": gain.family or MEAN_OF_METHODS,
        "teacher": gain.key.teacher,
        "scope": gain.scope,
        "hover": f"{name}: {gain.text} points{adjusted}",
        **numbers,
    }


def _fidelity(setting: Setting, found: Finding) -> dict[str, Any]:
    low, high = (found.low, found.high) if found.has_interval else (found.estimate, found.estimate)
    gain = setting.gain.text if setting.gain else ""
    return {
        "fidelity": found.estimate,
        "fidelity_low": low,
        "fidelity_high": high,
        "hover": f"{setting.name}: fidelity {found.text}, difference in accuracy {gain} points",
    }


def _groups(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of a panel by its heading: a student, with the domain where there are several."""
    known = rows[rows["gain"].notna()]
    return {
        f"{student}, {domain}" if domain else str(student): part
        for (student, domain), part in known.groupby(["model", "domain"], sort=False)
    }


def _gain_panel(rows: pd.DataFrame, title: str, reach: list[float], width: int) -> alt.LayerChart:
    look: dict[str, Any] = {"title": "difference from SFT (points)", "scale": alt.Scale(domain=reach, nice=False)}
    base = chart(tagged(rows, in_rows=True)).encode(y=row_axis(), color=colour(), description=hover())
    interval = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", **look), x2="high:Q")
    dot = base.mark_point(strokeWidth=2, opacity=1, size=70).encode(
        x=alt.X("gain:Q", **look), fill=alt.Fill("fill:N", scale=None, legend=None), shape=shape()
    )
    return finish([reference_line(x=0.0), interval, dot], title, width, alt.Step(STEP))


def _plane_panel(rows: pd.DataFrame, title: str, width: int) -> alt.LayerChart:
    across = padded(rows[[*_FIDELITY]].to_numpy(dtype=float), including=0.0)
    up = padded(rows[[*_GAIN]].to_numpy(dtype=float), including=0.0)
    base = chart(tagged(rows)).encode(color=colour(), description=hover())

    def x(column: str) -> alt.X:
        scale, axis = alt.Scale(domain=across, nice=False), alt.Axis(tickCount=6)
        return alt.X(f"{column}:Q", title="fidelity over SFT's (points)", scale=scale, axis=axis)

    def y(column: str) -> alt.Y:
        scale, axis = alt.Scale(domain=up, nice=False), alt.Axis(tickCount=6)
        return alt.Y(f"{column}:Q", title="difference from SFT (points)", scale=scale, axis=axis)

    marks = base.mark_point(size=85, strokeWidth=1.8, opacity=1)
    layers = [
        reference_line(x=0.0),
        reference_line(y=0.0),
        base.mark_rule(strokeWidth=1.3).encode(x=x("fidelity_low"), x2="fidelity_high:Q", y=y("gain")),
        base.mark_rule(strokeWidth=1.3).encode(x=x("fidelity"), y=y("low"), y2="high:Q"),
        marks.encode(x=x("fidelity"), y=y("gain"), shape=shape(), fill=alt.Fill("fill:N", scale=None, legend=None)),
    ]
    return finish(layers, title, width, _HEIGHT)

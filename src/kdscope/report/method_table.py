"""Table of methods at the head of the page: a row per setting, with its gain and fidelity against the control's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from kdscope.figures.style import padded
from kdscope.report.answer import detectable_text
from kdscope.results.findings import (
    CHECKPOINTS,
    MEAN_OF_METHODS,
    UNKNOWN,
    Finding,
    Setting,
    StudentFindings,
    Verdict,
    student_findings,
)
from kdscope.results.formatting import MISSING, is_missing, p_value, plural, points, short_count, with_interval
from kdscope.results.tables import ReportTables

_WIDTH, _HEIGHT, _MARGIN = 150, 22, 5
_BADGES = {
    Verdict.HIGHER: ("good", "better than SFT"),
    Verdict.LOWER: ("bad", "worse than SFT"),
    Verdict.OPEN: ("open", "not significant"),
    Verdict.NO_CLAIM: ("open", "no claim"),
}
_OF_CHECKPOINTS = {
    Verdict.HIGHER: ("good", "these two checkpoints: higher"),
    Verdict.LOWER: ("bad", "these two checkpoints: lower"),
    Verdict.OPEN: ("open", "these two checkpoints: not significant"),
}
_NO_CONTROL = ("open", "no control")
_LEVEL_NOTE = "a level, without a control: items of shared difficulty alone give some of it"
_WITHOUT_INTERVAL = "the variation between training runs cannot be estimated"
_PREDATES = "training runs may not be part of the interval"


@dataclass(frozen=True)
class DrawnEstimate:
    """A number as text, with a drawing of its interval."""

    text: str
    mark: Markup = Markup()  # noqa: RUF009 - never changed
    note: str = ""


@dataclass(frozen=True)
class SettingRow:
    """One setting of a student. `kind` (good, open, bad) colours the verdict, which the words tell as well."""

    name: str
    method: str
    runs: str
    kind: str
    verdict: str
    gain: DrawnEstimate
    p_adjusted: str
    fidelity: DrawnEstimate
    inherited: str
    detectable: str


@dataclass(frozen=True)
class StudentTable:
    """The rows of one student in one domain, its mean over methods first."""

    student: str
    domain: str
    size: str
    rows: tuple[SettingRow, ...]


def student_tables(tables: ReportTables) -> list[StudentTable]:
    """The main settings of every student, per domain where there are several, in the study's order."""
    return _drawn(tables, [(student, student.settings) for student in student_findings(tables)], means=True)


def other_settings(tables: ReportTables) -> list[StudentTable]:
    """Likewise its other temperatures and its ablations; students without any are left out."""
    found = [(found, found.others) for found in student_findings(tables) if found.others]
    return _drawn(tables, found, means=False)


def _drawn(
    tables: ReportTables, students: Sequence[tuple[StudentFindings, tuple[Setting, ...]]], *, means: bool
) -> list[StudentTable]:
    gains = [setting.gain for _, settings in students for setting in settings]
    gains += [student.mean for student, _ in students] if means else []
    fidelity = [part for _, settings in students for setting in settings for part in (setting.fidelity, setting.level)]
    across, along = _reach(gains), _reach(fidelity)
    sizes = tables.cells.drop_duplicates("student").set_index("student")["parameters"]
    shown = []
    for student, settings in students:
        mean = [_mean_row(student.mean, across)] if means and student.mean is not None else []
        size = sizes.get(student.student)
        shown.append(
            StudentTable(
                student=student.student,
                domain=student.domain,
                size="" if is_missing(size) else short_count(size),
                rows=(*mean, *(_row(setting, across, along) for setting in settings)),
            )
        )
    return shown


def _mean_row(mean: Finding, across: tuple[float, float]) -> SettingRow:
    row = _row(Setting(mean.key, MEAN_OF_METHODS, mean), across, across)
    return replace(row, method="", runs="", fidelity=DrawnEstimate(""), inherited="")


def _row(setting: Setting, across: tuple[float, float], along: tuple[float, float]) -> SettingRow:
    gain = setting.gain
    kind, verdict = _NO_CONTROL if gain is None else badge(gain)
    fidelity = DrawnEstimate(MISSING)
    if setting.fidelity is not None:
        fidelity = _estimate(setting.fidelity, along)
    elif setting.level is not None:
        fidelity = DrawnEstimate(_level(setting.level), note=_LEVEL_NOTE)
    return SettingRow(
        name=setting.name,
        method="" if gain is None else gain.family,
        runs="" if gain is None else _runs(gain),
        kind=kind,
        verdict=verdict,
        gain=DrawnEstimate(MISSING) if gain is None else _estimate(gain, across),
        p_adjusted=MISSING if gain is None else _p(gain),
        fidelity=fidelity,
        inherited=MISSING if setting.inherited is None else setting.inherited.text,
        detectable=MISSING if gain is None else detectable_text([gain], "") or MISSING,
    )


def badge(finding: Finding) -> tuple[str, str]:
    """Kind and words of a verdict; of one run a side they are about two checkpoints, never about a method."""
    if finding.scope == CHECKPOINTS and finding.verdict in _OF_CHECKPOINTS:
        kind, words = _OF_CHECKPOINTS[finding.verdict]
        return kind, words.replace("two ", "") if finding.setting == MEAN_OF_METHODS else words
    return _BADGES[finding.verdict]


def _level(finding: Finding) -> str:
    """A level has no sign: it is no difference."""
    shown = [points(value / 100).removeprefix("+") for value in (finding.estimate, finding.low, finding.high)]
    return with_interval(shown[0], shown[1], shown[2])


def _runs(gain: Finding) -> str:
    if not gain.runs or not gain.control_runs:
        return ""
    return f"{plural(gain.runs, 'run')}, SFT {gain.control_runs}"


def _p(finding: Finding) -> str:
    return MISSING if finding.verdict is Verdict.NO_CLAIM else p_value(finding.p_adjusted)


def _estimate(finding: Finding, reach: tuple[float, float]) -> DrawnEstimate:
    note = "" if finding.simultaneous or not finding.has_interval else "pointwise interval"
    if finding.scope == UNKNOWN:
        note = _PREDATES
    elif finding.verdict is Verdict.NO_CLAIM and is_missing(finding.p_value):
        note = finding.note or _WITHOUT_INTERVAL
    return DrawnEstimate(finding.text, interval_mark(finding.low, finding.estimate, finding.high, reach, (0.0,)), note)


def _reach(findings: Iterable[Finding | None]) -> tuple[float, float]:
    """From the lowest to the highest number that any mark of a column shows, 0 included."""
    values = [
        value for finding in findings if finding is not None for value in (finding.estimate, finding.low, finding.high)
    ]
    low, high = padded(np.array(values, dtype=float), including=0.0)
    return low, high


def interval_mark(
    low: float, value: float, high: float, reach: tuple[float, float], references: Sequence[float]
) -> Markup:
    """A value on its interval as a small drawing, with dashed lines at the references; all of one reach line up.

    Everything stands where its number is on the axis from `reach[0]` to `reach[1]`, also outside of them; a limit
    that is no finite number leaves the interval out, a value that is none leaves the drawing out.
    """
    if not math.isfinite(value):
        return Markup()

    def at(number: float) -> str:
        share = (number - reach[0]) / (reach[1] - reach[0])
        return f"{share * (_WIDTH - 2 * _MARGIN) + _MARGIN:.2f}"

    middle = _HEIGHT // 2
    known = math.isfinite(low) and math.isfinite(high)
    lines = "".join(f'<line class="at" x1="{at(x)}" x2="{at(x)}" y1="1" y2="{_HEIGHT - 1}"/>' for x in references)
    interval = f'<line class="over" x1="{at(low)}" x2="{at(high)}" y1="{middle}" y2="{middle}"/>' if known else ""
    dot = f'<circle cx="{at(value)}" cy="{middle}" r="4"/>'
    size = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    return Markup(f'<svg class="interval" {size} aria-hidden="true">{lines}{interval}{dot}</svg>')  # noqa: S704 - numbers only

"""Findings by student and setting, as table `statistics` has them: estimates, intervals, and what may be claimed.

A claim about a method needs intervals in which training runs are random (scope "runs"). With one training run a side
(scope "checkpoints") the same numbers are about two trained models. Where the variation between runs cannot be
estimated there is no p-value, and nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from kdscope.results import hypotheses
from kdscope.results.formatting import is_missing, points, with_interval
from kdscope.results.hypotheses import (
    CELL,
    CONFIRMATORY,
    DETAIL,
    FIDELITY,
    FIDELITY_LEVEL,
    H1_STUDENT,
    INHERITED,
    is_significant,
)
from kdscope.results.labels import CellName
from kdscope.results.tables import ReportTables, records

RUNS, CHECKPOINTS, UNKNOWN = "runs", "checkpoints", "unknown"
"""Scopes: items and training runs are random; items only; statistics of before runs were part of intervals."""
MEAN_OF_METHODS = "mean over methods"
"""The name of a student's row on all of its methods."""


_USUAL: Mapping[str, Any] = {"teacher_condition": "adapted", "kd_weight": 1.0, "teacher_noise_std": 0.0}


class Verdict(Enum):
    """What a difference and its adjusted p-value allow to be said."""

    HIGHER = "higher"
    LOWER = "lower"
    OPEN = "not significant"
    NO_CLAIM = "no claim"


def verdict_of_checkpoint(low: float, high: float, p_adjusted: float) -> Verdict:
    """What may be said of one checkpoint's gain, item by item: its 95% interval must exclude 0, too.

    >>> verdict_of_checkpoint(0.01, 0.03, 0.002).value, verdict_of_checkpoint(-0.03, -0.01, 0.2).value
    ('higher', 'not significant')
    """
    if is_missing(low) or is_missing(high):
        return Verdict.NO_CLAIM
    if low <= 0 <= high or is_missing(p_adjusted) or not is_significant(p_adjusted):
        return Verdict.OPEN
    return Verdict.HIGHER if low > 0 else Verdict.LOWER


class Key(NamedTuple):
    """What a row of the statistics is about; `temperature` is empty where a method has none."""

    domain: str
    student: str
    teacher: str
    method: str
    temperature: str
    ablation: str


@dataclass(frozen=True)
class Finding:
    """One row of the statistics about a student or one of its settings; numbers in percentage points.

    Attributes:
        key: What it is about.
        setting: The name of the setting, the same wherever the page speaks of it.
        family: The method's name in table `cells`, which decides the look of its marks.
        estimate: The difference, or the level where that is what the row is about.
        low: Lower limit: of the simultaneous interval where there is one; never beyond what a difference can be.
        high: Upper limit, likewise.
        simultaneous: Whether the limits hold for all rows of the family at once.
        p_value: Not adjusted; NaN where nothing is claimed.
        p_adjusted: For the number of rows in the family.
        scope: `RUNS`, `CHECKPOINTS` or `UNKNOWN`.
        runs: Training runs of the setting; 0 if not told.
        control_runs: Training runs of its control; 0 if not told.
        detectable: Difference found with 80% power at the adjusted level.
        note: Reservations, in sentences.
    """

    key: Key
    setting: str
    family: str
    estimate: float
    low: float
    high: float
    simultaneous: bool
    p_value: float
    p_adjusted: float
    scope: str
    runs: int
    control_runs: int
    detectable: float
    note: str

    @property
    def verdict(self) -> Verdict:
        """What may be said; nothing without an adjusted p-value, and nothing where it is not known what was random."""
        if self.scope == UNKNOWN or any(is_missing(value) for value in (self.p_value, self.p_adjusted, self.estimate)):
            return Verdict.NO_CLAIM
        if not is_significant(self.p_adjusted) or self.estimate == 0:
            return Verdict.OPEN
        return Verdict.HIGHER if self.estimate > 0 else Verdict.LOWER

    @property
    def has_interval(self) -> bool:
        """Whether both limits are numbers."""
        return bool(np.isfinite([self.low, self.high]).all())

    @property
    def text(self) -> str:
        """The estimate with its interval in brackets."""
        shown = points(self.estimate / 100)
        return with_interval(shown, points(self.low / 100), points(self.high / 100)) if self.has_interval else shown


@dataclass(frozen=True)
class Setting:
    """One setting of a student with everything the statistics say of it; None where they do not.

    Attributes:
        gain: Accuracy minus the control's; None where the student has no control.
        fidelity: Agreement beyond accuracy minus the control's.
        inherited: Same wrong answers among items that both have wrong, minus the control's.
        level: Agreement beyond accuracy, only where there is no control.
    """

    key: Key
    name: str
    gain: Finding | None = None
    fidelity: Finding | None = None
    inherited: Finding | None = None
    level: Finding | None = None


@dataclass(frozen=True)
class StudentFindings:
    """What is known of one student in one domain.

    Attributes:
        student: Its name.
        domain: Empty where the study has one domain only.
        mean: The mean over its methods: the study's primary question.
        settings: The main settings: the primary temperature, no ablation.
        others: Its other temperatures and ablations.
    """

    student: str
    domain: str
    mean: Finding | None
    settings: tuple[Setting, ...]
    others: tuple[Setting, ...]

    @property
    def name(self) -> str:
        """The student, with the domain where there are several."""
        return f"{self.student} on {self.domain} tasks" if self.domain else self.student

    @property
    def gains(self) -> list[Finding]:
        """Of its main settings; of the mean over methods where no single setting was asked about."""
        gains = [setting.gain for setting in self.settings if setting.gain is not None]
        return gains or ([self.mean] if self.mean is not None else [])


def student_findings(tables: ReportTables) -> list[StudentFindings]:
    """Every student and domain that the statistics speak of, in the study's order."""
    names = _SettingNames(tables)
    means = {
        (found.key.domain, found.key.student): found
        for found in _read(tables, H1_STUDENT, names)
        if found.setting == MEAN_OF_METHODS
    }
    settings = _settings(tables, names)
    where = [*means, *((key.domain, key.student) for key in settings)]
    order = {student: place for place, student in enumerate(dict.fromkeys(tables.cells["student"].dropna()))}
    where = sorted(dict.fromkeys(where), key=lambda pair: order.get(pair[1], len(order)))
    several = len({domain for domain, _ in where}) > 1
    primary = _primary_temperature(tables, list(means.values()))
    found = []
    for domain, student in where:
        own = [setting for key, setting in settings.items() if (key.domain, key.student) == (domain, student)]
        main = tuple(setting for setting in own if _is_main(setting.key, primary))
        others = tuple(setting for setting in own if setting not in main)
        mean = means.get((domain, student))
        found.append(StudentFindings(student, domain if several else "", mean, main, others))
    return found


def findings_of(tables: ReportTables, hypothesis: str) -> list[Finding]:
    """The rows of one hypothesis that are about single settings, in the order of the table."""
    return [
        finding for finding in _read(tables, hypothesis, _SettingNames(tables)) if finding.setting != MEAN_OF_METHODS
    ]


def settings_of_cells(tables: ReportTables) -> dict[str, list[tuple[str, Setting]]]:
    """For every trained cell what the statistics say of the setting that it is a run of, with each domain's name."""
    by_setting: dict[tuple[str, str], list[tuple[str, Setting]]] = {}
    for student in student_findings(tables):
        for setting in (*student.settings, *student.others):
            by_setting.setdefault((student.student, setting.name), []).append((student.domain, setting))
    names = tables.names
    return {
        cell: by_setting.get((name.model, name.setting), []) for cell, name in names.items() if name.role == "student"
    }


def not_distilled(tables: ReportTables) -> dict[str, int | None]:
    """Cells of students whose kept step lies in their warm start, with that step where it is known."""
    rows = tables.cells[~tables.cells["distilled"].fillna(True).astype(bool)]
    return {row["cell"]: None if is_missing(row["kept_step"]) else int(row["kept_step"]) for row in records(rows)}


def distilled_only(tables: ReportTables) -> ReportTables:
    """The tables without gains and fidelity of students that were left in their warm start; accuracy stays."""
    left_out = list(not_distilled(tables))
    if not left_out:
        return tables
    parts = {name: getattr(tables, name) for name in ("gains", "fidelity")}
    return replace(tables, **{name: frame[~frame["cell"].isin(left_out)] for name, frame in parts.items()})


def _read(tables: ReportTables, hypothesis: str, names: _SettingNames) -> list[Finding]:
    rows = tables.statistics[tables.statistics["hypothesis"] == hypothesis]
    if hypothesis == H1_STUDENT:
        rows = rows[rows["role"].isin((CONFIRMATORY, DETAIL))]
    findings = []
    for row in records(rows):
        key = _key(row, names)
        if key.student and names.was_distilled(key):
            findings.append(_finding(row, key, names))
    return findings


def _key(row: Mapping[str, Any], names: _SettingNames) -> Key:
    text = {name: _plain_text(row[name]) for name in ("domain", "student", "teacher", "method", "ablation")}
    if not text["student"] and _plain_text(row["group"]) in names.students:
        text["student"] = _plain_text(row["group"])
    return Key(**text, temperature=_temperature_text(row["temperature"]))


def _finding(row: Mapping[str, Any], key: Key, names: _SettingNames) -> Finding:
    low, high = _number(row["low_simultaneous"]), _number(row["high_simultaneous"])
    simultaneous = bool(np.isfinite([low, high]).all())
    if not simultaneous:
        low, high = _number(row["low"]), _number(row["high"])
    furthest = hypotheses.hypothesis(row["hypothesis"]).furthest
    about_all = row["hypothesis"] == H1_STUDENT and row["role"] == CONFIRMATORY
    setting, family = (MEAN_OF_METHODS, "") if about_all or not key.method else names.of(key)
    return Finding(
        key=key,
        setting=setting,
        family=family,
        estimate=_number(row["estimate"]),
        low=_within(low, furthest),
        high=_within(high, furthest),
        simultaneous=simultaneous,
        p_value=_number(row["p_value"]),
        p_adjusted=_number(row["p_adjusted"]),
        scope=_scope(row),
        runs=_count(row["runs"]),
        control_runs=_count(row["control_runs"]),
        detectable=_number(row["detectable"]),
        note=_plain_text(row["note"]),
    )


def _scope(row: Mapping[str, Any]) -> str:
    """Of rows without a scope those count whose units were runs, as they are in tables of results."""
    told = _plain_text(row["scope"])
    return told or (RUNS if row["unit"] == "runs" else UNKNOWN)


def _settings(tables: ReportTables, names: _SettingNames) -> dict[Key, Setting]:
    """Every setting with a gain, or with a level of fidelity where it has no control.

    Tables of results have no single settings: there a student's rows by method stand for them.
    """
    gains = {finding.key: finding for finding in _read(tables, CELL, names)}
    if not gains:
        of_methods = _read(tables, H1_STUDENT, names)
        gains = {finding.key: finding for finding in of_methods if finding.setting != MEAN_OF_METHODS}
    parts = {
        hypothesis: {finding.key: finding for finding in _read(tables, hypothesis, names)}
        for hypothesis in (FIDELITY, INHERITED, FIDELITY_LEVEL)
    }
    keys = dict.fromkeys([*gains, *parts[FIDELITY_LEVEL]])
    return {
        key: Setting(
            key=key,
            name=names.of(key)[0],
            gain=gains.get(key),
            fidelity=parts[FIDELITY].get(key),
            inherited=parts[INHERITED].get(key),
            level=parts[FIDELITY_LEVEL].get(key),
        )
        for key in keys
        if key.method
    }


def _primary_temperature(tables: ReportTables, means: Sequence[Finding]) -> str:
    """The temperature of the primary question: as its rows tell it, else 1 if cells have it, else the first."""
    temperatures = dict.fromkeys(mean.key.temperature for mean in means if mean.key.temperature)
    if temperatures:
        return next(iter(temperatures))
    known = tables.cells["kd_temperature"].dropna().tolist()
    return _temperature_text(1.0 if 1.0 in known or not known else known[0])


def _is_main(key: Key, primary: str) -> bool:
    return not key.ablation and key.temperature in ("", primary)


def _number(value: Any) -> float:
    return float("nan") if is_missing(value) else float(value)


def _within(limit: float, furthest: float) -> float:
    """The part of an interval that is possible: differences of accuracies end at 100 points, whatever t makes of it."""
    return limit if np.isnan(limit) else float(np.clip(limit, -furthest, furthest))


def _count(value: Any) -> int:
    return 0 if is_missing(value) else int(value)


class _SettingNames:
    """The names of settings, and which of them were never distilled."""

    def __init__(self, tables: ReportTables) -> None:
        self.students = set(tables.cells["student"].dropna())
        self._names: dict[tuple[str, str, str, frozenset[str]], list[CellName]] = {}
        self._left_out = set(not_distilled(tables))
        names = tables.names
        for row in records(tables.cells[tables.cells["role"] == "student"]):
            teacher, temperature = _plain_text(row["teacher"]), _temperature_text(row["kd_temperature"])
            key = (str(row["student"]), teacher, temperature, _words_of(row))
            self._names.setdefault(key, []).append(names[row["cell"]])

    def of(self, key: Key) -> tuple[str, str]:
        """Name and method of a setting; the row's own words where no cell is of that setting."""
        cells = self._names.get(_matching(key))
        if cells:
            return cells[0].setting, cells[0].method
        at = f"T={key.temperature}" if key.temperature else ""
        return ", ".join(part for part in (key.method, at, key.ablation) if part), key.method.split(",")[0].split()[0]

    def was_distilled(self, key: Key) -> bool:
        """False where all cells of the setting were left in their warm start."""
        cells = self._names.get(_matching(key), [])
        return not cells or any(name.cell not in self._left_out for name in cells)


def _matching(key: Key) -> tuple[str, str, str, frozenset[str]]:
    words = frozenset(part for text in (key.method, key.ablation) for part in text.split(", ") if part)
    return key.student, key.teacher, key.temperature, words


def _words_of(row: Mapping[str, Any]) -> frozenset[str]:
    """Method, variant and what is unusual about a cell, in the words that the statistics use for it."""
    variant = _plain_text(row["variant"])
    words = [f"{row['method']} {variant}" if variant else str(row["method"])]
    for name, usual in _USUAL.items():
        value = row[name]
        if is_missing(value) or value == usual:
            continue
        told = {"kd_weight": f"kd_weight {value}", "teacher_noise_std": f"noise {value}"}
        words.append(told.get(name, "unadapted teacher"))
    return frozenset(words)


def _temperature_text(value: Any) -> str:
    """A temperature as keys have it; empty where there is none."""
    return "" if is_missing(value) else f"{value:g}"


def _plain_text(value: Any) -> str:
    """A text of a table; empty where there is none."""
    return "" if is_missing(value) else str(value)

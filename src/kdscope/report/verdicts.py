"""The answer as one row per student: whether it beat SFT, how faithful it is, what could not be seen.

What decides is the study's primary question: the largest of several gains flatters itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from kdscope.report.formatting import fixed, is_missing, p_value, percent, points, short_count, with_interval
from kdscope.report.gains import LEVEL, Gain, Verdict, pooled_gains
from kdscope.report.labels import name_cells
from kdscope.report.panels import padded, pooled, select
from kdscope.report.tables import ReportTables, records
from kdscope.statistics.mcnemar import detectable_difference

_WIDTH, _HEIGHT = 132, 22
_POWER = 0.8
_MOST_NAMED = 6
_BADGES = {
    Verdict.BETTER: ("good", "better than SFT"),
    Verdict.ALONE: ("open", "not established"),
    Verdict.UNCLEAR: ("open", "no gain shown"),
    Verdict.UNKNOWN: ("open", "no interval"),
    Verdict.WORSE: ("bad", "worse than SFT"),
}


@dataclass(frozen=True)
class Estimate:
    """A number as text, with a drawing of its interval."""

    text: str
    mark: Markup = Markup()  # noqa: RUF009 - never changed
    note: str = ""


@dataclass(frozen=True)
class StudentRow:
    """What is known of one student. `kind` (good, open, bad) colours the verdict, which the words tell as well."""

    student: str
    domain: str
    size: str
    kind: str
    verdict: str
    method: str
    gain: Estimate
    fidelity: Estimate
    detectable: tuple[str, ...]


@dataclass(frozen=True)
class _Answer:
    """What answers for a student (in one domain, where there are several), in shares, and what it allows to be said."""

    student: str
    domain: str
    best: Gain
    verdict: Verdict
    gain: float
    low: float
    high: float
    note: str
    method: str
    detectable: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.student} ({self.domain})" if self.domain else self.student


def headline(tables: ReportTables, scoring: str) -> str:
    """Whether distillation is worth it, in one sentence."""
    answers = _answers(tables, scoring)
    better = [answer.name for answer in answers if answer.verdict is Verdict.BETTER]
    if not answers:
        return "This study cannot say whether distillation helps: no distilled student has a control to compare with."
    if all(answer.verdict is Verdict.UNKNOWN for answer in answers):
        return "These results have no intervals for single students, so no gain can be called established here."
    if not better:
        return "Distillation is not shown to beat plain fine-tuning (SFT)."
    if len(better) == len(answers):
        return f"Distillation beat plain fine-tuning (SFT) for {_all_of(better)}."
    rest = [answer.name for answer in answers if answer.name not in better]
    if len(answers) > _MOST_NAMED:
        return f"Distillation beat plain fine-tuning (SFT) in {len(better)} of {len(answers)} comparisons."
    return f"Distillation beat plain fine-tuning (SFT) for {_listed(better)}; it is not shown to for {_listed(rest)}."


def _all_of(students: Sequence[str]) -> str:
    return {1: students[0], 2: f"both students, {_listed(students)}"}.get(
        len(students), f"all {len(students)} students"
    )


def _listed(students: Sequence[str]) -> str:
    return students[0] if len(students) == 1 else f"{', '.join(students[:-1])} and {students[-1]}"


def student_rows(tables: ReportTables, scoring: str) -> list[StudentRow]:
    """One row per student that has a gain, and per domain where there are several, in the study's order."""
    answers = _answers(tables, scoring)
    likeness = {answer.student: _likeness(tables, answer.best.name.cell) for answer in answers}
    reach = _reach([value for one in answers for value in (one.low, one.gain, one.high)])
    across = _reach([0.0, 1.0, *(value for row in likeness.values() for value in _limits(row) if -1 < value < 2)])
    sizes = tables.cells.drop_duplicates("student").set_index("student")["parameters"]
    # Fidelity and the largest gain are over all items: they are told once a student, with the first of its answers.
    first = {answer.student: answer for answer in reversed(answers)}
    return [
        StudentRow(
            student=answer.student,
            domain=answer.domain,
            size="" if is_missing(sizes[answer.student]) else short_count(sizes[answer.student]),
            kind=_BADGES[answer.verdict][0],
            verdict=_BADGES[answer.verdict][1],
            method=answer.method if first[answer.student] is answer else "",
            gain=_gain(answer, reach),
            fidelity=_fidelity(likeness[answer.student], across) if first[answer.student] is answer else Estimate(""),
            detectable=answer.detectable,
        )
        for answer in answers
    ]


def asks_the_primary_question(tables: ReportTables) -> bool:
    """Whether students are answered for by the study's primary question."""
    return bool((tables.statistics["role"] == "confirmatory").any())


def _answers(tables: ReportTables, scoring: str) -> list[_Answer]:
    """The answers to the primary question; of a study without it, the best gain of each student."""
    gains = pooled_gains(tables, scoring, name_cells(tables.cells))
    primary = records(select(tables.statistics, role="confirmatory"))
    domains = {row["domain"] for row in primary}
    answers = []
    for model in dict.fromkeys(gain.name.model for gain in gains):
        best = _best(gains, model)
        own = [row for row in primary if row["group"] == model]
        answers += [_of_primary(tables, best, row, several=len(domains) > 1) for row in own]
        if not primary:
            answers.append(_of_gain(tables, best, _detectable(tables, scoring, best, len(gains))))
    return answers


def _of_gain(tables: ReportTables, best: Gain, detectable: tuple[str, ...]) -> _Answer:
    note = "" if is_missing(best.p_holm) else f"Holm p {p_value(best.p_holm)}"
    method = _method(tables, best)
    told = method if best.verdict is Verdict.BETTER else f"largest: {method}"
    found = (best.verdict, best.gain, best.low, best.high)
    return _Answer(best.name.model, "", best, *found, note, told, detectable)


def _of_primary(tables: ReportTables, best: Gain, row: Mapping[str, Any], *, several: bool) -> _Answer:
    estimate, low, high = (float(row[name]) / 100 for name in ("estimate", "low", "high"))
    verdict = Verdict.UNKNOWN if is_missing(low) else Verdict.UNCLEAR
    if not is_missing(row["p_adjusted"]) and row["p_adjusted"] < LEVEL:
        verdict = Verdict.BETTER if estimate > 0 else Verdict.WORSE
    note = "" if is_missing(row["p_adjusted"]) else f"adjusted p {p_value(row['p_adjusted'])}"
    told = f"largest single gain, over all items: {points(best.gain)}, {_method(tables, best)}"
    domain = str(row["domain"]) if several else ""
    least = () if is_missing(row["detectable"]) else (fixed(row["detectable"]),)
    return _Answer(best.name.model, domain, best, verdict, estimate, low, high, note, told, least)


def _best(gains: Sequence[Gain], model: str) -> Gain:
    """The largest established gain, or failing that the largest."""
    own = [gain for gain in gains if gain.name.model == model]
    return max([gain for gain in own if gain.verdict is Verdict.BETTER] or own, key=lambda gain: gain.gain)


def _gain(answer: _Answer, reach: tuple[float, float]) -> Estimate:
    text = with_interval(*(points(value) for value in (answer.gain, answer.low, answer.high)))
    return Estimate(text, interval_mark(answer.low, answer.gain, answer.high, reach, (0.0,)), answer.note)


def _likeness(tables: ReportTables, cell: str) -> pd.Series | None:
    rows = select(pooled(tables.fidelity), measure="agreement", cell=cell)
    rows = rows.sort_values("normalised", na_position="last", kind="stable")
    return rows.iloc[0] if len(rows) else None


def _limits(row: pd.Series | None) -> list[float]:
    if row is None:
        return []
    return [
        float(row[name]) for name in ("normalised_low", "normalised", "normalised_high") if not is_missing(row[name])
    ]


def _fidelity(row: pd.Series | None, across: tuple[float, float]) -> Estimate:
    if row is None:
        return Estimate("–", note="not measured")
    told = f"{percent(row['value'])}% of answers as the teacher's"
    told += "" if is_missing(row["control"]) else f" (SFT {percent(row['control'])}%)"
    limits = _limits(row)
    if len(limits) < 3:
        return Estimate(fixed(limits[0], 2), note=told) if limits else Estimate(f"{percent(row['value'])}%", note=told)
    low, value, high = limits
    text = with_interval(*(fixed(number, 2) for number in (value, low, high)))
    return Estimate(text, interval_mark(low, value, high, across, (0.0, 1.0)), told)


def _method(tables: ReportTables, gain: Gain) -> str:
    """The cell's name and its temperature, which names leave out where there is only one."""
    [row] = records(select(tables.cells, cell=gain.name.cell))
    temperature = "" if is_missing(row["kd_temperature"]) else f"T={row['kd_temperature']:g}"
    return ", ".join(dict.fromkeys(part for part in (*gain.name.short.split(", "), temperature) if part))


def _detectable(tables: ReportTables, scoring: str, gain: Gain, comparisons: int) -> tuple[str, ...]:
    """In points, of this comparison, allowing for the number of comparisons."""
    [row] = records(select(pooled(select(tables.gains, scoring=scoring)), cell=gain.name.cell))[:1]
    if is_missing(row["only_cell"]) or is_missing(row["only_control"]) or not row["items"]:
        return ()
    discordance = (row["only_cell"] + row["only_control"]) / row["items"]
    if not 0 < discordance < 1:
        return ()
    least = detectable_difference(int(row["items"]), float(discordance), LEVEL / comparisons, _POWER)
    return () if is_missing(least) else (fixed(100 * least),)


def _reach(values: Sequence[float]) -> tuple[float, float]:
    known = pd.Series(values, dtype="float64").to_numpy()
    low, high = padded(known, including=0.0)
    return low, high


def interval_mark(
    low: float, value: float, high: float, reach: tuple[float, float], references: Sequence[float]
) -> Markup:
    """A value on its interval as a small drawing, with dashed lines at the references; all of one reach line up."""

    def at(number: float) -> str:
        share = (number - reach[0]) / (reach[1] - reach[0])
        return f"{min(max(share, 0.0), 1.0) * (_WIDTH - 8) + 4:.1f}"

    known = not (is_missing(low) or is_missing(high))
    middle = _HEIGHT // 2
    lines = "".join(f'<line class="at" x1="{at(x)}" x2="{at(x)}" y1="1" y2="{_HEIGHT - 1}"/>' for x in references)
    interval = f'<line class="over" x1="{at(low)}" x2="{at(high)}" y1="{middle}" y2="{middle}"/>' if known else ""
    dot = f'<circle cx="{at(value)}" cy="{middle}" r="4"/>'
    size = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    return Markup(f'<svg class="interval" {size} aria-hidden="true">{lines}{interval}{dot}</svg>')  # noqa: S704 - numbers only

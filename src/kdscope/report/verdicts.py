"""The answer as one row per student: which method beat SFT if any did, how faithful it is, what could not be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from kdscope.report.formatting import fixed, is_missing, p_equals, percent, points, short_count, with_interval
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
    size: str
    kind: str
    verdict: str
    method: str
    gain: Estimate
    fidelity: Estimate
    detectable: tuple[str, ...]


@dataclass(frozen=True)
class _Answer:
    """The comparison that answers for a student, in shares, and what it allows to be said."""

    best: Gain
    verdict: Verdict
    gain: float
    low: float
    high: float
    note: str
    method: str


def headline(tables: ReportTables, scoring: str) -> str:
    """Whether distillation is worth it, in one sentence."""
    answers = _answers(tables, scoring)
    better = [student for student, answer in answers.items() if answer.verdict is Verdict.BETTER]
    if not answers:
        return "This study cannot say whether distillation helps: no distilled student has a control to compare with."
    if all(answer.verdict is Verdict.UNKNOWN for answer in answers.values()):
        return "These results have no intervals for single students, so no gain can be called established here."
    if not better:
        return "No method is shown to beat plain fine-tuning (SFT)."
    if len(better) == len(answers):
        return f"Distillation beat plain fine-tuning (SFT) for {_all_of(better)}."
    rest = [student for student in answers if student not in better]
    if len(answers) > _MOST_NAMED:
        return f"Distillation beat plain fine-tuning (SFT) for {len(better)} of {len(answers)} students."
    return f"Distillation beat plain fine-tuning (SFT) for {_listed(better)}; it is not shown to for {_listed(rest)}."


def _all_of(students: Sequence[str]) -> str:
    return {1: students[0], 2: f"both students, {_listed(students)}"}.get(
        len(students), f"all {len(students)} students"
    )


def _listed(students: Sequence[str]) -> str:
    return students[0] if len(students) == 1 else f"{', '.join(students[:-1])} and {students[-1]}"


def student_rows(tables: ReportTables, scoring: str) -> list[StudentRow]:
    """One row per student that has a gain, in the study's order."""
    answers = _answers(tables, scoring)
    comparisons = len(pooled_gains(tables, scoring, name_cells(tables.cells)))
    likeness = {model: _likeness(tables, answer.best.name.cell) for model, answer in answers.items()}
    reach = _reach([value for one in answers.values() for value in (one.low, one.gain, one.high)])
    across = _reach([0.0, 1.0, *(value for row in likeness.values() for value in _limits(row) if -1 < value < 2)])
    sizes = tables.cells.drop_duplicates("student").set_index("student")["parameters"]
    return [
        StudentRow(
            student=model,
            size="" if is_missing(sizes[model]) else short_count(sizes[model]),
            kind=_BADGES[answer.verdict][0],
            verdict=_BADGES[answer.verdict][1],
            method=answer.method,
            gain=_gain(answer, reach),
            fidelity=_fidelity(likeness[model], across),
            detectable=_stated(tables, model) or _detectable(tables, scoring, answer.best, comparisons),
        )
        for model, answer in answers.items()
    ]


def _answers(tables: ReportTables, scoring: str) -> dict[str, _Answer]:
    """By student: its best gain; where no gain has an adjusted p-value, the answer to the primary question instead."""
    gains = pooled_gains(tables, scoring, name_cells(tables.cells))
    tested = any(not is_missing(gain.p_holm) for gain in gains)
    answers = {}
    for model in dict.fromkeys(gain.name.model for gain in gains):
        best = _best(gains, model)
        primary = [] if tested else records(select(tables.statistics, role="confirmatory", group=model))
        answers[model] = _of_primary(tables, best, primary[0]) if len(primary) == 1 else _of_gain(tables, best)
    return answers


def _of_gain(tables: ReportTables, best: Gain) -> _Answer:
    note = "" if is_missing(best.p_holm) else f"Holm p {p_equals(best.p_holm)}"
    method = _method(tables, best)
    told = method if best.verdict is Verdict.BETTER else f"largest: {method}"
    return _Answer(best, best.verdict, best.gain, best.low, best.high, note, told)


def _of_primary(tables: ReportTables, best: Gain, row: Mapping[str, Any]) -> _Answer:
    estimate, low, high = (float(row[name]) / 100 for name in ("estimate", "low", "high"))
    verdict = Verdict.UNKNOWN if is_missing(low) else Verdict.UNCLEAR
    if not is_missing(row["p_adjusted"]) and row["p_adjusted"] < LEVEL:
        verdict = Verdict.BETTER if estimate > 0 else Verdict.WORSE
    note = "" if is_missing(row["p_adjusted"]) else f"adjusted p {p_equals(row['p_adjusted'])}"
    told = f"as the primary question asks; largest single gain {points(best.gain)}, {_method(tables, best)}"
    return _Answer(best, verdict, estimate, low, high, note, told)


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


def _stated(tables: ReportTables, student: str) -> tuple[str, ...]:
    """In points, as the answers to the primary question tell it."""
    rows = records(select(tables.statistics, role="confirmatory", group=student))
    known = [row for row in rows if not is_missing(row["detectable"])]
    domains = [f" ({row['domain']})" if len(known) > 1 and not is_missing(row["domain"]) else "" for row in known]
    return tuple(f"{fixed(row['detectable'])}{domain}" for row, domain in zip(known, domains, strict=True))


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

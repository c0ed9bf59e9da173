"""The answer of the first screen (which method, student by student), and the sentences of the statistics by role."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kdscope.results.findings import (
    CHECKPOINTS,
    MEAN_OF_METHODS,
    RUNS,
    UNKNOWN,
    Finding,
    StudentFindings,
    Verdict,
    not_distilled,
    student_findings,
)
from kdscope.results.formatting import fixed, is_missing, plural, points
from kdscope.results.hypotheses import CONFIRMATORY, DETAIL, EXPLORATORY, METHOD, SENSITIVITY, is_significant
from kdscope.results.tables import ReportTables, records

MOST_WORDS = 120
"""Of the answer with its heading."""
QUESTION = "Which method, if any?"
_LONGEST_HEADLINE = 36
_KEPT_BACK = 8
"""Words that telling how many students are left out takes."""
_MOST_NAMED, _MOST_LISTED = 3, 4
_NO_GAIN = "No reliable gain"
_NONE_DETECTABLE = "none within 100 points"

_GROUPS = (
    (
        CONFIRMATORY,
        "The primary question",
        "Settled before looking; p-values are adjusted for the number of answers.",
    ),
    (EXPLORATORY, "Other questions asked of the same data", "What is found here is a lead to test, not a finding."),
    (SENSITIVITY, "The same with other choices", "How far the answer depends on how it was computed."),
    (DETAIL, "By method, task and cell", "Parts of the questions above."),
)


@dataclass(frozen=True)
class MethodAnswer:
    """A headline and a few sentences, one for each student and domain as far as there is room."""

    headline: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Conclusions:
    """The sentences of one role, how they may be read, and how many there are, shown or not."""

    role: str
    title: str
    how_to_read: str
    sentences: tuple[str, ...]
    count: int


def answer(tables: ReportTables) -> MethodAnswer:
    """Which methods differ from SFT, by the adjusted p-values of table `statistics`; worse ones are named too."""
    students = student_findings(tables)
    headline = _headline(students)
    lines = [line for student in students if (line := _about(student))]
    others = [line for line in _without(students) if not _says(headline, line)]
    others += [*_left_in_warm_start(tables), *_between_methods(tables), *_detectable(students)]
    room = MOST_WORDS - _words(QUESTION) - _words(headline)
    # Short sentences on everything are never the ones that find no room: single students are in the table too.
    kept = _fitting(lines, room - _KEPT_BACK - sum(map(_words, others)))
    missing = len(lines) - len(kept)
    more = [f"See the table for {plural(missing, 'more student')}."] if missing else []
    return MethodAnswer(headline, tuple(_fitting([*kept, *more, *others], room)))


def _says(headline: str, line: str) -> bool:
    """Whether the headline has named everybody whom a sentence on no gain names."""
    return line.startswith(_NO_GAIN) and headline == line.replace(_NO_GAIN, f"{_NO_GAIN} over SFT")


def _fitting(lines: Sequence[str], room: int) -> list[str]:
    """The lines that so many words have room for: names of many words could fill any."""
    kept = []
    for line in lines:
        if _words(line) <= room:
            kept.append(line)
            room -= _words(line)
    return kept


def detectable_text(gains: Sequence[Finding], unit: str = " points") -> str:
    """The differences found with 80% power, as a number or a range in points; empty where none is known.

    A difference of accuracies is at most 100 points: where no such difference would be found, that is said.
    """
    known = sorted(gain.detectable for gain in gains if gain.detectable == gain.detectable)
    if not known:
        return ""
    if known[0] > 100:
        return _NONE_DETECTABLE
    low = fixed(known[0])
    if known[-1] > 100:
        return f"from {low}{unit} to {_NONE_DETECTABLE}"
    high = fixed(known[-1])
    return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"


def listed(parts: Sequence[str], most: int = _MOST_NAMED) -> str:
    """A list in words, cut after so many.

    >>> listed(["a"]), listed(["a", "b", "c"]), listed(["a", "b", "c", "d", "e"])
    ('a', 'a, b and c', 'a, b, c and 2 more')
    """
    parts = [*parts[:most], *([f"{len(parts) - most} more"] if len(parts) > most else [])]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _words(text: str) -> int:
    return len(text.split())


def _of(student: StudentFindings, verdict: Verdict) -> list[Finding]:
    """Its gains with this verdict, the largest first; beside some about methods, those about checkpoints stay out."""
    scopes = {gain.scope for gain in student.gains}
    own = [gain for gain in student.gains if gain.verdict is verdict and (gain.scope == RUNS or RUNS not in scopes)]
    return sorted(own, key=lambda gain: -abs(gain.estimate))


def _headline(students: Sequence[StudentFindings]) -> str:
    gains = [gain for student in students for gain in student.gains]
    if not gains:
        return "This study cannot say whether distillation helps: no distilled student has a control to compare with."
    if all(gain.scope == UNKNOWN for gain in gains):
        return "No claim about a method: these statistics do not say whether training runs are part of their intervals."
    if all(gain.verdict is Verdict.NO_CLAIM for gain in gains):
        return "No claim about a method: the variation between training runs cannot be estimated."
    if not any(gain.scope == RUNS for gain in gains):
        return _of_checkpoints(gains)
    candidates = [_of_methods(students, counted=counted) for counted in (False, True)]
    of_methods = [gain for gain in gains if gain.scope == RUNS]
    return next((said for said in candidates if _words(said) <= _LONGEST_HEADLINE), _counted(of_methods))


def _of_checkpoints(gains: Sequence[Finding]) -> str:
    differ = sum(gain.verdict in (Verdict.HIGHER, Verdict.LOWER) for gain in gains)
    said = f"differ significantly in {differ} of {plural(len(gains), 'comparison')}"
    if len(gains) == 1:
        said = "differ significantly" if differ else "do not differ significantly"
    which = "These two checkpoints, distilled and SFT," if len(gains) == 1 else "Distilled and SFT checkpoints"
    return f"{which} {said}; with one training seed nothing is claimed about a method."


def _of_methods(students: Sequence[StudentFindings], *, counted: bool) -> str:
    """Names the methods with a reliable gain for each student; where there are none, who has none.

    Significantly worse ones are named too, or only counted.
    """
    better = {
        student.name: names for student in students if (names := _names(_significant(student, Verdict.HIGHER), student))
    }
    worse = {
        student.name: names for student in students if (names := _names(_significant(student, Verdict.LOWER), student))
    }
    rest = [student.name for student in students if student.name not in better and _was_tested(student)]
    parts = []
    if better:
        gained = [f"{listed(names)} for {name}" for name, names in better.items()]
        parts.append(f"Reliable gain over SFT: {listed(gained)}" + ("; none elsewhere" if rest else ""))
    elif rest:
        parts.append(f"{_NO_GAIN} over SFT for {listed(rest)}")
    if worse and counted:
        number = sum(len(_of_runs(student, Verdict.LOWER)) for student in students)
        of = plural(sum(len(student.gains) for student in students), "comparison")
        parts.append(f"Significantly worse in {number} of {of}")
    elif worse:
        lost = [f"{listed(names)} for {name}" for name, names in worse.items()]
        parts.append(f"Significantly worse than SFT: {listed(lost)}")
    return f"{'. '.join(parts)}."


def _significant(student: StudentFindings, verdict: Verdict) -> list[Finding]:
    """What may be said of a student's methods: single ones, or where none is significant the mean over them."""
    single = _of_runs(student, verdict)
    mean = student.mean
    if single or mean is None or mean.scope != RUNS or mean.verdict is not verdict:
        return single
    return [mean]


def _was_tested(student: StudentFindings) -> bool:
    return any(gain.scope == RUNS and gain.verdict is not Verdict.NO_CLAIM for gain in student.gains)


def _of_runs(student: StudentFindings, verdict: Verdict) -> list[Finding]:
    """Only these may be said of a method; another student of the study may have one run a side."""
    return [gain for gain in _of(student, verdict) if gain.scope == RUNS]


def _names(gains: Sequence[Finding], student: StudentFindings) -> list[str]:
    """The names of settings; all of a student's together where it has more than can be named."""
    if len(gains) == len(student.gains) > _MOST_NAMED:
        return [f"all {len(gains)} methods"]
    return [_name(gain) for gain in gains]


def _name(gain: Finding) -> str:
    return f"the {MEAN_OF_METHODS}" if gain.setting == MEAN_OF_METHODS else gain.setting


def _counted(gains: Sequence[Finding]) -> str:
    better, worse = (sum(gain.verdict is verdict for gain in gains) for verdict in (Verdict.HIGHER, Verdict.LOWER))
    of = f"{plural(len(gains), 'comparison')} of a method with SFT"
    return f"Reliable gain in {better} of {of}; significantly worse in {worse}."


def _about(student: StudentFindings) -> str:
    """What is significant for one student; empty where nothing is."""
    checkpoints = {gain.scope for gain in student.gains} == {CHECKPOINTS}
    words = ("higher", "lower") if checkpoints else ("better", "worse")
    parts = []
    for verdict, word in zip((Verdict.HIGHER, Verdict.LOWER), words, strict=True):
        some = [f"{_name(gain)} ({points(gain.estimate / 100)} points)" for gain in _of(student, verdict)]
        if some:
            parts.append(f"significantly {word}: {listed(some)}")
    mean = student.mean
    if not parts and mean is not None and mean.scope == RUNS and mean.verdict in (Verdict.HIGHER, Verdict.LOWER):
        average = f"{points(mean.estimate / 100)} points on average over methods, significant"
        parts.append(f"{average}; no single method's difference is")
    return f"{student.name}: {'; '.join(parts)}." if parts else ""


def _without(students: Sequence[StudentFindings]) -> Iterator[str]:
    """For whom nothing is significant, and for whom nothing is claimed."""
    open_of: dict[str, list[str]] = {}
    for student in students:
        scopes = {gain.scope for gain in student.gains}
        if scopes <= {UNKNOWN} or _about(student):
            continue
        if all(gain.verdict is Verdict.NO_CLAIM for gain in student.gains):
            kind = "No claim, as the variation between training runs cannot be estimated"
        elif scopes == {CHECKPOINTS}:
            kind = "No significant difference from the SFT checkpoint"
        else:
            kind = _NO_GAIN
        open_of.setdefault(kind, []).append(student.name)
    for kind, names in open_of.items():
        yield f"{kind} for {listed(names, _MOST_LISTED)}."


def _detectable(students: Sequence[StudentFindings]) -> Iterator[str]:
    gains = [gain for student in students for gain in student.gains if gain.verdict is not Verdict.NO_CLAIM]
    least = detectable_text(gains)
    if least:
        what = "difference" if {gain.scope for gain in gains} == {CHECKPOINTS} else "gain"
        yield f"Minimum detectable {what} (80% power): {least}."


def _left_in_warm_start(tables: ReportTables) -> Iterator[str]:
    """The students whose runs were left in their warm start, those of one method and step together."""
    names = tables.names
    settings: dict[tuple[str, int | None], list[str]] = {}
    for cell, step in not_distilled(tables).items():
        settings.setdefault((names[cell].setting, step), []).append(names[cell].model)
    for (setting, step), models in list(settings.items())[:_MOST_NAMED]:
        kept = "its kept step" if step is None else f"kept step {step:,}"
        whose = listed(list(dict.fromkeys(models)), _MOST_LISTED)
        yield f"{setting} of {whose}: not distilled ({kept} lies in its warm start)."
    if len(settings) > _MOST_NAMED:
        yield f"Not distilled likewise: {plural(len(settings) - _MOST_NAMED, 'more setting')}."


def _between_methods(tables: ReportTables) -> Iterator[str]:
    """Whether methods differ from each other, where that was tested with runs as random."""
    rows = tables.statistics
    rows = rows[(rows["hypothesis"] == METHOD) & (rows["scope"] == RUNS) & rows["p_adjusted"].notna()]
    if rows.empty:
        return
    differ = rows[rows["p_adjusted"].map(is_significant)]
    if differ.empty:
        yield "No significant difference between methods."
        return
    yield f"{len(differ)} of {plural(len(rows), 'difference')} between methods significant."


def conclusions(tables: ReportTables) -> list[Conclusions]:
    """The results in sentences, grouped by role; groups without any are left out."""
    groups = []
    for role, title, how_to_read in _GROUPS:
        said = _sentences(tables, role)
        if said:
            groups.append(Conclusions(role, title, how_to_read, said, len(said)))
    return groups


def _sentences(tables: ReportTables, role: str) -> tuple[str, ...]:
    rows = tables.statistics[tables.statistics["role"] == role]
    told = [str(row["sentence"]) for row in records(rows) if not is_missing(row["sentence"]) and row["sentence"]]
    return tuple(dict.fromkeys(told))

"""What gains on item records have to do with the teacher: its accuracy, agreement with it, fidelity to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdscope.protocols.item_matrix import ABLATION
from kdscope.protocols.likeness import TeacherPairs
from kdscope.protocols.record_fidelity import fidelity_by_cell
from kdscope.protocols.record_study import RecordStudy
from kdscope.protocols.results import WITHIN, RigorousResult, few, noted, result_of
from kdscope.results.column_names import FIDELITY, TEACHER
from kdscope.results.hypotheses import H2, H4, H5
from kdscope.statistics.crossed import teacher_effects
from kdscope.statistics.estimates import Estimate
from kdscope.statistics.slopes import slope_over_units, slope_within

_CELL = ["student", "teacher", "method"]
_HALVES = "The less significant of the two ways to halve the items."
_UNCORRECTED = "Texts that end in the same right answer are more alike: accuracy by itself gives some of it."


def teacher_relations(study: RecordStudy, pairs: list[TeacherPairs], seed: int) -> Iterator[RigorousResult]:
    """``H2``, ``H4`` and ``H5``, as far as the records tell of teachers, agreement and fidelity.

    - ``H2``: effects of teachers, students' own levels taken out (`crossed.teacher_effects`), on the teacher's
      accuracy; units are teachers.
    - ``H4``: gain on agreement beyond what the two accuracies give, minus the control's
      (`record_fidelity.fidelity_by_cell`); ``H5``: on likeness of the texts. Agreement and gain share the student's
      answers: one is taken from half of the items, the other from the rest, and no error is on both sides. Over
      students, and over cells within students. The error of half the items in what explains draws slopes towards 0.
      Likeness of texts is not corrected for what the two accuracies give.
    """
    teachers = _teachers(study)
    cells = study.kd[study.kd["student"].isin(study.students) & (study.kd["teacher"] != "")]
    if cells.empty:
        return
    if teachers:
        yield _of_accuracy(study, cells, teachers)
    halves = study.halves(seed)
    if pairs:
        per = "point of agreement beyond accuracy"
        yield from _of_likeness(study, H4, per, halves, lambda half: _agreement(study, cells, pairs, half))
    if FIDELITY in study.matrix.told:
        yield from _of_likeness(study, H5, "point of fidelity", halves, lambda half: _fidelity(study, cells, half))


def _teachers(study: RecordStudy) -> dict[str, NDArray[np.float64]]:
    """Each teacher's correctness on every item: its own records, or those of a student of that name under SFT."""
    own = study.models[(study.models["method"] == TEACHER) & (study.models[ABLATION] == "")]
    found = {}
    for name in study.kd["teacher"].unique():
        rows = own.index[own["teacher"] == name]
        rows = rows if rows.size else study.controls.index[study.controls["student"] == name]
        if rows.size:
            found[str(name)] = study.matrix.mean_of(np.asarray(rows, dtype=np.intp))
    return found


def _of_accuracy(study: RecordStudy, cells: pd.DataFrame, teachers: dict[str, NDArray[np.float64]]) -> RigorousResult:
    pairs = [(str(s), str(t), rows) for (s, t), rows in cells.groupby(_CELL[:2], sort=False)]
    values = [study.score(study.matrix.mean_of(np.asarray(rows.index, dtype=np.intp))) for *_, rows in pairs]
    effects = teacher_effects(values, [student for student, *_ in pairs], [teacher for _, teacher, _ in pairs])
    names = [str(name) for name in effects if str(name) in teachers]
    found = slope_over_units([study.score(teachers[name]) for name in names], [effects[name] for name in names])
    return result_of(
        *(found, study.name, H2, "all", study.task, "slope over teachers"),
        unit="teachers",
        per="point of the teacher's accuracy",
        note=few(len(names), "teachers with common students", slope=True),
    )


def _of_likeness(
    study: RecordStudy,
    hypothesis: str,
    per: str,
    halves: NDArray[np.bool_],
    likeness: Callable[[NDArray[np.bool_]], pd.Series[float]],
) -> Iterator[RigorousResult]:
    """Gain on one half of the items on what is told on the other: over students, and over cells within them."""
    over_students, within = [], []
    for half in (halves, ~halves):
        both = pd.DataFrame({"x": likeness(half), "y": _gains(study, ~half)}).dropna()
        if both.empty:
            return
        means = both.groupby("student").mean()
        over_students.append(slope_over_units(means["x"], means["y"]))
        within.append(slope_within(both["x"], both["y"], both.index.get_level_values("student").to_numpy()))
    for group, found, unit in (("all", _weaker(over_students), "students"), (WITHIN, _weaker(within), "cells")):
        confounded = "Students differ in size as well, and so few cannot tell the two apart." * (unit == "students")
        where = (study.name, hypothesis, group, study.task, f"slope over {unit}, other half")
        uncorrected = _UNCORRECTED * (hypothesis == H5)
        note = noted(_HALVES, few(found.n, unit, slope=True), confounded, uncorrected)
        yield result_of(found, *where, unit=unit, per=per, note=note)


def _weaker(slopes: list[Estimate]) -> Estimate:
    return slopes[0] if slopes[0].p_value >= slopes[1].p_value else slopes[1]


def _gains(study: RecordStudy, half: NDArray[np.bool_]) -> pd.Series[float]:
    """Gain of each cell in points on some of the items."""
    found = {}
    for key, rows in study.kd[study.kd["student"].isin(study.students)].groupby(_CELL, sort=False):
        values = study.runs.mean_of(np.asarray(rows.index, dtype=np.intp)) - study.control_of(str(key[0]))
        found[key] = study.score(np.where(half, values, np.nan))
    return _by_cell(found)


def _agreement(
    study: RecordStudy, cells: pd.DataFrame, pairs: list[TeacherPairs], half: NDArray[np.bool_]
) -> pd.Series[float]:
    """Agreement of each cell with its teacher beyond accuracy, minus its control's, in points, on some of the items."""
    students = dict(zip(cells.index.to_list(), cells["student"].astype(str), strict=True))
    known = fidelity_by_cell(study, pairs, half, students)
    found = {}
    for key, rows in cells.groupby(_CELL, sort=False):
        values = [known[number] for number in rows.index if number in known]
        if values:
            found[key] = float(np.mean(values))
    return _by_cell(found)


def _fidelity(study: RecordStudy, cells: pd.DataFrame, half: NDArray[np.bool_]) -> pd.Series[float]:
    """Fidelity of each cell in percent on some of the items: mean over tasks."""
    found = {}
    for key, rows in cells.groupby(_CELL, sort=False):
        values = study.matrix.told_of(FIDELITY, np.asarray(rows.index, dtype=np.intp))
        found[key] = study.score(np.where(half, values, np.nan))
    return _by_cell(found)


def _by_cell(found: dict[tuple[object, ...], float]) -> pd.Series[float]:
    index = (
        pd.MultiIndex.from_tuples(list(found), names=_CELL)
        if found
        else pd.MultiIndex.from_arrays([[]] * 3, names=_CELL)
    )
    return pd.Series(list(found.values()), index=index, dtype=np.float64)

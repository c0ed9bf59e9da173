"""What gains on item records have to do with the teacher: its accuracy, agreement with it, fidelity to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdscope.statistics.blocks import teacher_effects
from kdscope.statistics.coupling import chance_corrected
from kdscope.statistics.estimates import Estimate, slope_over_units, slope_within
from kdscope.statistics.item_matrix import ABLATION
from kdscope.statistics.record_study import RecordStudy
from kdscope.statistics.results import WITHIN, RigorousResult, few, noted, result_of
from kdscope.statistics.tidy import AGREEMENT, FIDELITY, TEACHER

_CELL = ["student", "teacher", "method"]
_HALVES = "The less significant of the two ways to halve the items."
_UNCORRECTED = "Texts that end in the same right answer are more alike: accuracy by itself gives some of it."


def teacher_relations(study: RecordStudy, seed: int) -> Iterator[RigorousResult]:
    """``H2``, ``H4`` and ``H5``, as far as the records tell of teachers, agreement and fidelity.

    - ``H2``: effects of teachers, students' own levels taken out (`blocks.teacher_effects`), on the teacher's accuracy;
      units are teachers.
    - ``H4``: gain on agreement beyond what the two accuracies give by chance (`coupling.chance_corrected`); ``H5``: on
      fidelity. Agreement and gain share the student's answers: one is taken from half of the items, the other from the
      rest, and no error is on both sides. Over students, and over cells within students. The error of half the items
      in what explains draws slopes towards 0. Fidelity is not corrected for what the two accuracies give.
    """
    teachers = _teachers(study)
    cells = study.kd[study.kd["student"].isin(study.students) & (study.kd["teacher"] != "")]
    if cells.empty:
        return
    if teachers:
        yield _of_accuracy(study, cells, teachers)
    halves = study.halves(seed)
    if AGREEMENT in study.matrix.told and teachers:
        per = "point of agreement beyond chance"
        yield from _of_likeness(study, "H4", per, halves, lambda half: _agreement(study, cells, teachers, half))
    if FIDELITY in study.matrix.told:
        yield from _of_likeness(study, "H5", "point of fidelity", halves, lambda half: _fidelity(study, cells, half))


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
        *(found, study.name, "H2", "all", study.task, "slope over teachers"),
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
        uncorrected = _UNCORRECTED * (hypothesis == "H5")
        note = noted(_HALVES, few(found.n, unit, slope=True), confounded, uncorrected)
        yield result_of(found, *where, unit=unit, per=per, note=note)


def _weaker(slopes: list[Estimate]) -> Estimate:
    return slopes[0] if slopes[0].p_value >= slopes[1].p_value else slopes[1]


def _gains(study: RecordStudy, half: NDArray[np.bool_]) -> pd.Series[float]:
    """Gain of each cell in points on some of the items."""
    found = {}
    for key, rows in study.kd[study.kd["student"].isin(study.students)].groupby(_CELL, sort=False):
        values = study.matrix.mean_of(np.asarray(rows.index, dtype=np.intp)) - study.control_of(str(key[0]))
        found[key] = study.score(np.where(half, values, np.nan))
    return _by_cell(found)


def _agreement(
    study: RecordStudy, cells: pd.DataFrame, teachers: dict[str, NDArray[np.float64]], half: NDArray[np.bool_]
) -> pd.Series[float]:
    """Agreement of each cell with its teacher beyond chance, in percent, on some of the items: mean over tasks."""
    wrong = [1 / (study.options[task] - 1) if task in study.options else 0.0 for task in study.matrix.tasks]
    found = {}
    for key, rows in cells[cells["teacher"].isin(list(teachers))].groupby(_CELL, sort=False):
        numbers = np.asarray(rows.index, dtype=np.intp)
        parts = study.matrix.told_of(AGREEMENT, numbers), study.matrix.mean_of(numbers), teachers[str(key[1])]
        known = half & ~np.isnan(np.stack(parts)).any(axis=0)
        agreement, own, its = (study.matrix.by_task(np.where(known, part, np.nan)) for part in parts)
        told = ~np.isnan(agreement)
        if told.any():
            kappa = chance_corrected(agreement[told], own[told], its[told], np.array(wrong)[told])
            found[key] = 100 * float(kappa.mean())
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

"""Is a student more like its teacher than the same student without a teacher? Each setting, and methods beside methods.

The level of any likeness rises with accuracy and with items that are hard for everybody; its difference to that of the
control, the student fine-tuned on the same data, does not (docs/simulated_fidelity.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from kdscope.protocols.item_matrix import ABLATION, ItemMatrix
from kdscope.protocols.likeness import TeacherPairs, inherited_errors, shared_right, shared_wrong, teacher_pairs
from kdscope.protocols.record_cells import CELL, setting_facts, setting_name
from kdscope.protocols.record_study import RecordStudy
from kdscope.protocols.results import RigorousResult, contrast_result, noted, result_of
from kdscope.results.column_names import AVERAGE, SFT
from kdscope.results.hypotheses import (
    DETAIL,
    FIDELITY,
    FIDELITY_LEVEL,
    FIDELITY_METHOD,
    INHERITED,
    NONINFERIORITY,
    SHARED_RIGHT,
    SHARED_WRONG,
)
from kdscope.statistics.estimates import in_points, t_estimate
from kdscope.statistics.means import macro_mean
from kdscope.statistics.run_contrasts import CHECKPOINTS, Contrast, RunContrasts, contrast_in_points
from kdscope.statistics.run_noise import detectable_gain

Array = NDArray[np.float64]
_COPIED, _POWER_FACTOR = 0.2, 2.8
"""A share of copied answers worth finding; standard errors that a difference needs to be found with 80% power at 5%."""
_WEAK, _FAR = 50.0, 15.0
"""A control below this accuracy in percent, or this many points below its student, is warned of: simulated in
docs/simulated_fidelity.md."""


def fidelity(study: RecordStudy, pairs: list[TeacherPairs], margin: float) -> Iterator[RigorousResult]:
    """Likeness of every setting to its teacher minus its control's, and of each two methods.

    - ``fidelity``: agreement beyond what both accuracies give; ``shared_right`` and ``shared_wrong`` are its two parts
      (`likeness`). Sharing what is right is what a teacher is for, sharing what is wrong is not.
    - ``inherited_errors``: same wrong answers among the items both have wrong.
    - ``fidelity_method``: two methods with the same students and teacher; ``fidelity_noninferiority``: that the first
      is not less faithful than the second by ``margin`` points or more (one-sided, 90% limits).
    """
    for own in pairs:
        runs = study.runs.runs[study.runs.runs.index.isin(own.rows)]
        likeness = likenesses(study.matrix, study.options, own)
        measured = {name: _contrasts(study, own, runs, values) for name, values in likeness.items()}
        copier = _copied_points(study, own)
        for name, contrasts in measured.items():
            yield from _settings(study, contrasts, name, copier)
        yield from _methods(study, measured[FIDELITY], margin)


def fidelity_levels(
    matrix: ItemMatrix, domain: str, options: Mapping[str, int], pairs: pd.DataFrame
) -> list[RigorousResult]:
    """Agreement beyond accuracy of every setting, where there is no control to take off: a level, without a test."""
    task_of, clusters = pd.factorize(matrix.items["task"])[0], matrix.items["cluster"].to_numpy()
    rows = []
    for own in teacher_pairs(pairs, matrix):
        values = likenesses(matrix, options, own)[FIDELITY]
        models = matrix.models.loc[own.rows].assign(place=np.arange(len(own.rows)))
        for key, some in models.groupby([*CELL, ABLATION], sort=False, dropna=False):
            mean = values[some["place"]].mean(axis=0)
            if np.isnan(mean).all():
                continue
            level = in_points(macro_mean(mean, task_of, clusters))
            row = result_of(
                *(replace(level, p_value=math.nan), domain, FIDELITY_LEVEL, setting_name(key[:4], str(key[4]))),
                *(AVERAGE if len(matrix.tasks) > 1 else matrix.tasks[0], "none"),
                unit="items",
                role=DETAIL,
                scope=CHECKPOINTS,
                runs=len(some),
                note="A level, not a difference to a control: items that are hard for everybody give some of it.",
                **setting_facts(some),
            )
            rows.append(row)
    return rows


def likenesses(matrix: ItemMatrix, options: Mapping[str, int], pairs: TeacherPairs) -> dict[str, Array]:
    """The four likenesses of every run that was compared with one teacher, item by item, shape [R, N]."""
    task_of = np.asarray(pd.factorize(matrix.items["task"])[0], dtype=np.intp)
    right = shared_right(pairs, task_of)
    wrong = shared_wrong(pairs, task_of, _same_by_chance(matrix, options))
    return {
        FIDELITY: right + wrong,
        INHERITED: inherited_errors(pairs, task_of),
        SHARED_RIGHT: right,
        SHARED_WRONG: wrong,
    }


def _same_by_chance(matrix: ItemMatrix, options: Mapping[str, int]) -> Array:
    """The chance that two wrong answers to a task are the same, shape [T]; 0 where answers are free."""
    return np.array([1 / (options[task] - 1) if task in options else 0.0 for task in matrix.tasks])


def _contrasts(study: RecordStudy, pairs: TeacherPairs, runs: pd.DataFrame, values: Array) -> RunContrasts:
    every = np.full(study.matrix.correct.shape, np.nan)
    every[pairs.rows] = values
    return RunContrasts(every, runs, study.task_of, study.clusters)


def _settings(study: RecordStudy, contrasts: RunContrasts, hypothesis: str, copier: float) -> Iterator[RigorousResult]:
    models = study.models[study.models.index.isin(contrasts.runs.index)]
    is_control = contrasts.runs["control"].reindex(models.index).to_numpy(dtype=bool)
    controls, distilled = models[is_control], models[~is_control]
    for key, rows in distilled.groupby([*CELL, ABLATION], sort=False, dropna=False):
        student = str(rows["student"].iloc[0])
        reference = controls.index[controls["student"] == student]
        numbers = rows.index.to_numpy(dtype=np.intp), reference.to_numpy(dtype=np.intp)
        name = setting_name(key[:4], str(key[4]))
        if not numbers[1].size:
            continue
        if _unmeasured(contrasts, *numbers):
            yield _undefined(study, hypothesis, name, setting_facts(rows))
            continue
        found = contrast_in_points(contrasts.difference(*numbers))
        weak = _weak_control(study, *numbers) if hypothesis in (FIDELITY, SHARED_RIGHT) else ""
        yield contrast_result(
            *(found, study.name, hypothesis, name, study.task),
            detectable=detectable_gain(found.found.stderr, found.found.df),
            reference=SFT,
            note=noted(weak, _items_needed(found, copier) if hypothesis == FIDELITY else ""),
            **setting_facts(rows),
        )


def _copied_points(study: RecordStudy, pairs: TeacherPairs) -> float:
    """Fidelity in points of a student that takes `_COPIED` of its answers from its teacher and is independent else.

    ``c (A (1 - A) + (1 - A) (1 - w (1 - A)))`` of a task, ``A`` the teacher's accuracy, ``w`` the chance that two wrong
    answers are the same; the mean over tasks.
    """
    right = study.matrix.by_task(np.nanmean(pairs.shares["teacher_right"], axis=0))
    same = _same_by_chance(study.matrix, study.options)
    return 100 * _COPIED * float(np.nanmean((1 - right) * (right + 1 - same * (1 - right))))


def _items_needed(found: Contrast, copier: float) -> str:
    """How many items would find such a student in 80% of studies, where these are too few; or nothing."""
    error, own = found.found.stderr, found.item_stderr
    wanted = copier / _POWER_FACTOR
    if not error > 0 or not own > 0 or error <= wanted:
        return ""
    runs = max(error**2 - own**2, 0.0)
    told = f"A student that takes a fifth of its answers from this teacher exceeds its control by {copier:.1f} points; "
    if runs >= wanted**2:
        return f"{told}it takes more training runs to find that."
    return f"{told}it takes about {found.found.n * own**2 / (wanted**2 - runs):,.0f} items to find that (80% power)."


def _undefined(study: RecordStudy, hypothesis: str, name: str, facts: dict[str, Any]) -> RigorousResult:
    """A row without a number: a run of either side has no item that the measure is about."""
    nan = math.nan
    return RigorousResult(
        *("rigorous", study.name, hypothesis, name, study.task, "none", nan, nan, 0, nan, nan, nan),
        unit="items",
        note="Not defined: some run of the two sides has no wrong answer in common with the teacher to look at.",
        reference=SFT,
        **facts,
    )


def _weak_control(study: RecordStudy, rows: NDArray[np.intp], controls: NDArray[np.intp]) -> str:
    """A warning where the control is too far below its student for a difference of their likeness to be trusted."""
    own, control = study.score(study.runs.mean_of(rows)), study.score(study.runs.mean_of(controls))
    if not (control < _WEAK or own - control > _FAR):
        return ""
    return (
        f"The control is right on {control:.0f}% of the items and the student on {own:.0f}%: where items differ in "
        "difficulty, so weak a control makes the difference too large; agreement_beyond_matched_control allows for it."
    )


def _methods(study: RecordStudy, contrasts: RunContrasts, margin: float) -> Iterator[RigorousResult]:
    kd = study.kd.loc[study.kd.index.intersection(contrasts.runs.index)]
    for teacher, own in kd.groupby("teacher", sort=False):
        students_of = own.groupby("method", sort=False)["student"].agg(set).to_dict()
        order = list(students_of)
        for first, second in permutations(order, 2):
            students = students_of[first] & students_of[second]
            some = own[own["student"].isin(students)]
            sides = [some.index[some["method"] == method].to_numpy(dtype=np.intp) for method in (first, second)]
            if not students or _unmeasured(contrasts, *sides):
                continue
            found = contrast_in_points(contrasts.difference(*sides))
            who: dict[str, Any] = {"method": str(first), "reference": str(second), "teacher": str(teacher)}
            row = contrast_result(found, study.name, FIDELITY_METHOD, f"{first} - {second}", study.task, **who)
            if order.index(first) < order.index(second):
                yield row
            yield _noninferior(row, margin)


def _noninferior(row: RigorousResult, margin: float) -> RigorousResult:
    """The same difference as a one-sided test that it is above minus the margin."""
    stderr = row.stderr
    inner = t_estimate(row.estimate, stderr, row.df, row.n, 0.9)
    p_value = float(stats.t.sf((row.estimate + margin) / stderr, row.df)) if stderr > 0 else math.nan
    return replace(
        row,
        hypothesis=NONINFERIORITY,
        test=f"one-sided {row.test}",
        statistic=math.nan,
        p_value=p_value,
        low=inner.low,
        high=inner.high,
        margin=margin,
    )


def _unmeasured(contrasts: RunContrasts, first: NDArray[np.intp], second: NDArray[np.intp]) -> bool:
    return bool(np.isnan(contrasts.mean_of(first) - contrasts.mean_of(second)).all())


def fidelity_by_cell(
    study: RecordStudy, pairs: list[TeacherPairs], half: NDArray[np.bool_], of: Mapping[int, str]
) -> dict[int, float]:
    """Fidelity of each distilled run on some of the items, its control's taken off, in points: what H4 relates.

    Args:
        study: the study.
        pairs: of all teachers.
        half: the items, shape [N].
        of: the student of each run.
    """
    found: dict[int, float] = {}
    for own in pairs:
        cut = replace(own, shares={name: np.where(half, values, np.nan) for name, values in own.shares.items()})
        values = likenesses(study.matrix, study.options, cut)[FIDELITY]
        level = {int(row): study.score(line) for row, line in zip(own.rows, values, strict=True)}
        controls = study.controls.index
        by_student: dict[str, list[float]] = {}
        for row, value in level.items():
            if row in controls:
                by_student.setdefault(str(study.models.loc[row, "student"]), []).append(value)
        for row, value in level.items():
            if row in of and of[row] in by_student:
                found[row] = value - float(np.mean(by_student[of[row]]))
    return found

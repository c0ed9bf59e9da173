"""Is a student more like its teacher than the same student without a teacher? Each setting, and methods beside methods.

The level of any likeness rises with accuracy and with items that are hard for everybody; its difference to that of the
control, the student fine-tuned on the same data, does not (docs/simulated_fidelity.md).

A statistic that is a smooth function of means over items, such as ``agreement - a b``, is replaced by its linearisation
at the observed means (the delta method; influence function): values of the items whose mean is the statistic and whose
variance is its variance to first order (Hampel 1974, JASA 69:383). Differences of models, clusters of copies and
training runs are then handled as for accuracies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from kdscope.core.errors import StatisticsError
from kdscope.protocols.item_matrix import ABLATION, ItemMatrix, TeacherPairs, teacher_pairs
from kdscope.protocols.record_sample import RecordSample, numbers
from kdscope.protocols.results import RigorousResult, noted, result_of
from kdscope.protocols.single_settings import CELL, setting_facts, setting_name
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
from kdscope.statistics.effects import noninferiority_of_estimate
from kdscope.statistics.estimates import in_points
from kdscope.statistics.means import macro_mean
from kdscope.statistics.run_contrasts import CHECKPOINTS, Contrast, RunContrasts, contrast_in_points
from kdscope.statistics.run_noise import detectable_gain

Array = NDArray[np.float64]
_COPIED, _POWER_FACTOR = 0.2, 2.8
"""A share of copied answers worth finding; standard errors that a difference needs to be found with 80% power at 5%."""
_WEAK, _FAR = 50.0, 15.0
"""A control below this accuracy in percent, or this many points below its student, is warned of: simulated in
docs/simulated_fidelity.md."""


def shared_right(pairs: TeacherPairs, task_of: NDArray[np.intp]) -> Array:
    """Items both have right beyond what their accuracies give, ``P(both right) - a b`` task by task; shape [R, N].

    The mean over the items of a task is the statistic; ``a`` and ``b`` are the shares of the task that each has right.
    """
    right = [pairs.shares[name] for name in ("both_right", "own_right", "teacher_right")]
    return _beyond(right[0], right[1], right[2], task_of, np.ones(int(task_of.max()) + 1))


def shared_wrong(pairs: TeacherPairs, task_of: NDArray[np.intp], same_wrong: Array) -> Array:
    """Same wrong answers beyond chance, ``P(both wrong, the same) - w c d`` task by task; shape [R, N].

    Args:
        pairs: of one teacher.
        task_of: number of each item's task, shape [N].
        same_wrong: ``w`` of each task, the chance that two wrong answers are the same: ``1 / (options - 1)``, 0 for
            free answers. ``c`` and ``d`` are the shares of the task on which each has a wrong answer.
    """
    wrong = [pairs.shares[name] for name in ("same_wrong", "own_wrong", "teacher_wrong")]
    return _beyond(wrong[0], wrong[1], wrong[2], task_of, same_wrong)


def inherited_errors(pairs: TeacherPairs, task_of: NDArray[np.intp]) -> Array:
    """Same wrong answers among the items that both have wrong; shape [R, N], NaN for a run without such an item.

    ``n / d`` of the two means over tasks, of which one task with few such items cannot make much.
    """
    same, both = pairs.shares["same_wrong"], pairs.shares["both_wrong"]
    n, d = (np.nanmean(_task_means(values, task_of), axis=1, keepdims=True) for values in (same, both))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(d > 0, n / d, np.nan)
        return np.asarray(ratio + (same - ratio * both) / d)


def _beyond(shared: Array, own: Array, teacher: Array, task_of: NDArray[np.intp], weights: Array) -> Array:
    mine, its = (_task_means(values, task_of)[:, task_of] for values in (own, teacher))
    return np.asarray(shared - weights[task_of] * (own * its + mine * teacher - mine * its))


def _task_means(values: Array, task_of: NDArray[np.intp]) -> Array:
    """Mean over the measured items of each task, shape [R, T]; NaN where there are none."""
    known = ~np.isnan(values)
    indicator = np.eye(int(task_of.max()) + 1)[task_of]
    count = known @ indicator
    total = np.where(known, values, 0.0) @ indicator
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def chance_corrected(
    agreement: ArrayLike, first: ArrayLike, second: ArrayLike, same_wrong: ArrayLike = 0.0
) -> NDArray[np.float64]:
    """Agreement of two models beyond what their accuracies alone give, 1 for complete agreement.

    ``kappa = (agreement - c) / (1 - c)`` with ``c = a b + (1 - a)(1 - b) w``: both right by chance, or both wrong and
    the same (Cohen 1960, Educ Psychol Meas 20:37; Geirhos et al. 2020, arXiv 2006.16736, equation 1, where ``w`` is 1).
    Raw agreement rises with accuracy, so that it goes with the gain whatever the student took from its teacher.

    Args:
        agreement: share of items with the same answer, any shape.
        first: accuracy of one model, a fraction, same shape.
        second: accuracy of the other, same shape.
        same_wrong: ``w``, the chance that two wrong answers are equal: 1 / (options - 1), 0 for free answers.

    Returns:
        Kappa; NaN where chance alone gives complete agreement.

    Raises:
        StatisticsError: A value is outside [0, 1].

    Example:
        >>> float(chance_corrected(0.25, 0.5, 0.5))
        0.0
    """
    p, a, b, w = np.broadcast_arrays(
        *(np.asarray(values, dtype=np.float64) for values in (agreement, first, second, same_wrong))
    )
    for values in (p, a, b, w):
        if np.any((values < 0) | (values > 1)):
            raise StatisticsError("agreements and accuracies are fractions between 0 and 1")
    chance = a * b + (1 - a) * (1 - b) * w
    with np.errstate(divide="ignore", invalid="ignore"):
        kappa: NDArray[np.float64] = np.where(chance < 1, (p - chance) / (1 - chance), np.nan)
    return kappa


def fidelity(sample: RecordSample) -> Iterator[RigorousResult]:
    """Likeness of every setting to its teacher minus its control's, and of each two methods.

    - ``fidelity``: agreement beyond what both accuracies give; ``shared_right`` and ``shared_wrong`` are its two parts
      (`likeness`). Sharing what is right is what a teacher is for, sharing what is wrong is not.
    - ``inherited_errors``: same wrong answers among the items both have wrong.
    - ``fidelity_method``: two methods with the same students and teacher; ``fidelity_noninferiority``: that the first
      is not less faithful than the second by the margin or more (one-sided, 90% limits).
    """
    for own in sample.pairs:
        runs = sample.runs.runs[sample.runs.runs.index.isin(own.rows)]
        likeness = likenesses(sample.matrix, sample.settings.options, own)
        measured = {name: _contrasts(sample, own, runs, values) for name, values in likeness.items()}
        copier = _copied_points(sample, own)
        for name, contrasts in measured.items():
            yield from _settings(sample, contrasts, name, copier)
        yield from _methods(sample, measured[FIDELITY])


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
                *(replace(level, p_value=math.nan), domain, FIDELITY_LEVEL, setting_name(key)),
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


def _contrasts(sample: RecordSample, pairs: TeacherPairs, runs: pd.DataFrame, values: Array) -> RunContrasts:
    every = np.full(sample.matrix.correct.shape, np.nan)
    every[pairs.rows] = values
    return RunContrasts(every, runs, sample.task_of, sample.clusters)


def _settings(
    sample: RecordSample, contrasts: RunContrasts, hypothesis: str, copier: float
) -> Iterator[RigorousResult]:
    models = sample.models[sample.models.index.isin(contrasts.runs.index)]
    is_control = contrasts.runs["control"].reindex(models.index).to_numpy(dtype=bool)
    controls, distilled = models[is_control], models[~is_control]
    for key, rows in distilled.groupby([*CELL, ABLATION], sort=False, dropna=False):
        facts, name = setting_facts(rows) | {"reference": SFT}, setting_name(key)
        first, second = numbers(rows), sample.rows(controls, facts["student"])
        if not second.size:
            continue
        if not contrasts.overlap(first, second):
            yield _undefined(sample, hypothesis, name, facts)
            continue
        found = contrast_in_points(contrasts.difference(first, second))
        weak = _weak_control(sample, first, second) if hypothesis in (FIDELITY, SHARED_RIGHT) else ""
        yield sample.contrast(
            *(found, hypothesis, name),
            detectable=detectable_gain(found.found.stderr, found.found.df),
            note=noted(weak, _items_needed(found, copier) if hypothesis == FIDELITY else ""),
            **facts,
        )


def _copied_points(sample: RecordSample, pairs: TeacherPairs) -> float:
    """Fidelity in points of a student that takes `_COPIED` of its answers from its teacher and is independent else.

    ``c (A (1 - A) + (1 - A) (1 - w (1 - A)))`` of a task, ``A`` the teacher's accuracy, ``w`` the chance that two wrong
    answers are the same; the mean over tasks.
    """
    right = sample.matrix.by_task(np.nanmean(pairs.shares["teacher_right"], axis=0))
    same = _same_by_chance(sample.matrix, sample.settings.options)
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


def _undefined(sample: RecordSample, hypothesis: str, name: str, facts: dict[str, Any]) -> RigorousResult:
    """A row without a number: a run of either side has no item that the measure is about."""
    nan = math.nan
    return RigorousResult(
        *("rigorous", sample.name, hypothesis, name, sample.task, "none", nan, nan, 0, nan, nan, nan),
        unit="items",
        note="Not defined: some run of the two sides has no wrong answer in common with the teacher to look at.",
        **facts,
    )


def _weak_control(sample: RecordSample, rows: NDArray[np.intp], controls: NDArray[np.intp]) -> str:
    """A warning where the control is too far below its student for a difference of their likeness to be trusted."""
    own, control = sample.score(sample.runs.mean_of(rows)), sample.score(sample.runs.mean_of(controls))
    if not (control < _WEAK or own - control > _FAR):
        return ""
    return (
        f"The control is right on {control:.0f}% of the items and the student on {own:.0f}%: where items differ in "
        "difficulty, so weak a control makes the difference too large; agreement_beyond_matched_control allows for it."
    )


def _methods(sample: RecordSample, contrasts: RunContrasts) -> Iterator[RigorousResult]:
    kd = sample.kd.loc[sample.kd.index.intersection(contrasts.runs.index)]
    for teacher, own in kd.groupby("teacher", sort=False):
        students_of = own.groupby("method", sort=False)["student"].agg(set).to_dict()
        order = list(students_of)
        for first, second in permutations(order, 2):
            some = own[own["student"].isin(students_of[first] & students_of[second])]
            sides = [numbers(some[some["method"] == method]) for method in (first, second)]
            if not contrasts.overlap(*sides):
                continue
            found = contrast_in_points(contrasts.difference(sides[0], sides[1]))
            who = {"method": str(first), "reference": str(second), "teacher": str(teacher)}
            row = sample.contrast(found, FIDELITY_METHOD, f"{first} - {second}", **who)
            if order.index(first) < order.index(second):
                yield row
            shown = noninferiority_of_estimate(found.found, sample.settings.fidelity_margin)
            tested = replace(row, hypothesis=NONINFERIORITY, test=f"one-sided {row.test}", margin=shown.margin)
            yield replace(tested, statistic=math.nan, p_value=shown.p_value, low=shown.low, high=shown.high)


def fidelity_by_cell(sample: RecordSample, half: NDArray[np.bool_], of: Mapping[int, str]) -> dict[int, float]:
    """Fidelity of each distilled run on some of the items, its control's taken off, in points: what H4 relates.

    Args:
        sample: the records.
        half: the items, shape [N].
        of: the student of each run.
    """
    found: dict[int, float] = {}
    for own in sample.pairs:
        cut = replace(own, shares={name: np.where(half, values, np.nan) for name, values in own.shares.items()})
        values = likenesses(sample.matrix, sample.settings.options, cut)[FIDELITY]
        level = {int(row): sample.score(line) for row, line in zip(own.rows, values, strict=True)}
        controls = sample.controls.index
        by_student: dict[str, list[float]] = {}
        for row, value in level.items():
            if row in controls:
                by_student.setdefault(str(sample.models.loc[row, "student"]), []).append(value)
        for row, value in level.items():
            if row in of and of[row] in by_student:
                found[row] = value - float(np.mean(by_student[of[row]]))
    return found

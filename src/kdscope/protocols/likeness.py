"""Agreement with a teacher beyond what two accuracies give, item by item, so that it has an error like any mean.

A statistic that is a smooth function of means over items, such as ``agreement - a b``, is replaced by its linearisation
at the observed means (the delta method; influence function): values of the items whose mean is the statistic and whose
variance is its variance to first order (Hampel 1974, JASA 69:383). Differences of models, clusters of copies and
training runs are then handled as for accuracies.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdscope.core.errors import StatisticsError
from kdscope.protocols.item_matrix import TeacherPairs

Array = NDArray[np.float64]


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

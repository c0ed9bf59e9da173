"""Calibration of a student: error of its confidences, and their difference to the teacher's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.measures import Measure, Order, Pairing, Values, checked_correct, mean_measure, ratio

BINS = 10
_SMALLEST = float(np.finfo(np.float64).tiny)


def pair_confidences(
    teacher: ArrayLike, student: ArrayLike, teacher_correct: ArrayLike, student_correct: ArrayLike, *, bins: int = BINS
) -> Pairing:
    """Calibration of the student, and its difference to the teacher's on the same items.

    Of the student, 0 being best: ``ece``, the expected calibration error, ``sum over bins of share * |mean confidence -
    accuracy|``, bins of equal width that hold their upper edge (Guo 2017, arXiv 1706.04599, equation 3); ``brier``, the
    mean of ``(confidence - correct)^2`` (Brier 1950); ``nll``, the mean of ``-log`` of the probability given to what
    happened, in nats: the confidence where the answer is right, else one minus it. ``ece_gap``, ``brier_gap`` and
    ``nll_gap``: the student's minus the teacher's. ``confidence_distance``: the mean absolute difference of their
    confidences.

    Args:
        teacher: the teacher's confidences, shape [n].
        student: the student's, shape [n].
        teacher_correct: whether the teacher is right, shape [n].
        student_correct: whether the student is right, shape [n].
        bins: number of bins of the calibration error.

    Raises:
        StatisticsError: There are no items, lengths differ, or a confidence is not within [0, 1].

    Example:
        >>> from kdscope.fidelity.measures import values_of
        >>> found = values_of(pair_confidences([1, 1, 0, 0], [0.75, 0.75, 0.25, 0.25], [1, 1, 0, 0], [1, 1, 0, 1]))
        >>> found["ece"], found["brier"], found["confidence_distance"]
        (0.25, 0.1875, 0.25)
    """
    t_sure, t_right = _checked(teacher, teacher_correct)
    s_sure, s_right = _checked(student, student_correct)
    if t_sure.size != s_sure.size:
        raise StatisticsError(f"the two models answered different numbers of items: {t_sure.size}, {s_sure.size}")
    t_bins, s_bins = _bin_columns(t_sure, t_right, bins), _bin_columns(s_sure, s_right, bins)
    every = np.ones(t_sure.size)

    def contributions(order: Order) -> Values:
        blocks = [every[:, np.newaxis], s_bins[order], every[:, np.newaxis], s_bins[order], t_bins]
        for loss in (_brier, _nll):
            own = loss(s_sure, s_right)[order]
            blocks += [np.column_stack([every, own, every, own - loss(t_sure, t_right)])]
        return np.hstack([*blocks, np.column_stack([every, np.abs(s_sure[order] - t_sure)])])

    return Pairing(t_sure.size, _measures(bins), contributions)


def _measures(bins: int) -> tuple[Measure, ...]:
    width = 3 * bins
    own: Callable[[Values], Values] = lambda sums: _ece(sums[..., 1:], sums[..., 0])  # noqa: E731

    def gap(sums: Values) -> Values:
        return _ece(sums[..., 1 : 1 + width], sums[..., 0]) - _ece(sums[..., 1 + width :], sums[..., 0])

    return (
        Measure("ece", 1 + width, own),
        Measure("ece_gap", 1 + 2 * width, gap),
        *(mean_measure(name) for name in ("brier", "brier_gap", "nll", "nll_gap", "confidence_distance")),
    )


def _checked(confidences: ArrayLike, correct: ArrayLike) -> tuple[Values, NDArray[np.bool_]]:
    sure, right = np.asarray(confidences, np.float64), checked_correct(correct)
    if sure.shape != right.shape or not sure.size or not ((sure >= 0) & (sure <= 1)).all():
        raise StatisticsError("calibration needs a confidence from 0 to 1 and a correctness for each of some items")
    return sure, right


def _bin_columns(sure: Values, right: NDArray[np.bool_], bins: int) -> Values:
    """For every bin whether an item is in it, its confidence there and its correctness there: [n, 3 bins]."""
    if bins < 1:
        raise StatisticsError(f"a calibration error needs at least one bin, not {bins}")
    place = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    here = place[:, np.newaxis] == np.arange(bins)
    return np.hstack([here, here * sure[:, np.newaxis], here & right[:, np.newaxis]])


def _ece(sums: Values, items: ArrayLike) -> Values:
    _, sure, right = np.split(sums, 3, axis=-1)
    return ratio(np.abs(sure - right).sum(axis=-1), items)


def _brier(sure: Values, right: NDArray[np.bool_]) -> Values:
    return (sure - right) ** 2


def _nll(sure: Values, right: NDArray[np.bool_]) -> Values:
    return -np.log(np.maximum(np.where(right, sure, 1 - sure), _SMALLEST))

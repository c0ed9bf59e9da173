"""Agreement beyond that of a student of this accuracy which shares with the teacher only what the control does.

The excess agreement that shared difficulty gives depends on accuracy: between two independent students whose accuracies
differ by 25 points it may differ by 5. Their latent correlation with the teacher does not depend on it: where right and
wrong are thresholds of a shared difficulty and a noise of one's own, all models have the same tetrachoric correlation
with the teacher. So the control's is carried over to the student's accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from kdscope.fidelity.bootstrap import Estimate, ResampledSums, estimate
from kdscope.fidelity.measures import Measure, Values, ratio

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_LARGEST = 0.99
_STEPS = 30


def both_above(first: Values, second: Values, correlation: Values) -> Values:
    """P(X < h, Y < k) of standard normal X and Y, from their margins Phi(h) and Phi(k).

    Plackett's integral (1954, Biometrika 41:351) over the correlation, by Gauss and Legendre in its arc sine; absolute
    error below 1e-6 up to correlations of .99.
    """
    h, k = (ndtri(np.clip(share, 1e-12, 1 - 1e-12)) for share in (first, second))
    angle = np.arcsin(correlation)
    total = np.zeros(np.broadcast(h, k, angle).shape)
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        point = angle * (1 + node) / 2
        sine = np.sin(point)
        total = total + weight * np.exp(-(h * h + k * k - 2 * sine * h * k) / (2 * np.cos(point) ** 2))
    joint: Values = first * second + total * angle / (4 * np.pi)
    return joint


def tetrachoric(both: Values, first: Values, second: Values) -> Values:
    """The latent correlation of two outcomes, from the shares of items both have, and that each has (Pearson 1900).

    By bisection within -.99 and .99; 0 where one of them does not vary.
    """
    both, first, second = np.broadcast_arrays(both, first, second)
    low, high = np.full(both.shape, -_LARGEST), np.full(both.shape, _LARGEST)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        less = both_above(first, second, middle) < both
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    varies = (first > 0) & (first < 1) & (second > 0) & (second < 1)
    return np.where(varies, (low + high) / 2, 0.0)


def agreement_beyond_matched_control(tasks: Sequence[ResampledSums]) -> Estimate:
    """The student's agreement minus that of a student of its accuracy as like the teacher as the control.

    With ``a`` the teacher's accuracy, ``b`` the student's, ``r`` the tetrachoric correlation of teacher and control and
    ``s`` the share of same answers among items that the two have wrong, the latter agreement is ``P(a, b; r) + s (1 - a
    - b + P(a, b; r))``, ``P`` as in `both_above`. Unparsed answers agree with nothing: ``s`` is multiplied by the ratio
    of the parsed shares of the wrong answers, the student's over the control's. Tasks are strata.

    Args:
        tasks: for each task the columns named in `COLUMNS`, all of them resampled together.
    """
    return estimate([MATCHED] * len(tasks), tasks)


def _beyond(sums: Values) -> Values:
    """``(n, observed - expected)`` of one task."""
    n, same, teacher, own, _, own_parsed = np.moveaxis(sums[..., :6], -1, 0)
    other, other_parsed = sums[..., 9], sums[..., 11]
    right, wrong_alike, wrong_otherwise = np.moveaxis(sums[..., [13, 15, 17]], -1, 0)
    a, b, c = (np.nan_to_num(ratio(count, n)) for count in (teacher, own, other))
    correlation = tetrachoric(np.nan_to_num(ratio(right, n)), a, c)
    parsed = np.nan_to_num(ratio(own_parsed * (n - other), other_parsed * (n - own)))
    alike = np.minimum(np.nan_to_num(ratio(wrong_alike, wrong_alike + wrong_otherwise)) * parsed, 1.0)
    both_right = both_above(a, b, correlation)
    expected = both_right + alike * (1 - a - b + both_right)
    return np.stack([n, same - n * expected], axis=-1)


def _mean(sums: Values) -> Values:
    return ratio(sums[..., 1], sums[..., 0])


COLUMNS = (
    ("student", "agreement_beyond_accuracy"),
    ("control", "agreement_beyond_accuracy"),
    ("control", "both_right"),
    ("control", "both_wrong_same"),
    ("control", "both_wrong_different"),
)
"""Whose columns of which measure of `agreement` stand side by side: 6, 6, 2, 2 and 2."""
MATCHED = Measure("agreement_beyond_matched_control", "answers", 18, _mean, within=_beyond, has_floor=False)

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
from kdscope.results.measures import AGREEMENT, BOTH_PARSED, BOTH_WRONG_SAME, MATCHED_CONTROL

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_PLACES = (1 + _NODES) / 2
_LARGEST = 0.99
_STEPS = 10


def both_above(first: Values, second: Values, correlation: Values) -> Values:
    """P(X < h, Y < k) of standard normal X and Y, from their margins Phi(h) and Phi(k).

    Plackett's integral (1954, Biometrika 41:351) over the correlation, by Gauss and Legendre in its arc sine; absolute
    error below 1e-8 up to correlations of .98.
    """
    return _joint(first, second, _quantile(first), _quantile(second), correlation)


def tetrachoric(both: Values, first: Values, second: Values) -> Values:
    """The latent correlation of two outcomes, from the shares of items both have, and that each has (Pearson 1900).

    Newton's method, by halves where it would leave what is left of [-.99, .99]; 0 where an outcome does not vary.
    """
    both, first, second = np.broadcast_arrays(both, first, second)
    h, k = _quantile(first), _quantile(second)
    low, high, found = np.full(both.shape, -_LARGEST), np.full(both.shape, _LARGEST), np.zeros(both.shape)
    for _ in range(_STEPS):
        missing = both - _joint(first, second, h, k, found)
        if np.all(np.abs(missing) < 1e-13):
            break
        low, high = np.where(missing > 0, found, low), np.where(missing < 0, found, high)
        rest = 1 - found**2
        slope = np.exp(-(h * h + k * k - 2 * found * h * k) / (2 * rest)) / (2 * np.pi * np.sqrt(rest))
        step = found + missing / np.maximum(slope, 1e-12)
        found = np.where((step > low) & (step < high), step, (low + high) / 2)
    varies = (first > 0) & (first < 1) & (second > 0) & (second < 1)
    return np.where(varies, found, 0.0)


def _joint(first: Values, second: Values, h: Values, k: Values, correlation: Values) -> Values:
    angle = np.arcsin(correlation)
    points = angle[..., np.newaxis] * _PLACES
    h, k = h[..., np.newaxis], k[..., np.newaxis]
    density = np.exp(-(h * h + k * k - 2 * np.sin(points) * h * k) / (2 * np.cos(points) ** 2))
    joint: Values = first * second + (density @ _WEIGHTS) * angle / (4 * np.pi)
    return joint


def _quantile(share: Values) -> Values:
    quantile: Values = ndtri(np.clip(share, 1e-12, 1 - 1e-12))
    return quantile


def agreement_beyond_matched_control(tasks: Sequence[ResampledSums]) -> Estimate:
    """The student's agreement minus that of a student of its accuracy as like the teacher as the control.

    With ``a`` the teacher's accuracy, ``b`` the student's, ``r`` the tetrachoric correlation of teacher and control and
    ``s`` the share of same answers among items that the two have wrong, the latter agreement is ``P(a, b; r) + s (1 - a
    - b + P(a, b; r))``, ``P`` as in `both_above`. All of it is about items with answers that could be parsed, since
    an unparsed answer says nothing of difficulty; the difference is a share of all items. Tasks are strata.

    Args:
        tasks: for each task the columns named in `COLUMNS`, all of them resampled together.
    """
    return estimate([MATCHED] * len(tasks), tasks)


def _beyond(sums: Values) -> Values:
    """``(n, observed - expected)`` of one task."""
    n, _, parsed, same, teacher, own, _ = np.moveaxis(sums[..., :7], -1, 0)
    with_control, _, taught, other, right, _, wrong_alike = np.moveaxis(sums[..., 7:], -1, 0)
    a, b = _share(teacher, parsed), _share(own, parsed)
    correlation = tetrachoric(*(_share(count, with_control) for count in (right, taught, other)))
    alike = np.minimum(_share(wrong_alike, with_control - taught - other + right), 1.0)
    both_right = both_above(a, b, correlation)
    expected = both_right + alike * (1 - a - b + both_right)
    return np.stack([n, same - parsed * expected], axis=-1)


def _share(count: Values, of: Values) -> Values:
    return np.nan_to_num(ratio(count, of))


def _mean(sums: Values) -> Values:
    return ratio(sums[..., 1], sums[..., 0])


COLUMNS = (
    ("student", AGREEMENT),
    ("student", BOTH_PARSED),
    ("control", BOTH_PARSED),
    ("control", BOTH_WRONG_SAME),
)
"""Whose columns of which measure of `agreement` stand side by side: 2, 5, 5 and 2."""
MATCHED = Measure(MATCHED_CONTROL, 14, _mean, _beyond)

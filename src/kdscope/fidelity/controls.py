"""References of fidelity measures: the floor of shuffled items, and agreement beyond a matched control.

The excess agreement that shared difficulty gives depends on accuracy: between two independent students whose accuracies
differ by 25 points it may differ by 5. Their latent correlation with the teacher does not depend on it: where right and
wrong are thresholds of a shared difficulty and a noise of one's own, all models have the same tetrachoric correlation
with the teacher. So the control's is carried over to the student's accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.bootstrap import ResampledSums, ResampledValue, estimate
from kdscope.fidelity.measures import Measure, Order, Values, numbered_clusters, ratio
from kdscope.results.measures import AGREEMENT, BOTH_PARSED, BOTH_WRONG_SAME, MATCHED_CONTROL

_TRIES = 50
_REPAIRS = 1000
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_PLACES = (1 + _NODES) / 2
_LARGEST = 0.99
_STEPS = 10
COLUMNS = (
    ("student", AGREEMENT),
    ("student", BOTH_PARSED),
    ("control", BOTH_PARSED),
    ("control", BOTH_WRONG_SAME),
)
"""Whose columns of which measure of `agreement` stand side by side: 2, 5, 5 and 2."""


@dataclass(frozen=True, slots=True)
class Floor:
    """A measure between answers to different items.

    Attributes:
        mean: over shuffles; NaN where items cannot be shuffled.
        spread: standard deviation over shuffles: how far chance alone carries one of them; NaN for fewer than two.
    """

    mean: float
    spread: float


def shuffled_orders(clusters: Sequence[str], repeats: int, seed: int) -> list[Order]:
    """Random orders of the items of one task in which no item meets one of its own cluster.

    Where no two items are copies of each other these are uniform derangements. None where there is no such order: a
    single item, or more than half of the items copies of one question.

    Args:
        clusters: equal for items that are copies of each other, length n.
        repeats: how many orders.
        seed: of the orders.

    Raises:
        StatisticsError: There are no items, or less than one order is asked for.

    Example:
        >>> [order.tolist() for order in shuffled_orders(["first", "second"], repeats=2, seed=0)]
        [[1, 0], [1, 0]]
    """
    if not clusters or repeats < 1:
        raise StatisticsError(f"shuffling needs items and repeats: {len(clusters)}, {repeats}")
    labels = numbered_clusters(clusters)
    if 2 * np.bincount(labels).max() > len(labels):
        return []
    generator = np.random.default_rng(seed)
    orders = [_shuffled(labels, generator) for _ in range(repeats)]
    return [order for order in orders if order is not None]


def floor(measures: Sequence[Measure], shuffles: Sequence[Sequence[Values]]) -> Floor:
    """The floor of one measure over the items of one task, or of several.

    Args:
        measures: the measure as it is on each task.
        shuffles: for each task the sums of its columns in each shuffle; where a task has none, or the measure says
            nothing between different items, there is no floor.
    """
    repeats = min((len(task) for task in shuffles), default=0)
    if repeats == 0 or not measures[0].entry.has_floor:
        return Floor(math.nan, math.nan)
    within = [
        np.stack([measure.within(sums) for sums in task[:repeats]])
        for measure, task in zip(measures, shuffles, strict=True)
    ]
    values = measures[0].score(np.sum(within, axis=0))
    values = values[np.isfinite(values)]
    spread = float(values.std(ddof=1)) if values.size > 1 else math.nan
    return Floor(float(values.mean()) if values.size else math.nan, spread)


def _shuffled(labels: Order, generator: np.random.Generator) -> Order | None:
    """One order; drawn until it fits, and repaired where few do because many items are copies."""
    for _ in range(_TRIES):
        order = generator.permutation(len(labels))
        if not np.any(labels[order] == labels):
            return order
    for _ in range(_REPAIRS):
        meeting = np.flatnonzero(labels[order] == labels)
        if not len(meeting):
            return order
        for item in meeting:
            other = generator.integers(len(labels))
            order[[item, other]] = order[[other, item]]
    return None


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
    low, high, correlation = np.full(both.shape, -_LARGEST), np.full(both.shape, _LARGEST), np.zeros(both.shape)
    for _ in range(_STEPS):
        missing = both - _joint(first, second, h, k, correlation)
        if np.all(np.abs(missing) < 1e-13):
            break
        low, high = np.where(missing > 0, correlation, low), np.where(missing < 0, correlation, high)
        rest = 1 - correlation**2
        slope = np.exp(-(h * h + k * k - 2 * correlation * h * k) / (2 * rest)) / (2 * np.pi * np.sqrt(rest))
        step = correlation + missing / np.maximum(slope, 1e-12)
        correlation = np.where((step > low) & (step < high), step, (low + high) / 2)
    varies = (first > 0) & (first < 1) & (second > 0) & (second < 1)
    return np.where(varies, correlation, 0.0)


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


def agreement_beyond_matched_control(tasks: Sequence[ResampledSums]) -> ResampledValue:
    """The student's agreement minus that of a student of its accuracy as like the teacher as the control.

    With ``a`` the teacher's accuracy, ``b`` the student's, ``r`` the tetrachoric correlation of teacher and control and
    ``s`` the share of same answers among items that the two have wrong, the latter agreement is ``P(a, b; r) + s (1 - a
    - b + P(a, b; r))``, ``P`` as in `both_above`. All of it is about items with answers that could be parsed, since
    an unparsed answer says nothing of difficulty; the difference is a share of all items. Tasks are strata.

    Args:
        tasks: for each task the columns named in `COLUMNS`, all of them resampled together.
    """
    return estimate([MATCHED] * len(tasks), tasks)


def _beyond_control(sums: Values) -> Values:
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


def _mean_excess(sums: Values) -> Values:
    return ratio(sums[..., 1], sums[..., 0])


MATCHED = Measure(MATCHED_CONTROL, 14, _mean_excess, _beyond_control)

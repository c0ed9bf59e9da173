"""Item bootstrap: resampled sums of what items contribute to measures, and intervals from them.

Shapes: n items in g clusters, B draws, K columns of contributions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.measures import Measure, Values, numbered_clusters
from kdscope.statistics.estimates import check_confidence
from kdscope.statistics.resampling import bca_levels

_DRAWS_AT_ONCE = 250
_MOST_UNDEFINED = 0.05


@dataclass(frozen=True, slots=True)
class ResampledSums:
    """Sums of contributions over the items of one task, and over resamples of them.

    Attributes:
        total: over all items, shape [K].
        draws: over clusters drawn with replacement, shape [B, K].
        left_out: over all clusters but one, shape [g, K].
    """

    total: Values
    draws: Values
    left_out: Values


@dataclass(frozen=True, slots=True)
class ResampledValue:
    """A value with what it is in each resample; numbers made of several estimates resample together.

    Attributes:
        value: on the items as they are.
        draws: on each bootstrap draw, shape [B].
        left_out: without each cluster, shape [g].
    """

    value: float
    draws: Values
    left_out: Values


def resample(contributions: Values, clusters: Sequence[str], draws: int, seed: int) -> ResampledSums:
    """Resample the items of one task, whole clusters at a time.

    The order of items does not matter: clusters are drawn in the order of their names. Contributions of several
    models to the same items stand side by side, so that all of them see the same draws.

    Args:
        contributions: shape [n, K].
        clusters: equal for items that are copies of each other, length n.
        draws: B.
        seed: of the draws.

    Raises:
        StatisticsError: There are no items, lengths differ, or there are no draws.
    """
    if len(contributions) == 0 or len(contributions) != len(clusters) or draws < 1:
        raise StatisticsError(
            f"resampling needs items, a cluster for each and draws: {len(contributions)}, {len(clusters)}, {draws}"
        )
    sums = _cluster_sums(contributions, clusters)
    total = sums.sum(axis=0)
    drawn = np.concatenate([weights @ sums for weights in _weights(len(sums), draws, seed)])
    return ResampledSums(total, drawn, total - sums)


def select_columns(sums: ResampledSums, place: slice) -> ResampledSums:
    """Some of the columns that were resampled side by side."""
    return ResampledSums(sums.total[place], sums.draws[:, place], sums.left_out[:, place])


def join_columns(parts: Sequence[ResampledSums]) -> ResampledSums:
    """Columns that were resampled together, side by side."""
    return ResampledSums(
        *(np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in ("total", "draws", "left_out"))
    )


def estimate(measures: Sequence[Measure], tasks: Sequence[ResampledSums]) -> ResampledValue:
    """One measure over the items of one task, or of several: tasks are strata, resampled each for itself.

    Args:
        measures: the measure as it is on each task; they differ in `within` and `width` only.
        tasks: its columns of each task's sums.

    Raises:
        StatisticsError: There is no task, or not one measure for each.
    """
    if not tasks or len(measures) != len(tasks):
        raise StatisticsError(f"an estimate needs a measure for each task: {len(measures)}, {len(tasks)}")
    totals = [measure.within(task.total) for measure, task in zip(measures, tasks, strict=True)]
    total = np.sum(totals, axis=0)
    drawn = np.sum([measure.within(task.draws) for measure, task in zip(measures, tasks, strict=True)], axis=0)
    left_out = [
        total - own + measure.within(task.left_out) for own, measure, task in zip(totals, measures, tasks, strict=True)
    ]
    score = measures[0].score
    return ResampledValue(float(score(total)), score(drawn), score(np.concatenate(left_out)))


def combine(function: Callable[..., Values], *parts: ResampledValue) -> ResampledValue:
    """A function of estimates of the same items and draws, as an estimate."""
    return ResampledValue(
        float(function(*(np.float64(part.value) for part in parts))),
        function(*(part.draws for part in parts)),
        function(*(part.left_out for part in parts)),
    )


def limits(found: ResampledValue, confidence: float = 0.95) -> tuple[float, float]:
    """Bias-corrected and accelerated bootstrap interval (Efron 1987, JASA 82:171, equations 2.3 and 6.6).

    The acceleration is the jackknife's over clusters. Draws in which the value is undefined are left out, and if they
    are more than 5%, or nothing varies, there is no interval: NaN. Deviation: where all draws lie on one side of the
    value, or the jackknife is undefined, plain percentiles.

    `statistics.resampling.paired_bca` has BCa limits too, of a mean paired difference: it draws kinds of clusters at
    once, which ratios of sums, as here, do not have.

    Raises:
        StatisticsError: The level is not within (0, 1).
    """
    check_confidence(confidence)
    draws = found.draws[np.isfinite(found.draws)]
    enough = draws.size >= (1 - _MOST_UNDEFINED) * found.draws.size
    if not math.isfinite(found.value) or not enough or np.ptp(draws) <= 1e-12 * max(1.0, abs(found.value)):
        return math.nan, math.nan
    tail = (1 - confidence) / 2
    levels = np.array([tail, 1 - tail])
    bias, acceleration = _bias(found.value, draws), _acceleration(found.left_out)
    if math.isfinite(bias) and math.isfinite(acceleration):
        levels = bca_levels(bias, acceleration, confidence)
    low, high = np.quantile(draws, levels)
    return float(low), float(high)


def standard_error(found: ResampledValue) -> float:
    """Standard deviation of the draws; NaN as in `limits`: more than 5% are undefined, or nothing varies."""
    draws = found.draws[np.isfinite(found.draws)]
    enough = draws.size >= max(2, (1 - _MOST_UNDEFINED) * found.draws.size)
    if not math.isfinite(found.value) or not enough:
        return math.nan
    error = float(draws.std(ddof=1))
    return error if error > 1e-12 * max(1.0, abs(found.value)) else math.nan


def standard_limits(found: ResampledValue, confidence: float = 0.95) -> tuple[float, float]:
    """The value and normal quantiles of its `standard_error` (Efron 1987, equation 1.1); NaN where there is none.

    For differences of two models' measures. Where few items decide, as with a teacher that is nearly always right, a
    difference that is large by chance is skewed by chance too, and `limits`, which follow the skewness, lie above 0
    twice as often as they should (docs/simulated_fidelity.md).

    Raises:
        StatisticsError: The level is not within (0, 1).
    """
    check_confidence(confidence)
    half = float(ndtri((1 + confidence) / 2)) * standard_error(found)
    return found.value - half, found.value + half


def _cluster_sums(contributions: Values, clusters: Sequence[str]) -> Values:
    """Sums over the items of each cluster, in the order of the clusters' names, shape [g, K]."""
    number = numbered_clusters(clusters)
    order = np.argsort(number, kind="stable")
    begins = np.flatnonzero(np.diff(number[order], prepend=-1))
    sums: Values = np.add.reduceat(contributions[order], begins, axis=0)
    return sums


def _weights(clusters: int, draws: int, seed: int) -> Iterator[Values]:
    """Bootstrap weights: the number of times each cluster is drawn, some draws at a time."""
    generator = np.random.default_rng(seed)
    for start in range(0, draws, _DRAWS_AT_ONCE):
        chosen = generator.integers(clusters, size=(min(_DRAWS_AT_ONCE, draws - start), clusters))
        yield np.stack([np.bincount(row, minlength=clusters) for row in chosen]).astype(np.float64)


def _bias(value: float, draws: NDArray[np.float64]) -> float:
    """The normal quantile of the share of draws below the value; draws equal to it count half."""
    near = 1e-12 * max(1.0, abs(value))
    below = np.mean(draws < value - near) + np.mean(np.abs(draws - value) <= near) / 2
    return float(ndtri(below))


def _acceleration(left_out: NDArray[np.float64]) -> float:
    if not np.isfinite(left_out).all():
        return math.nan
    distance = left_out.mean() - left_out
    spread = float((distance**2).sum()) ** 1.5
    return float((distance**3).sum()) / (6 * spread) if spread > 0 else math.nan

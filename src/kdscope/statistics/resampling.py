"""Two models on the same items, where an item's value is any number: sign flips and the paired bootstrap."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from kdscope.core.errors import StatisticsError
from kdscope.statistics.means import checked_items, estimate_mean

_DRAWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class PairedValues:
    """The mean difference of two models on the same items, and what follows from it.

    Attributes:
        items: number of items.
        clusters: number of different questions among them.
        difference: mean of the first minus mean of the second.
        stderr: cluster-robust standard error of the difference; NaN for a single cluster.
        low: lower limit of the difference; NaN where no difference varies.
        high: upper limit of the difference; NaN where no difference varies.
        p_value: two-sided, of no difference.
        confidence: level of the interval.
        method: names of the test and of the interval.
    """

    items: int
    clusters: int
    difference: float
    stderr: float
    low: float
    high: float
    p_value: float
    confidence: float
    method: str


def compare_paired_values(
    first: ArrayLike,
    second: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    confidence: float = 0.95,
    draws: int = 9999,
    seed: int = 0,
) -> PairedValues:
    """Compare the mean values of two models on the same items.

    Interval: Student's t on the item differences, with a cluster-robust error and clusters minus one degrees of
    freedom (`means.estimate_mean`). P-value: the share of random sign flips of whole clusters whose total is at
    least as far from 0 as the one seen (Fisher 1935, The Design of Experiments, section 21), over all flips where
    there are no more than ``draws + 1`` of them, else over ``draws`` drawn ones and the one seen, which keeps the
    test exact (Phipson and Smyth 2010, Stat Appl Genet Mol Biol 9:39).

    Args:
        first: values of the first model, shape [n].
        second: values of the second model, in the same order of items, shape [n].
        clusters: an id per item, equal for items that are copies of each other, length n.
        confidence: level of the interval.
        draws: sign flips drawn at most.
        seed: of the drawn flips; the same seed gives the same p-value.

    Raises:
        StatisticsError: if there are no items, shapes differ, a value is not finite, or a setting is out of range.

    Example:
        >>> result = compare_paired_values([0.9, 0.7, 0.8, 0.6], [0.5, 0.6, 0.6, 0.5])
        >>> round(result.difference, 3), result.p_value
        (0.2, 0.125)
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape:
        raise StatisticsError(f"the two models answered different numbers of items: {a.shape} and {b.shape}")
    if draws < 1:
        raise StatisticsError(f"a permutation test needs at least one draw, not {draws}")
    differences, cluster_of, g = checked_items(a - b, clusters, confidence)
    estimate = estimate_mean(differences, clusters, confidence)
    sums: NDArray[np.float64] = np.bincount(cluster_of, weights=differences).astype(np.float64)
    drawn = _is_drawn(sums, draws)
    test = f"paired sign flips ({draws + 1:,})" if drawn else "paired sign flips (all)"
    unit = "; t interval" if g == differences.size else " of clusters; cluster-robust t interval"
    return PairedValues(
        items=estimate.items,
        clusters=estimate.clusters,
        difference=estimate.mean,
        stderr=estimate.stderr,
        low=estimate.low,
        high=estimate.high,
        p_value=_sign_flip_p_value(sums, draws if drawn else None, seed),
        confidence=confidence,
        method=test + unit,
    )


def _is_drawn(sums: NDArray[np.float64], draws: int) -> bool:
    return int(np.count_nonzero(sums)) > math.log2(draws + 1)


def _sign_flip_p_value(sums: NDArray[np.float64], draws: int | None, seed: int) -> float:
    """Two-sided p-value of the total of ``sums`` [g] under sign flips; all of them where ``draws`` is None."""
    moving = sums[sums != 0]
    if moving.size == 0:
        return 1.0
    # Totals equal in exact arithmetic may differ in the last bits: they count as equally far.
    threshold = abs(float(moving.sum())) - 1e-12 * float(np.abs(moving).sum())
    flips = _all_flips(moving.size) if draws is None else _drawn_flips(moving.size, draws, seed)
    far, total = 0, 0
    for negative in flips:
        totals = moving.sum() - 2 * (negative @ moving)
        far, total = far + int(np.sum(np.abs(totals) >= threshold)), total + len(totals)
    return far / total if draws is None else (far + 1) / (total + 1)


def _all_flips(count: int) -> Iterator[NDArray[np.float64]]:
    yield np.array(list(itertools.product((0.0, 1.0), repeat=count)))


def _drawn_flips(count: int, draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    generator = np.random.default_rng(seed)
    for start in range(0, draws, _DRAWS_AT_ONCE):
        rows = min(_DRAWS_AT_ONCE, draws - start)
        bits = np.frombuffer(generator.bytes(rows * ((count + 7) // 8)), dtype=np.uint8)
        yield np.unpackbits(bits.reshape(rows, -1), axis=1, count=count).astype(np.float64)


_AT_ONCE = 2**22


@dataclass(frozen=True, slots=True)
class _Stratum:
    """The clusters of one task; those with the same sum and size are one kind.

    Attributes:
        sums: sum of the differences of a cluster of each kind, shape [k].
        sizes: number of its items, shape [k].
        counts: clusters of each kind, shape [k].
    """

    sums: NDArray[np.float64]
    sizes: NDArray[np.float64]
    counts: NDArray[np.int64]

    def means(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Mean over items with other counts of each kind [..., k]."""
        return np.asarray(counts @ self.sums / (counts @ self.sizes))


def paired_bca(
    differences: ArrayLike,
    clusters: ArrayLike | None = None,
    tasks: ArrayLike | None = None,
    *,
    confidence: float = 0.95,
    draws: int = 9999,
    seed: int = 0,
) -> tuple[float, float]:
    """BCa limits of a mean paired difference, items (or clusters of copies) drawn anew.

    Efron (1987, JASA 82:171; Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 14.3): percentiles of
    the bootstrap distribution, moved for its median bias and for the acceleration of its error, from the jackknife. Of
    the unweighted mean over several tasks: clusters are drawn within tasks, and the acceleration is that of several
    samples (Davison and Hinkley 1997, Bootstrap Methods and their Application, section 5.3.2). Without clusters these
    are the limits of `scipy.stats.bootstrap`, which knows no clusters; kinds of clusters are drawn at once here, which
    takes a fraction of its time.

    Args:
        differences: first minus second model on every item, shape [n]; NaN = not measured, left out.
        clusters: an id per item, equal for copies of one item, shape [n].
        tasks: task of every item, shape [n]; clusters do not reach across tasks.
        confidence: level of the interval.
        draws: resamples.
        seed: of the draws.

    Returns:
        The two limits; NaN where a task has one cluster, nothing varies, or every draw is on one side of the mean.

    Raises:
        StatisticsError: Shapes differ, nothing was measured, a value is infinite, or a setting is out of range.

    Example:
        >>> low, high = paired_bca([1, 1, 0, 1, 0, 1, -1, 1, 1, 0], seed=1)
        >>> round(low, 1), round(high, 1)
        (0.0, 0.8)
    """
    if not 0 < confidence < 1 or draws < 1:
        raise StatisticsError(f"a bootstrap needs a level in (0, 1) and a draw, not {confidence} and {draws}")
    strata = _strata(np.asarray(differences, dtype=np.float64), clusters, tasks)
    if any(stratum.counts.sum() < 2 for stratum in strata):
        return math.nan, math.nan
    estimate = float(np.mean([stratum.means(stratum.counts) for stratum in strata]))
    drawn = _drawn(strata, draws, np.random.default_rng(seed))
    # What is left of equal numbers after rounding is no variation.
    if np.ptp(drawn) <= 1e-12 * max(1.0, abs(estimate)):
        return math.nan, math.nan
    # Ties count half, so that a symmetric distribution has no bias.
    below = float(np.mean(drawn < estimate) + np.mean(drawn <= estimate)) / 2
    if not 0 < below < 1:
        return math.nan, math.nan
    levels = bca_levels(float(ndtri(below)), _acceleration(strata), confidence)
    low, high = np.percentile(drawn, 100 * levels)
    return float(low), float(high)


def bca_levels(bias: float, acceleration: float, confidence: float) -> NDArray[np.float64]:
    """Quantiles of the bootstrap distribution that are the BCa limits (Efron 1987, JASA 82:171, eq. 6.6), shape [2].

    Args:
        bias: normal quantile of the share of draws below the estimate.
        acceleration: a sixth of the skewness of its influence values.
        confidence: level of the interval.
    """
    shifted = bias + ndtri(np.array([(1 - confidence) / 2, (1 + confidence) / 2]))
    return np.asarray(ndtr(bias + shifted / (1 - acceleration * shifted)))


def _strata(values: NDArray[np.float64], clusters: ArrayLike | None, tasks: ArrayLike | None) -> list[_Stratum]:
    ids = np.arange(values.size) if clusters is None else np.asarray(clusters)
    task_of = np.zeros(values.size, dtype=np.int64) if tasks is None else np.asarray(tasks)
    if values.ndim != 1 or values.shape != ids.shape or values.shape != task_of.shape or np.isinf(values).any():
        raise StatisticsError("a paired bootstrap needs a finite difference, a cluster and a task for every item")
    known = ~np.isnan(values)
    if not known.any():
        raise StatisticsError("a paired bootstrap needs at least one item")
    names = np.unique(task_of[known])
    return [_stratum(values[known & (task_of == name)], ids[known & (task_of == name)]) for name in names]


def _stratum(values: NDArray[np.float64], ids: NDArray[np.generic]) -> _Stratum:
    _, cluster_of, sizes = np.unique(ids, return_inverse=True, return_counts=True)
    # Sums that are equal but for rounding are one kind.
    sums = np.round(np.bincount(cluster_of, weights=values), 12)
    kinds, counts = np.unique(np.column_stack([sums, sizes]), axis=0, return_counts=True)
    return _Stratum(kinds[:, 0], kinds[:, 1], counts.astype(np.int64))


def _drawn(strata: list[_Stratum], draws: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Bootstrap means over tasks: how often each kind of cluster is drawn is multinomial."""
    total = np.zeros(draws)
    for stratum in strata:
        clusters = int(stratum.counts.sum())
        rows = max(1, _AT_ONCE // stratum.counts.size)
        for start in range(0, draws, rows):
            size = min(rows, draws - start)
            counts = generator.multinomial(clusters, stratum.counts / clusters, size=size)
            total[start : start + size] += stratum.means(counts)
    return total / len(strata)


def _acceleration(strata: list[_Stratum]) -> float:
    """A sixth of the skewness of the jackknife's influence values, tasks as independent samples."""
    cubes = squares = 0.0
    for stratum in strata:
        clusters = float(stratum.counts.sum())
        sums, sizes = stratum.counts @ stratum.sums, stratum.counts @ stratum.sizes
        without = (sums - stratum.sums) / (sizes - stratum.sizes)
        influence = (clusters - 1) * (float(stratum.counts @ without) / clusters - without)
        cubes += float(stratum.counts @ influence**3) / clusters**3
        squares += float(stratum.counts @ influence**2) / clusters**2
    return cubes / (6 * squares**1.5) if squares > 0 else 0.0

"""Corrections for testing more than one hypothesis: Holm, Benjamini and Yekutieli, Westfall and Young's max-T."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control

from kdscope.core.errors import StatisticsError
from kdscope.statistics.estimates import cluster_numbers


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm-adjusted p-values: the family-wise error rate is controlled under any dependence.

    In ascending order, ``adjusted[k] = max over j <= k of min(1, (m - j) p[j])`` for ``j`` from 0 (Holm 1979,
    Scand J Stat 6:65). A NaN is a test that could not be made: it stays NaN and does not count in the family.

    Args:
        p_values: probabilities, shape [m].

    Returns:
        Adjusted probabilities in the order given, shape [m].

    Raises:
        StatisticsError: if the input is not one-dimensional or a value lies outside [0, 1].

    Example:
        >>> [round(float(p), 6) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]
    """
    p, tested = _tested(p_values)
    order = np.argsort(p[tested], kind="stable")
    # By hand: statsmodels' multipletests collects garbage at every call, a tenth of a second each.
    steps = np.arange(order.size, 0, -1) * p[tested][order]
    ascending = np.minimum(1.0, np.maximum.accumulate(steps))
    adjusted = np.full(p.shape, np.nan)
    adjusted[np.flatnonzero(tested)[order]] = ascending
    return adjusted


def benjamini_yekutieli(p_values: ArrayLike) -> NDArray[np.float64]:
    """P-values adjusted so that the expected share of false discoveries is controlled under any dependence.

    ``adjusted[k] = min over j >= k of min(1, p[j] m c / j)`` in ascending order, ``c = 1 + 1/2 + ... + 1/m`` (Benjamini
    and Yekutieli 2001, Ann Stat 29:1165, theorem 1.3). For screens: many relations looked at, some expected to hold. A
    NaN stays NaN and does not count.

    Args:
        p_values: probabilities, shape [m].

    Returns:
        Adjusted probabilities in the order given, shape [m].

    Raises:
        StatisticsError: if the input is not one-dimensional or a value lies outside [0, 1].

    Example:
        >>> [round(float(p), 6) for p in benjamini_yekutieli([0.01, 0.04])]
        [0.03, 0.06]
    """
    p, tested = _tested(p_values)
    adjusted = np.full(p.shape, np.nan)
    adjusted[tested] = false_discovery_control(p[tested], method="by") if tested.any() else []
    return adjusted


def _tested(p_values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The p-values, and which of them belong to a test that could be made."""
    p = np.asarray(p_values, dtype=np.float64)
    tested = ~np.isnan(p)
    if p.ndim != 1 or np.any((p[tested] < 0) | (p[tested] > 1)):
        raise StatisticsError("p-values must be a list of numbers between 0 and 1")
    return p, tested


_SIGNS_AT_ONCE = 2**24


def max_t(
    differences: ArrayLike, clusters: Sequence[Hashable] | None = None, *, draws: int = 9999, seed: int = 0
) -> NDArray[np.float64]:
    """Step-down max-T p-values of "the mean of this column is 0", family-wise over all columns.

    ``T = |sum| / sqrt(sum of squares)`` over clusters; the null distribution of the largest is that under random signs,
    one sign per cluster shared by all columns, so that comparisons with one control keep their correlation (Westfall
    and Young 1993, Resampling-Based Multiple Testing, algorithm 2.8; Romano and Wolf 2005, JASA 100:94). Adjusted
    p-values count the draw that was seen (Phipson and Smyth 2010). Less conservative than Holm where columns correlate.

    Args:
        differences: item by comparison, shape [n, m]; NaN = not part of that comparison.
        clusters: an id per item, equal for copies of one item, length n.
        draws: sign vectors drawn.
        seed: of the draws.

    Returns:
        Adjusted p-values, shape [m]; 1 for a column of zeros.

    Raises:
        StatisticsError: Not a matrix with items and comparisons, wrong number of clusters, no draw, or infinite values.
    """
    table = np.asarray(differences, dtype=np.float64)
    if table.ndim != 2 or table.size == 0 or draws < 1 or np.isinf(table).any():
        raise StatisticsError("max-T needs a matrix of finite differences, item by comparison, and at least one draw")
    sums = _cluster_sums(np.nan_to_num(table), clusters)
    scale = np.sqrt(np.sum(sums**2, axis=0))
    sums = np.divide(sums, scale, out=np.zeros_like(sums), where=scale > 0)
    observed = np.abs(sums.sum(axis=0))
    order = np.argsort(-observed, kind="stable")
    exceeded = _exceedances(sums[:, order], observed[order], draws, np.random.default_rng(seed))
    adjusted = np.maximum.accumulate((exceeded + 1) / (draws + 1))
    result = np.empty_like(adjusted)
    result[order] = adjusted
    return result


def _cluster_sums(table: NDArray[np.float64], clusters: Sequence[Hashable] | None) -> NDArray[np.float64]:
    """Sums of every column within clusters; clusters in which nothing differs are dropped."""
    if clusters is not None:
        cluster_of = cluster_numbers(clusters, len(table))
        whole = np.zeros((int(cluster_of.max()) + 1, table.shape[1]))
        np.add.at(whole, cluster_of, table)
        table = whole
    return table[np.any(table != 0, axis=1)]


def _exceedances(
    sums: NDArray[np.float64], observed: NDArray[np.float64], draws: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """How often the largest of this and all less extreme columns is as large; columns from the most extreme."""
    if len(sums) == 0:
        return np.full(observed.shape, float(draws))
    exceeded, done = np.zeros(observed.shape), 0
    rows = max(1, min(draws, _SIGNS_AT_ONCE // len(sums)))
    narrow = sums.astype(np.float32)
    while done < draws:
        size = min(rows, draws - done)
        bits = np.frombuffer(generator.bytes(size * ((len(sums) + 7) // 8)), dtype=np.uint8)
        signs = np.unpackbits(bits.reshape(size, -1), axis=1, count=len(sums)).astype(np.float32)
        totals = np.abs(2 * (signs @ narrow) - narrow.sum(axis=0))
        largest = np.maximum.accumulate(totals[:, ::-1], axis=1)[:, ::-1]
        # In single precision ties are ties up to 1e-5 of the standardised total.
        exceeded += np.sum(largest >= observed * (1 - 1e-5) - 1e-6, axis=0)
        done += size
    return exceeded

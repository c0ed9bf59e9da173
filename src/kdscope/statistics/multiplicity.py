"""More than one hypothesis: Holm, Benjamini and Yekutieli, Westfall and Young's max-T, and the best of several."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control

from kdscope.core.errors import StatisticsError
from kdscope.statistics.estimates import Estimate, cluster_numbers, t_estimate
from kdscope.statistics.means import estimate_mean


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


@dataclass(frozen=True, slots=True)
class SelectedGain:
    """What the best setting gains over the control, and what its maximum pretends.

    Attributes:
        gain: of the setting chosen, judged on items that had no part in the choice; a fraction.
        maximum: largest gain of any setting on all items: too large by what noise adds.
        chosen: number of the setting.
        choosing: items it was chosen on.
    """

    gain: Estimate
    maximum: float
    chosen: int
    choosing: int


def select_then_test(
    distilled: ArrayLike,
    control: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    validation: ArrayLike | None = None,
    share: float = 1 / 3,
    seed: int = 0,
    confidence: float = 0.95,
) -> SelectedGain:
    """Gain of the best setting (temperature): chosen on validation items, tested on the others.

    The setting with the highest mean on the validation items is taken; the control is given the same choice among its
    own settings, if it has several. The gain is that on the other items, with a cluster-robust t interval: the items
    are independent of the choice, so that test and interval are those of any two models (Cox 1975, Biometrika 62:441).
    Choosing anew in each fold of a cross-validation would use all items for both, but its folds are correlated where
    settings tie: simulated with nine equal settings, it rejects at three times its level.

    Args:
        distilled: value of each setting on each item, shape [k, n].
        control: the same for the control, shape [n] or [j, n].
        clusters: an id per item, equal for copies of one item, length n; a cluster is not divided.
        validation: which items to choose on, boolean, shape [n]; drawn at random unless told.
        share: of the items that are drawn for the choice.
        seed: of the draw.
        confidence: level of the interval.

    Raises:
        StatisticsError: Shapes do not fit, a value is not finite, or one of the two sides would have no items.

    Example:
        >>> values = np.array([[1, 1, 0, 1, 1, 0, 1, 1], [0, 0, 0, 1, 0, 0, 0, 0]])
        >>> select_then_test(values, values[1]).chosen
        0
    """
    kd, sft = np.atleast_2d(np.asarray(distilled, np.float64)), np.atleast_2d(np.asarray(control, np.float64))
    if kd.ndim != 2 or kd.shape[1] != sft.shape[1] or not (np.isfinite(kd).all() and np.isfinite(sft).all()):
        raise StatisticsError(f"settings and control need finite values of the same items: {kd.shape}, {sft.shape}")
    ids = cluster_numbers(clusters, kd.shape[1])
    chosen_on = chosen_items(ids, share, seed) if validation is None else np.asarray(validation, dtype=np.bool_)
    if chosen_on.shape != ids.shape or chosen_on.all() or not chosen_on.any():
        raise StatisticsError("a choice needs items of its own, and others to be judged on")
    best, best_control = (int(np.argmax(side[:, chosen_on].mean(axis=1))) for side in (kd, sft))
    judged = ~chosen_on
    found = estimate_mean(kd[best, judged] - sft[best_control, judged], ids[judged].tolist(), confidence)
    gain = t_estimate(found.mean, found.stderr, found.clusters - 1, found.clusters, confidence)
    return SelectedGain(gain, float(kd.mean(axis=1).max() - sft.mean(axis=1).max()), best, int(chosen_on.sum()))


def chosen_items(ids: NDArray[np.intp], share: float, seed: int) -> NDArray[np.bool_]:
    """Which items belong to a random ``share`` of the clusters, shape [n].

    Args:
        ids: number of each item's cluster, from 0, shape [n].
        share: inside (0, 1).
        seed: of the draw.

    Raises:
        StatisticsError: The share is out of range.
    """
    if not 0 < share < 1:
        raise StatisticsError(f"the share of items to choose on lies between 0 and 1, not {share}")
    count = int(ids.max()) + 1 if ids.size else 0
    order = np.random.default_rng(seed).permutation(count)
    return np.asarray(order < round(share * count))[ids]

"""Two models on the same items, each right or wrong: who is better, by how much, and how sure can one be."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import bisect
from scipy.stats import binom, binomtest, norm
from statsmodels.stats.proportion import proportion_confint

from kdscope.core.errors import StatisticsError
from kdscope.statistics.estimates import check_confidence


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """The 2x2 table of two models on the same items, and what follows from it.

    Attributes:
        items: number of items.
        only_first: items only the first model has right.
        only_second: items only the second model has right.
        both: items both have right.
        neither: items neither has right.
        difference: accuracy of the first minus accuracy of the second, a fraction.
        low: lower limit of the difference.
        high: upper limit of the difference.
        p_value: two-sided, of no difference.
        confidence: level of the interval.
        method: names of the test and of the interval.
    """

    items: int
    only_first: int
    only_second: int
    both: int
    neither: int
    difference: float
    low: float
    high: float
    p_value: float
    confidence: float
    method: str


def wilson_interval(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of one accuracy ``correct / n`` (Wilson 1927, JASA 22:209).

    Raises:
        StatisticsError: if there are no items, ``correct`` is not among 0..n, or the level is not inside (0, 1).

    Example:
        >>> tuple(round(limit, 4) for limit in wilson_interval(81, 263))
        (0.2553, 0.3662)
    """
    check_confidence(confidence)
    if n < 1 or not 0 <= correct <= n:
        raise StatisticsError(f"an accuracy needs 0 <= correct <= n and n >= 1, not {correct} of {n}")
    low, high = proportion_confint(correct, n, alpha=1 - confidence, method="wilson")
    return (0.0 if correct == 0 else float(low)), (1.0 if correct == n else float(high))


def compare_paired(
    first: ArrayLike, second: ArrayLike, confidence: float = 0.95, *, clusters: ArrayLike | None = None
) -> PairedComparison:
    """Compare the accuracies of two models on the same items.

    Without repeated clusters: McNemar's exact two-sided test (McNemar 1947, Psychometrika 12:153; binomial on the
    discordant items) and Tango's score interval (`paired.tango_interval`). With repeated clusters (copies of
    one question are not independent): the exact distribution of the difference under random sign flips of whole
    clusters, and a normal interval with a cluster-robust standard error; where that error is 0 or undefined (no
    discordance, one cluster), Tango's interval of the same proportions with clusters counted as items. Cluster ids
    that never repeat change nothing. The exact test and the interval may disagree about 0 at the border.

    Args:
        first: whether the first model is right, boolean or 0/1, shape [n].
        second: the same for the second model, in the same order of items, shape [n].
        confidence: level of the interval.
        clusters: an id per item, equal for items that are copies of each other, shape [n].

    Raises:
        StatisticsError: if there are no items, shapes differ, or a value is not 0 or 1.

    Example:
        >>> result = compare_paired([1, 1, 1, 0, 1, 1], [0, 1, 0, 0, 0, 1])
        >>> result.difference, result.p_value
        (0.5, 0.25)
    """
    check_confidence(confidence)
    a, b = _as_correct(first, "first"), _as_correct(second, "second")
    if a.shape != b.shape:
        raise StatisticsError(f"the two models answered different numbers of items: {a.size} and {b.size}")
    only_first, only_second, both = int((a & ~b).sum()), int((b & ~a).sum()), int((a & b).sum())
    ids = None if clusters is None else _as_ids(clusters, a.size)
    if ids is None or np.unique(ids).size == a.size:
        p_value, low, high, method = _independent(only_first, only_second, a.size, confidence)
    else:
        p_value, low, high, method = _clustered(a.astype(np.int64) - b, ids, confidence)
    return PairedComparison(
        items=a.size,
        only_first=only_first,
        only_second=only_second,
        both=both,
        neither=a.size - only_first - only_second - both,
        difference=(only_first - only_second) / a.size,
        low=low,
        high=high,
        p_value=p_value,
        confidence=confidence,
        method=method,
    )


def mcnemar_mid_p(only_first: int, only_second: int) -> float:
    """Two-sided mid-p value of McNemar's test: the exact one minus the probability of what was seen.

    Fagerland, Lydersen and Laake (2013, BMC Med Res Methodol 13:91) recommend it: the exact test keeps well below its
    level, the mid-p test near it and rarely above.

    Raises:
        StatisticsError: A count is negative.

    Example:
        >>> mcnemar_mid_p(3, 0)
        0.125
    """
    if min(only_first, only_second) < 0:
        raise StatisticsError("counts of discordant items are not negative")
    discordant, fewer = only_first + only_second, min(only_first, only_second)
    if only_first == only_second:
        # The formula below would count the middle twice.
        return 1 - float(binom.pmf(fewer, discordant, 0.5)) / 2 if discordant else 1.0
    return float(2 * binom.cdf(fewer, discordant, 0.5) - binom.pmf(fewer, discordant, 0.5))


def _independent(only_first: int, only_second: int, items: int, confidence: float) -> tuple[float, float, float, str]:
    """P-value, limits and method name for independent items."""
    discordant = only_first + only_second
    p_value = float(binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0
    low, high = tango_interval(only_first, only_second, items, confidence)
    return p_value, low, high, "McNemar exact; Tango score interval"


def _clustered(
    differences: NDArray[np.int64], ids: NDArray[np.generic], confidence: float
) -> tuple[float, float, float, str]:
    """P-value, limits and method name for items in clusters, ``differences`` in {-1, 0, 1}, shape [n]."""
    sums, sizes = cluster_sums(differences, ids)
    p_value = sign_flip_p_value(sums)
    error = robust_standard_error(sums, sizes)
    if error > 0:
        margin = float(norm.isf((1 - confidence) / 2)) * error
        mean = float(differences.mean())
        low, high = max(-1.0, mean - margin), min(1.0, mean + margin)
        return p_value, low, high, "cluster sign-flip exact; cluster-robust normal interval"
    fraction_first, fraction_second = float((differences > 0).mean()), float((differences < 0).mean())
    low, high = tango_interval(fraction_first * sums.size, fraction_second * sums.size, sums.size, confidence)
    return p_value, low, high, "cluster sign-flip exact; Tango score interval on clusters"


def _as_correct(values: ArrayLike, name: str) -> NDArray[np.bool_]:
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0:
        raise StatisticsError(f"{name}: a comparison needs a list of at least one item, not shape {array.shape}")
    if not np.isin(array, (0, 1)).all():
        raise StatisticsError(f"{name}: correctness must be true or false (or 1 or 0) for every item")
    return array.astype(np.bool_)


def _as_ids(clusters: ArrayLike, items: int) -> NDArray[np.generic]:
    ids = np.asarray(clusters)
    if ids.shape != (items,):
        raise StatisticsError(f"clusters: {items} items need one cluster id each, not shape {ids.shape}")
    return ids


def tango_interval(only_first: float, only_second: float, items: float, confidence: float) -> tuple[float, float]:
    """Tango's asymptotic score interval for the difference of paired proportions (1998, Stat Med 17:891).

    All differences ``d`` with ``|T(d)| <= z``, ``T(d) = (b - c - n d) / sqrt(n (2 q(d) + d (1 - d)))``, where ``q(d)``
    is the maximum-likelihood probability of "only the second is right" given ``d``. Chosen over Newcombe's hybrid
    (1998, Stat Med 17:2635, method 10) because it inverts a test: at ``d = 0`` the statistic is McNemar's, so that
    test and interval say the same up to exactness; it never leaves [-1, 1] and is defined without discordant items,
    where it is ``+-z^2 / (n + z^2)``. Fagerland, Lydersen and Laake (2014, Stat Med 33:2850) recommend it.

    Args:
        only_first: ``b``, items only the first has right.
        only_second: ``c``, items only the second has right.
        items: ``n``, all items, concordant ones included.
        confidence: level inside (0, 1).

    Example:
        >>> tuple(round(limit, 3) for limit in tango_interval(9, 3, 32, 0.95))
        (-0.027, 0.39)
    """
    z = float(norm.isf((1 - confidence) / 2))
    return -_upper_limit(only_second, only_first, items, z), _upper_limit(only_first, only_second, items, z)


def tango_statistic(difference: float, only_first: float, only_second: float, items: float) -> float:
    """``T(difference)`` of `tango_interval`: the score test of that difference, standard normal in large samples.

    Example:
        >>> round(tango_statistic(0.0, 9, 3, 32), 4) == round((9 - 3) / math.sqrt(9 + 3), 4)
        True
    """
    return _score(difference, only_first, only_second, items)


def _upper_limit(only_first: float, only_second: float, items: float, z: float) -> float:
    """The largest difference at which the score statistic is at least ``-z``; the lower limit is its mirror image."""
    if only_first >= items:
        return 1.0
    estimate = (only_first - only_second) / items

    def above(difference: float) -> float:
        return _score(difference, only_first, only_second, items) + z

    return float(bisect(above, estimate, 1.0, xtol=1e-13))


def _score(difference: float, only_first: float, only_second: float, items: float) -> float:
    """``T(d)``; 0 at the estimate, where numerator and variance may vanish together."""
    distance = items * ((only_first - only_second) / items - difference)
    if distance == 0:
        return 0.0
    linear = (2 * items - only_first + only_second) * difference - only_first - only_second
    constant = -only_second * difference * (1 - difference)
    root = math.sqrt(max(0.0, linear**2 - 8 * items * constant))
    nuisance = (root - linear) / (4 * items)
    variance = items * (2 * nuisance + difference * (1 - difference))
    # At a difference of 1 the variance is 0 and the statistic minus infinity: a finite stand-in keeps the bracket.
    return distance / math.sqrt(max(variance, 1e-200))


def cluster_sums(
    differences: NDArray[np.int64], ids: NDArray[np.generic]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sum of ``differences`` [n] within each of the ``g`` distinct ``ids`` [n], and each cluster's size: [g], [g]."""
    _, cluster_of, sizes = np.unique(ids, return_inverse=True, return_counts=True)
    sums = np.zeros(sizes.size, dtype=np.int64)
    np.add.at(sums, cluster_of, differences)
    return sums, sizes.astype(np.int64)


def sign_flip_p_value(sums: NDArray[np.int64]) -> float:
    """Two-sided p-value of the total when the sign of every cluster's sum is a fair coin, without sampling.

    The ``m`` clusters of absolute sum ``k`` contribute ``k (2 Binomial(m, 1/2) - m)``; the distribution of the total
    is the convolution over ``k``, which is what all ``2^g`` sign flips give (Fisher 1935, The Design of Experiments,
    section 21). Clusters of one item: McNemar's exact test. Unlike drawn flips it has no seed and no sampling error.

    Example:
        >>> sign_flip_p_value(np.array([2, 1, 1]))
        0.25
    """
    magnitudes, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    distribution = np.ones(1)
    for magnitude, count in zip(magnitudes, counts, strict=True):
        steps = np.zeros(2 * magnitude * count + 1)
        steps[:: 2 * magnitude] = binom.pmf(np.arange(count + 1), count, 0.5)
        distribution = np.convolve(distribution, steps)
    reach = distribution.size // 2
    totals = np.arange(-reach, reach + 1)
    return min(1.0, float(distribution[np.abs(totals) >= abs(int(sums.sum()))].sum()))


def robust_standard_error(sums: NDArray[np.int64], sizes: NDArray[np.int64]) -> float:
    """Cluster-robust standard error of the mean difference; NaN for a single cluster.

    ``sqrt(g / (g - 1) * sum over clusters of (sum - size * mean)^2) / n``: the sandwich estimator of Liang and Zeger
    (1986, Biometrika 73:13) for an intercept alone, with the usual correction for few clusters.
    """
    g, n = sums.size, int(sizes.sum())
    if g < 2:
        return math.nan
    # In integers up to the last step, so that equal clusters give 0 and not a rounding error.
    residuals = sums * n - sizes * int(sums.sum())
    return math.sqrt(g / (g - 1) * float(np.sum(residuals.astype(np.float64) ** 2))) / n**2

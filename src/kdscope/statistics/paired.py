"""Two models on the same items: who is better, by how much, and how sure can one be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, norm
from statsmodels.stats.proportion import proportion_confint

from kdscope.core.errors import StatisticsError
from kdscope.statistics.clusters import cluster_sums, robust_standard_error, sign_flip_p_value
from kdscope.statistics.score_interval import tango_interval


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
    _check_confidence(confidence)
    if n < 1 or not 0 <= correct <= n:
        raise StatisticsError(f"an accuracy needs 0 <= correct <= n and n >= 1, not {correct} of {n}")
    low, high = proportion_confint(correct, n, alpha=1 - confidence, method="wilson")
    return (0.0 if correct == 0 else float(low)), (1.0 if correct == n else float(high))


def compare_paired(
    first: ArrayLike, second: ArrayLike, confidence: float = 0.95, *, clusters: ArrayLike | None = None
) -> PairedComparison:
    """Compare the accuracies of two models on the same items.

    Without repeated clusters: McNemar's exact two-sided test (McNemar 1947, Psychometrika 12:153; binomial on the
    discordant items) and Tango's score interval (`score_interval.tango_interval`). With repeated clusters (copies of
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
    _check_confidence(confidence)
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


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise StatisticsError(f"confidence must lie between 0 and 1, not {confidence}")

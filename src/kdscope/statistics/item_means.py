"""One model's mean over items: its interval, also where items are copies of each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student_t
from statsmodels.stats.proportion import proportion_confint

from kdscope.core.errors import StatisticsError


@dataclass(frozen=True, slots=True)
class MeanEstimate:
    """A mean over items and how sure one can be of it.

    Attributes:
        mean: mean over items.
        stderr: cluster-robust standard error of the mean; NaN for a single cluster.
        low: lower limit; NaN where there is none.
        high: upper limit; NaN where there is none.
        items: number of items.
        clusters: number of different questions among them.
    """

    mean: float
    stderr: float
    low: float
    high: float
    items: int
    clusters: int


def estimate_mean(
    values: ArrayLike, clusters: Sequence[object] | None = None, confidence: float = 0.95
) -> MeanEstimate:
    """Mean of item values with a t interval whose unit is the cluster.

    ``mean +- t[g - 1] * stderr`` with the sandwich error of Liang and Zeger (1986, Biometrika 73:13) for ``g``
    clusters, ``stderr^2 = g / (g - 1) * sum over clusters of (sum - size * mean)^2 / n^2``. Without repeated clusters
    it is Student's interval. Where nothing varies, or there is one cluster, there is no interval: NaN.

    Args:
        values: one value per item, shape [n].
        clusters: an id per item, equal for items that are copies of each other, length n.
        confidence: level of the interval.

    Raises:
        StatisticsError: if there are no items, lengths differ, a value is not finite, or the level is not in (0, 1).

    Example:
        >>> found = estimate_mean([0.2, 0.4, 0.6, 0.8])
        >>> round(found.low, 3), round(found.high, 3)
        (0.089, 0.911)
    """
    x, cluster_of, g = checked_items(values, clusters, confidence)
    mean = float(x.mean())
    error = _standard_error(x, cluster_of, g)
    margin = float(student_t.isf((1 - confidence) / 2, g - 1)) * error if error > 0 else math.nan
    return MeanEstimate(mean, error, mean - margin, mean + margin, x.size, g)


def estimate_share(
    correct: ArrayLike, clusters: Sequence[object] | None = None, confidence: float = 0.95
) -> MeanEstimate:
    """Share of right items with Wilson's score interval (1927, JASA 22:209), fewer items counting where they repeat.

    The number of items is divided by the design effect (Kish 1965, Survey Sampling), the ratio of the variance between
    clusters to that of independent items, and never grows by it (Korn and Graubard 1998, Survey Methodology 24:193);
    Wilson's interval at that effective size covers well (Franco et al. 2019, J Surv Stat Methodol 7:334). Exact copies
    count once. Deviation from those: no factor ``g / (g - 1)`` and no t quantile, so that without repeated clusters
    it is Wilson's own. Where all items are right, or all wrong, the effective size is the number of clusters.

    Args:
        correct: whether each item is right, boolean or a mean of such in [0, 1], shape [n].
        clusters: an id per item, equal for items that are copies of each other, length n.
        confidence: level of the interval.

    Raises:
        StatisticsError: as `estimate_mean`, or a value is outside [0, 1].

    Example:
        >>> once, twice = estimate_share([1, 1, 0]), estimate_share([1, 1, 0, 1, 1, 0], "abcabc")
        >>> round(once.low, 12) == round(twice.low, 12)
        True
    """
    x, cluster_of, g = checked_items(correct, clusters, confidence)
    if np.any((x < 0) | (x > 1)):
        raise StatisticsError("a share is made of values between 0 and 1")
    mean = float(x.mean())
    size = _effective_size(x, cluster_of, g)
    low, high = proportion_confint(mean * size, size, alpha=1 - confidence, method="wilson")
    low, high = 0.0 if mean == 0 else max(0.0, float(low)), 1.0 if mean == 1 else min(1.0, float(high))
    return MeanEstimate(mean, _standard_error(x, cluster_of, g), low, high, x.size, g)


def checked_items(
    values: ArrayLike, clusters: Sequence[object] | None, confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.intp], int]:
    """Values [n], the cluster number of each [n], and how many clusters there are.

    Raises:
        StatisticsError: as `estimate_mean`.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.size == 0 or not np.isfinite(x).all():
        raise StatisticsError("a mean over items needs at least one item, and a finite value for each")
    if not 0 < confidence < 1:
        raise StatisticsError(f"confidence must lie between 0 and 1, not {confidence}")
    if clusters is None:
        return x, np.arange(x.size), x.size
    if len(clusters) != x.size:
        raise StatisticsError(f"clusters: {x.size} items need one cluster id each, not {len(clusters)}")
    numbers: dict[object, int] = {}
    cluster_of = np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters], dtype=np.intp)
    return x, cluster_of, len(numbers)


def _standard_error(x: NDArray[np.float64], cluster_of: NDArray[np.intp], g: int) -> float:
    if g < 2:
        return math.nan
    return math.sqrt(g / (g - 1) * _squared_residuals(x, cluster_of)) / x.size


def _squared_residuals(x: NDArray[np.float64], cluster_of: NDArray[np.intp]) -> float:
    """Sum over clusters of ``(sum - size * mean)^2``; 0 where only rounding is left."""
    residuals = np.bincount(cluster_of, weights=x - x.mean())
    residuals[np.abs(residuals) <= 1e-13 * x.size * np.abs(x).max()] = 0.0
    return float(np.sum(residuals**2))


def _effective_size(x: NDArray[np.float64], cluster_of: NDArray[np.intp], g: int) -> float:
    mean, between = float(x.mean()), _squared_residuals(x, cluster_of)
    if mean in (0.0, 1.0):
        return float(g)
    independent = x.size * mean * (1 - mean)
    return x.size * min(1.0, independent / between) if between > 0 else float(x.size)

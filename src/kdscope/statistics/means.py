"""Means over items, and means over tasks of such, with intervals whose unit is the question, not its copies."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student_t
from statsmodels.stats.proportion import proportion_confint

from kdscope.core.errors import StatisticsError
from kdscope.statistics.estimates import Estimate, check_confidence, cluster_numbers, t_estimate


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
    values: ArrayLike, clusters: Sequence[Hashable] | None = None, confidence: float = 0.95
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
    correct: ArrayLike, clusters: Sequence[Hashable] | None = None, confidence: float = 0.95
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


def newcombe_difference(
    first: tuple[float, float, float], second: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Difference of two independent shares with its interval: value, lower and upper limit.

    Newcombe (1998, Stat Med 17:873), method 10: Wilson's limits of the two, their distances added in squares.

    Args:
        first: a share with its Wilson limits.
        second: the other.

    Example:
        >>> tuple(round(x, 4) for x in newcombe_difference((0.8, 0.6794, 0.8839), (0.5, 0.3738, 0.6262)))
        (0.3, 0.1254, 0.4515)
    """
    (value, low, high), (other, other_low, other_high) = first, second
    below, above = math.hypot(value - low, other_high - other), math.hypot(high - value, other - other_low)
    # In this order a limit that is not a number stays none.
    return value - other, max(value - other - below, -1.0), min(value - other + above, 1.0)


def limits_of_mean(values: ArrayLike, low: ArrayLike, high: ArrayLike, mean: float) -> tuple[float, float]:
    """Limits of a mean of independent estimates, from the limits of each.

    MOVER, the method of variance estimates recovery (Zou and Donner 2008, Stat Med 27:1693): for a mean of K estimates
    with limits (l_k, u_k), ``low = mean - sqrt(sum (p_k - l_k)^2) / K``, the upper one likewise.

    Args:
        values: the estimates, shape [K].
        low: their lower limits, shape [K].
        high: their upper limits, shape [K].
        mean: their mean, as it was told.
    """
    p, lower, upper = (np.asarray(x, dtype=np.float64) for x in (values, low, high))
    below, above = (math.sqrt(float(np.sum(distances**2))) / p.size for distances in (p - lower, upper - p))
    return mean - below, mean + above


def checked_items(
    values: ArrayLike, clusters: Sequence[Hashable] | None, confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.intp], int]:
    """Values [n], the cluster number of each [n], and how many clusters there are.

    Raises:
        StatisticsError: as `estimate_mean`.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.size == 0 or not np.isfinite(x).all():
        raise StatisticsError("a mean over items needs at least one item, and a finite value for each")
    check_confidence(confidence)
    cluster_of = cluster_numbers(clusters, x.size)
    return x, cluster_of, int(cluster_of.max()) + 1


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


def macro_mean(
    values: ArrayLike, tasks: ArrayLike, clusters: ArrayLike | None = None, confidence: float = 0.95
) -> Estimate:
    """Unweighted mean over tasks of a value per item, tasks fixed, items (or clusters of copies) random.

    ``stderr^2 = sum over tasks of se_t^2 / T^2`` with the cluster-robust error of each task (Liang and Zeger 1986,
    Biometrika 73:13) and Satterthwaite's degrees of freedom (1946, Biometrics Bull 2:110); one task: Student's t.

    Args:
        values: of every item, shape [n]; NaN = not measured, left out.
        tasks: number of each item's task, shape [n].
        clusters: number of each item's cluster, shape [n]; clusters do not reach across tasks.
        confidence: level of the interval.

    Raises:
        StatisticsError: Shapes differ or nothing was measured.

    Example:
        >>> round(macro_mean([0.0, 1.0, 1.0, 1.0, 0.0, 1.0], [0, 0, 1, 1, 1, 1]).value, 4)
        0.625
    """
    x, task_of = np.asarray(values, dtype=np.float64), np.asarray(tasks)
    ids = np.arange(x.size) if clusters is None else np.asarray(clusters)
    if x.shape != task_of.shape or x.shape != ids.shape or np.isnan(x).all():
        raise StatisticsError("a mean over tasks needs a value, a task and a cluster for each of one or more items")
    known = ~np.isnan(x)
    parts = [_task(x[known & (task_of == task)], ids[known & (task_of == task)]) for task in np.unique(task_of[known])]
    means, variances, dfs = (np.array(column) for column in zip(*parts, strict=True))
    total = float(variances.sum())
    df = total**2 / float(np.sum(variances**2 / np.maximum(dfs, 1))) if total > 0 else math.nan
    df = math.nan if np.any(dfs < 1) else df
    return t_estimate(float(means.mean()), math.sqrt(total) / len(parts), df, int(known.sum()), confidence)


def nothing_varies(values: ArrayLike, tasks: ArrayLike, clusters: ArrayLike | None = None) -> bool:
    """Whether every task has several clusters and one and the same value: an error of 0, not an unknown one."""
    x, task_of = np.asarray(values, dtype=np.float64), np.asarray(tasks)
    ids = np.arange(x.size) if clusters is None else np.asarray(clusters)
    known = ~np.isnan(x)
    parts = [known & (task_of == task) for task in np.unique(task_of[known])]
    return all(np.unique(ids[part]).size > 1 and np.ptp(x[part]) == 0 for part in parts)


def macro_covariance(values: ArrayLike, tasks: ArrayLike, clusters: ArrayLike | None = None) -> NDArray[np.float64]:
    """Covariance matrix, over items, of `macro_mean` of several models on the same items.

    Its diagonal holds the squared standard errors of the single means; ``w @ covariance @ w`` is that of their sum with
    weights ``w``.

    Args:
        values: of every model on every item, shape [r, n], all measured.
        tasks: as `macro_mean`.
        clusters: as `macro_mean`.

    Returns:
        Shape [r, r]; NaN where a task has one cluster only.

    Example:
        >>> x, tasks = np.array([[0.0, 1.0, 1.0, 1.0, 0.0, 1.0]]), [0, 0, 1, 1, 1, 1]
        >>> bool(np.isclose(macro_covariance(x, tasks)[0, 0], macro_mean(x[0], tasks).stderr ** 2))
        True
    """
    x, task_of = np.asarray(values, dtype=np.float64), np.asarray(tasks)
    ids = np.arange(x.shape[1]) if clusters is None else np.asarray(clusters)
    names = np.unique(task_of)
    total = np.zeros((len(x), len(x)))
    for task in names:
        inside = task_of == task
        own = x[:, inside] - x[:, inside].mean(axis=1, keepdims=True)
        _, cluster_of = np.unique(ids[inside], return_inverse=True)
        g = int(cluster_of.max()) + 1
        if g < own.shape[1]:
            sums = np.zeros((len(x), g))
            np.add.at(sums.T, cluster_of, own.T)
            own = sums
        total += (g / (g - 1) if g > 1 else math.nan) * (own @ own.T) / int(inside.sum()) ** 2
    return np.asarray(total / len(names) ** 2)


def _task(values: NDArray[np.float64], ids: NDArray[np.generic]) -> tuple[float, float, int]:
    """Mean, its cluster-robust variance, and degrees of freedom."""
    _, cluster_of = np.unique(ids, return_inverse=True)
    residuals = np.bincount(cluster_of, weights=values - values.mean())
    g = residuals.size
    variance = g / (g - 1) * float(np.sum(residuals**2)) / values.size**2 if g > 1 else math.nan
    return float(values.mean()), variance, g - 1

"""The mean over tasks of means over items, each task counting the same, and its error over items."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdscope.core.errors import StatisticsError
from kdscope.statistics.estimates import Estimate, t_estimate


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

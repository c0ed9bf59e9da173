"""The mean over tasks of means over items, each task counting the same: its error from items, and from runs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdscope.errors import StatisticsError
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


def gain_over_seeds(
    values: ArrayLike, tasks: ArrayLike, clusters: ArrayLike | None = None, confidence: float = 0.95
) -> Estimate:
    """`macro_mean` of gains that were trained several times: items and training runs both random.

    Rows are runs (seeds), each with its own control. ``var = var(runs) + var(items) - var(residual)``, the crossed
    layout's analysis of variance (`grid.grid_effect`), items within tasks; never below the larger of the first two.
    Few runs leave few degrees of freedom, and that is the truth about them.

    Args:
        values: gain of each run on each item, shape [r, n], r at least 2.
        tasks: number of each item's task, shape [n].
        clusters: as `macro_mean`.
        confidence: level of the interval.

    Raises:
        StatisticsError: Fewer than two runs, or as `macro_mean`.
    """
    runs = np.asarray(values, dtype=np.float64)
    if runs.ndim != 2 or len(runs) < 2:
        raise StatisticsError("runs and items need a matrix of two or more runs")
    items = macro_mean(runs.mean(axis=0), tasks, clusters, confidence)
    task_of = np.asarray(tasks)
    known = ~np.isnan(runs.mean(axis=0))
    own = np.stack([_macro(row[known], task_of[known]) for row in runs])
    between = float(own.var(ddof=1)) / len(runs)
    # What is left of a run after its mean gain and the item's: noise that both of the others contain.
    ids = None if clusters is None else np.asarray(clusters)
    centred = runs - runs.mean(axis=0)
    residual = sum(macro_mean(row, tasks, ids).stderr ** 2 for row in centred) / (len(runs) * (len(runs) - 1))
    parts = [(between, len(runs) - 1.0), (items.stderr**2, items.df)]
    larger, df = max(parts)
    total = between + items.stderr**2 - residual
    if total > larger:
        terms = [*parts, (residual, items.df * (len(runs) - 1))]
        larger, df = total, total**2 / sum(part**2 / own_df for part, own_df in terms)
    return t_estimate(items.value, math.sqrt(larger), df, items.n, confidence)


def _macro(values: NDArray[np.float64], task_of: NDArray[np.generic]) -> float:
    return float(np.mean([values[task_of == task].mean() for task in np.unique(task_of)]))


def _task(values: NDArray[np.float64], ids: NDArray[np.generic]) -> tuple[float, float, int]:
    """Mean, its cluster-robust variance, and degrees of freedom."""
    _, cluster_of = np.unique(ids, return_inverse=True)
    residuals = np.bincount(cluster_of, weights=values - values.mean())
    g = residuals.size
    variance = g / (g - 1) * float(np.sum(residuals**2)) / values.size**2 if g > 1 else math.nan
    return float(values.mean()), variance, g - 1

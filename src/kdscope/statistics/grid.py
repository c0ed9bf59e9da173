"""A grid of gains, students by tasks: what holds for the students and tasks at hand and for others like them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdscope.core.errors import StatisticsError
from kdscope.statistics.estimates import Estimate, t_estimate


@dataclass(frozen=True, slots=True)
class GridEffect:
    """The mean of a grid as a mixed model has it, and what varies in it.

    Attributes:
        mean: the fixed effect, with Satterthwaite's degrees of freedom.
        student_variance: variance component of students (student:method for a contrast of methods); 0 at least.
        task_variance: of tasks (task:method).
        residual_variance: of student:task:method with everything else.
        students: rows.
        tasks: columns.
    """

    mean: Estimate
    student_variance: float
    task_variance: float
    residual_variance: float
    students: int
    tasks: int


def grid_effect(values: ArrayLike, confidence: float = 0.95) -> GridEffect:
    """Mean contrast of a complete students-by-tasks grid, students and tasks both random.

    The mixed model ``contrast = mean + student + task + residual``. Of a contrast (distilled minus SFT, one method
    minus another) the effects of student, task, teacher and seed themselves have fallen out, and what is left of them
    is student:method and task:method. For a complete grid the analysis-of-variance estimates are those of REML where
    none is negative (Searle, Casella and McCulloch 1992, Variance Components, chapter 4), and
    ``var(mean) = (MS student + MS task - MS residual) / (S T)`` has Satterthwaite's (1946, Biometrics Bull 2:110)
    degrees of freedom, at most the smaller number of students or tasks minus 1 where its mean square is the largest.
    Where the sum falls below the larger of the two mean squares, that one is taken alone with its own degrees of
    freedom: conservative. Wald tests of a mixed model would take the normal distribution instead and reject too often.

    Args:
        values: contrast for each student and task, shape [S, T].
        confidence: level of the interval.

    Raises:
        StatisticsError: Fewer than two students or tasks, or a value is missing.

    Example:
        >>> found = grid_effect([[1.0, 2, 3], [2.0, 3, 5], [0.0, 2, 2]])
        >>> round(found.mean.value, 3), found.students
        (2.222, 3)
    """
    grid = np.asarray(values, dtype=np.float64)
    if grid.ndim != 2 or min(grid.shape) < 2 or not np.isfinite(grid).all():
        raise StatisticsError("a grid needs a finite value for each of two or more students and two or more tasks")
    rows, columns = grid.shape
    squares = _mean_squares(grid)
    variance, df = _satterthwaite(squares, _degrees(grid))
    mean = t_estimate(float(grid.mean()), math.sqrt(variance / grid.size), df, rows, confidence)
    by_student, by_task, residual = squares
    return GridEffect(
        mean=mean,
        student_variance=max(0.0, (by_student - residual) / columns),
        task_variance=max(0.0, (by_task - residual) / rows),
        residual_variance=residual,
        students=rows,
        tasks=columns,
    )


def two_way_bootstrap(values: ArrayLike, draws: int = 1999, seed: int = 0) -> float:
    """Standard error of a grid's mean when students and tasks are both drawn again, independently.

    Owen (2007, Ann Appl Stat 1:386), the pigeonhole bootstrap, with every way's squared deviations scaled up by
    ``n / (n - 1)``. It overstates the variance where the residual dominates, and no bootstrap of crossed factors is
    right for all components (McCullagh 2000, Bernoulli 6:285). With many draws its square is
    ``(MS student + MS task + MS residual) / (S T)``, where the mixed model subtracts the last. Only the error:
    percentiles of so few students and tasks cover too little (`bootstrap_mean` has an interval that does not).

    Args:
        values: contrast for each student and task, shape [S, T].
        draws: resamples.
        seed: of the resamples.

    Raises:
        StatisticsError: As `grid_effect`, or fewer than two draws.
    """
    grid = np.asarray(values, dtype=np.float64)
    if grid.ndim != 2 or min(grid.shape) < 2 or not np.isfinite(grid).all() or draws < 2:
        raise StatisticsError("a two-way bootstrap needs a complete grid of two or more each way, and two draws")
    generator, (rows, columns) = np.random.default_rng(seed), grid.shape
    row_weights = generator.multinomial(rows, np.full(rows, 1 / rows), size=draws) / rows
    column_weights = generator.multinomial(columns, np.full(columns, 1 / columns), size=draws) / columns
    # Deviations from the mean of a multinomial shrink by (n - 1) / n.
    row_weights = 1 / rows + (row_weights - 1 / rows) * math.sqrt(rows / (rows - 1))
    column_weights = 1 / columns + (column_weights - 1 / columns) * math.sqrt(columns / (columns - 1))
    means = np.einsum("ds,st,dt->d", row_weights, grid, column_weights, optimize=True)
    return float(means.std(ddof=1))


def bootstrap_mean(values: ArrayLike, draws: int = 1999, seed: int = 0, confidence: float = 0.95) -> Estimate:
    """Mean of a grid with the error of `two_way_bootstrap`: no model of what varies.

    The bootstrap's variance is a sum of three mean squares, so that the t quantile has Satterthwaite's degrees of
    freedom of that sum, which are few where few students or tasks make up most of it. Simulated on grids of 2 x 4 to
    5 x 14, 95% intervals hold the truth in 94% to 98% of cases where students or tasks vary at least as much as what
    is left, and in up to all of them where only that varies. With the smaller of S - 1 and T - 1 degrees of freedom
    they would in 97% to 100%, with the normal quantile in 85% to 100%.

    Args:
        values: contrast for each student and task, shape [S, T].
        draws: resamples.
        seed: of the resamples.
        confidence: level of the interval.

    Raises:
        StatisticsError: As `two_way_bootstrap`.

    Example:
        >>> found = bootstrap_mean([[1.0, 2, 3], [2.0, 3, 5], [0.0, 2, 2]])
        >>> round(found.value, 3), found.n
        (2.222, 3)
    """
    error, grid = two_way_bootstrap(values, draws, seed), np.asarray(values, dtype=np.float64)
    # What is left of equal numbers after rounding is no variance.
    if error <= 1e-12 * float(np.abs(grid).max()):
        return t_estimate(float(grid.mean()), math.nan, math.nan, len(grid), confidence)
    squares = _mean_squares(grid)
    df = sum(squares) ** 2 / _spread(squares, _degrees(grid))
    return t_estimate(float(grid.mean()), error, df, len(grid), confidence)


def _degrees(grid: NDArray[np.float64]) -> tuple[int, int, int]:
    rows, columns = grid.shape
    return rows - 1, columns - 1, (rows - 1) * (columns - 1)


def _spread(squares: tuple[float, float, float], dfs: tuple[int, int, int]) -> float:
    """Half the variance of a sum or difference of mean squares, estimated."""
    return sum(square**2 / own for square, own in zip(squares, dfs, strict=True))


def _mean_squares(grid: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean squares of rows, of columns and of what is left."""
    rows, columns = grid.shape
    centre = grid.mean()
    by_row, by_column = grid.mean(axis=1) - centre, grid.mean(axis=0) - centre
    residual = grid - centre - by_row[:, None] - by_column
    return (
        columns * float(np.sum(by_row**2)) / (rows - 1),
        rows * float(np.sum(by_column**2)) / (columns - 1),
        float(np.sum(residual**2)) / ((rows - 1) * (columns - 1)),
    )


def _satterthwaite(squares: tuple[float, float, float], dfs: tuple[int, int, int]) -> tuple[float, float]:
    """Variance of the sum of two mean squares minus the third, and its degrees of freedom."""
    by_row, by_column, residual = squares
    total = by_row + by_column - residual
    larger, df = max(zip(squares[:2], dfs[:2], strict=True))
    if total <= larger:
        return larger, float(df)
    return total, total**2 / _spread(squares, dfs)

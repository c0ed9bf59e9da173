"""Crossed designs: methods within students, teachers within students, students by tasks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdscope.core.errors import StatisticsError
from kdscope.statistics.estimates import Estimate, t_estimate


def blocked_permutation(values: ArrayLike, draws: int = 9999, seed: int = 0) -> tuple[float, float]:
    """Whether columns differ, rows being blocks: F of the two-way layout and its permutation p-value.

    ``F = (rows - 1) SS columns / SS residual``. Columns are permuted within every row (Pitman 1938, Biometrika 29:322):
    all ways where there are at most ``draws + 1``, else ``draws`` drawn ones and the one seen (Phipson and Smyth 2010,
    Stat Appl Genet Mol Biol 9:39). Exact where the columns of a row are exchangeable, whatever rows differ by.

    Args:
        values: a value for each block (student) and method, shape [b, k]; a block with a NaN is left out.
        draws: permutations drawn at most.
        seed: of the drawn ones.

    Returns:
        F and p; NaN with fewer than two blocks or methods, or where nothing is left to vary.

    Raises:
        StatisticsError: The values are no matrix, or no draw is allowed.

    Example:
        >>> f, p = blocked_permutation([[1.0, 2, 3], [2.0, 3, 4.5], [0.0, 1.5, 2]])
        >>> round(p, 4)
        0.0278
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or draws < 1:
        raise StatisticsError("a blocked test needs a matrix of blocks by methods and at least one draw")
    table = table[~np.isnan(table).any(axis=1)]
    if min(table.shape) < 2:
        return math.nan, math.nan
    centred = table - table.mean(axis=1, keepdims=True)
    total = float(np.sum(centred**2))
    if total <= 1e-20 * max(1.0, float(np.sum(table**2))):
        return math.nan, math.nan
    # Rows and total stay as they are under permutation, so columns' sums of squares order as F does.
    between = float(np.sum(centred.sum(axis=0) ** 2)) / len(centred)
    orders = np.array(list(itertools.permutations(range(table.shape[1]))))
    far, count = _as_far(centred, orders, between, draws, seed)
    residual = total - between
    return (len(centred) - 1) * between / residual if residual > 0 else math.inf, far / count


def teacher_effects(
    values: ArrayLike, students: Sequence[Hashable], teachers: Sequence[Hashable]
) -> dict[Hashable, float]:
    """Effect of each teacher with the students' own levels taken out: least squares of ``student + teacher``.

    Only teachers that share a student with another one can be compared; of several groups that share none, the largest
    is taken. Effects sum to 0. Which control the students are compared with makes no difference.

    Args:
        values: accuracy (or gain) of every pair, shape [n].
        students: of every pair, length n.
        teachers: of every pair, length n.

    Example:
        >>> found = teacher_effects([10.0, 12.0, 20.0, 22.0, 5.0], "aabbc", "xyxyz")
        >>> {name: round(value, 9) for name, value in found.items()}
        {'x': -1.0, 'y': 1.0}
    """
    y = np.asarray(values, dtype=np.float64)
    group = _largest_group(students, teachers)
    rows = [i for i, teacher in enumerate(teachers) if teacher in group and not math.isnan(y[i])]
    if len(group) < 2 or not rows:
        return {}
    names, owners = sorted(group, key=str), sorted({students[i] for i in rows}, key=str)
    design = np.zeros((len(rows), len(names) + len(owners)))
    for row, i in enumerate(rows):
        design[row, names.index(teachers[i])] = 1
        design[row, len(names) + owners.index(students[i])] = 1
    fitted = np.linalg.lstsq(design, y[rows], rcond=None)[0][: len(names)]
    return {name: float(value) for name, value in zip(names, fitted - fitted.mean(), strict=True)}


def _as_far(
    centred: NDArray[np.float64], orders: NDArray[np.intp], observed: float, draws: int, seed: int
) -> tuple[int, int]:
    """How many permutations have column sums as unequal as those seen, and of how many."""
    blocks = len(centred)
    threshold = observed * blocks * (1 - 1e-12)
    if len(orders) ** (blocks - 1) <= draws + 1:
        # The first block may stay as it is: permuting all blocks alike changes nothing.
        sums = centred[:1]
        for row in centred[1:]:
            sums = (sums[:, None, :] + row[orders][None]).reshape(-1, centred.shape[1])
        return int(np.sum(np.sum(sums**2, axis=1) >= threshold)), len(sums)
    generator = np.random.default_rng(seed)
    chosen = orders[generator.integers(len(orders), size=(draws, blocks))]
    sums = np.take_along_axis(np.broadcast_to(centred, chosen.shape), chosen, axis=2).sum(axis=1)
    return int(np.sum(np.sum(sums**2, axis=1) >= threshold)) + 1, draws + 1


def _largest_group(students: Sequence[Hashable], teachers: Sequence[Hashable]) -> set[Hashable]:
    """The largest set of teachers that are linked by common students."""
    groups: list[set[Hashable]] = []
    for student in dict.fromkeys(students):
        linked = {t for s, t in zip(students, teachers, strict=True) if s == student}
        apart = [group for group in groups if not group & linked]
        groups = [*apart, linked.union(*(group for group in groups if group & linked))]
    return max(groups, key=len, default=set())


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

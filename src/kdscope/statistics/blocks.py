"""Methods within students, teachers within students: contrasts from which the student's baseline falls out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdscope.core.errors import StatisticsError


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

"""What a fidelity measure gives when nothing but chance links the two models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kdscope.errors import StatisticsError

T = TypeVar("T")
S = TypeVar("S")


def shuffled_floor(
    measure: Callable[[list[T], list[S]], float],
    teacher: Sequence[T],
    student: Sequence[S],
    seed: int,
    repeats: int,
    groups: Sequence[str] | None = None,
) -> float:
    """Mean of ``measure(teacher, student)`` when every item of the teacher meets another item of the student.

    The pairings are uniform derangements, the same for the same seed. A single item has no other item: NaN. With groups
    (the tasks of pooled items), an item meets another of its own group: answers to another task would make the floor
    look lower than it is.

    Args:
        measure: takes the teacher's list and the student's list, paired by position.
        teacher: one entry per item, length n.
        student: one entry per item, length n.
        seed: of the derangements.
        repeats: number of derangements averaged.
        groups: group of each item, length n; all items are one group where absent.

    Raises:
        StatisticsError: if there are no items, the lengths differ, or ``repeats`` is below 1.

    Example:
        >>> same = lambda teacher, student: float(teacher == student)
        >>> shuffled_floor(same, ["A", "B"], ["A", "B"], seed=0, repeats=3)
        0.0
    """
    n = len(teacher)
    labels = ["all"] * n if groups is None else list(groups)
    if n == 0 or len(student) != n or len(labels) != n or repeats < 1:
        raise StatisticsError(
            f"a shuffled floor needs paired items, their groups and repeats >= 1: {n}, {len(student)}, {len(labels)}, "
            f"{repeats}"
        )
    members = [np.flatnonzero(np.array(labels) == label) for label in dict.fromkeys(labels)]
    if any(len(group) == 1 for group in members):
        return math.nan
    generator = np.random.default_rng(seed)
    orders = (_within(members, n, generator) for _ in range(repeats))
    values = [measure(list(teacher), [student[i] for i in order]) for order in orders]
    return float(np.mean(values))


def _within(members: list[NDArray[np.int64]], n: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """A derangement of all items that keeps every item in its group."""
    order = np.empty(n, dtype=np.int64)
    for group in members:
        order[group] = group[_derangement(len(group), generator)]
    return order


def _derangement(n: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """A uniform permutation of 0..n-1 without a fixed point; one draw in e is one, so about three are made."""
    while True:
        order = generator.permutation(n)
        if not np.any(order == np.arange(n)):
            return order

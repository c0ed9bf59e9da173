"""What a fidelity measure gives when nothing but chance links the two models: items paired with others' answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.measures import Measure, Order, Values, numbered_clusters

_TRIES = 50
_REPAIRS = 1000


@dataclass(frozen=True, slots=True)
class Floor:
    """A measure between answers to different items.

    Attributes:
        mean: over shuffles; NaN where items cannot be shuffled.
        spread: standard deviation over shuffles: how far chance alone carries one of them; NaN for fewer than two.
    """

    mean: float
    spread: float


def shuffled_orders(clusters: Sequence[str], repeats: int, seed: int) -> list[Order]:
    """Random orders of the items of one task in which no item meets one of its own cluster.

    Where no two items are copies of each other these are uniform derangements. None where there is no such order: a
    single item, or more than half of the items copies of one question.

    Args:
        clusters: equal for items that are copies of each other, length n.
        repeats: how many orders.
        seed: of the orders.

    Raises:
        StatisticsError: There are no items, or less than one order is asked for.

    Example:
        >>> [order.tolist() for order in shuffled_orders(["first", "second"], repeats=2, seed=0)]
        [[1, 0], [1, 0]]
    """
    if not clusters or repeats < 1:
        raise StatisticsError(f"shuffling needs items and repeats: {len(clusters)}, {repeats}")
    labels = numbered_clusters(clusters)
    if 2 * np.bincount(labels).max() > len(labels):
        return []
    generator = np.random.default_rng(seed)
    orders = [_shuffled(labels, generator) for _ in range(repeats)]
    return [order for order in orders if order is not None]


def floor(measures: Sequence[Measure], shuffles: Sequence[Sequence[Values]]) -> Floor:
    """The floor of one measure over the items of one task, or of several.

    Args:
        measures: the measure as it is on each task.
        shuffles: for each task the sums of its columns in each shuffle; where a task has none, or the measure says
            nothing between different items, there is no floor.
    """
    repeats = min((len(task) for task in shuffles), default=0)
    if repeats == 0 or not measures[0].entry.has_floor:
        return Floor(math.nan, math.nan)
    within = [
        np.stack([measure.within(sums) for sums in task[:repeats]])
        for measure, task in zip(measures, shuffles, strict=True)
    ]
    values = measures[0].score(np.sum(within, axis=0))
    values = values[np.isfinite(values)]
    spread = float(values.std(ddof=1)) if values.size > 1 else math.nan
    return Floor(float(values.mean()) if values.size else math.nan, spread)


def _shuffled(labels: Order, generator: np.random.Generator) -> Order | None:
    """One order; drawn until it fits, and repaired where few do because many items are copies."""
    for _ in range(_TRIES):
        order = generator.permutation(len(labels))
        if not np.any(labels[order] == labels):
            return order
    for _ in range(_REPAIRS):
        meeting = np.flatnonzero(labels[order] == labels)
        if not len(meeting):
            return order
        for item in meeting:
            other = generator.integers(len(labels))
            order[[item, other]] = order[[other, item]]
    return None

"""What a study can find, before it runs: the smallest difference of every comparison it makes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import pandas as pd

from kdscope.errors import StatisticsError
from kdscope.statistics.mcnemar import detectable_difference
from kdscope.statistics.run_noise import detectable_gain

DISCORDANCE = 0.2
"""Share of items on which a distilled student and its control differ, if nothing better is known."""


@dataclass(frozen=True, slots=True)
class PlannedComparison:
    """One comparison that a study will make, and what it could see.

    Attributes:
        name: of the comparison.
        items: independent items.
        discordance: share of items on which exactly one of the two models is expected to be right.
        comparisons: size of the family that is adjusted together.
        detectable: smallest difference found with the stated power, in percentage points; NaN if there is none.
        power: probability of finding it.
        alpha: level before adjustment.
    """

    name: str
    items: int
    discordance: float
    comparisons: int
    detectable: float
    power: float = 0.8
    alpha: float = 0.05


def plan_comparisons(
    items: Mapping[str, int],
    *,
    discordance: float | Mapping[str, float] = DISCORDANCE,
    confirmatory: Iterable[str] | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
) -> pd.DataFrame:
    """The smallest detectable difference of every comparison of two models on the same items.

    McNemar's mid-p test by exact power (`mcnemar.detectable_difference`), at the level that Holm's method leaves the
    first of the family. Training noise is not in it: a comparison of single runs sees this much between two
    checkpoints, and less between two methods.

    Args:
        items: independent items of each comparison, by name.
        discordance: expected share of items on which exactly one model is right, for all or by name.
        confirmatory: names adjusted together; all of them unless told.
        alpha: level of the family.
        power: probability of finding the difference.

    Returns:
        One row per comparison, columns the attributes of `PlannedComparison`.

    Raises:
        StatisticsError: A comparison has no discordance of its own, or a value is out of range.

    Example:
        >>> plan_comparisons({"forward_kl - sft": 500}).round(2)["detectable"].tolist()
        [5.57]
    """
    family = set(items) if confirmatory is None else set(confirmatory)
    known: dict[tuple[int, float, float], float] = {}
    rows = []
    for name, count in items.items():
        share = discordance if isinstance(discordance, int | float) else discordance.get(name)
        if share is None:
            raise StatisticsError(f"no expected discordance is told for {name}")
        tests = len(family) if name in family else 1
        key = (count, float(share), alpha / tests)
        if key not in known:
            known[key] = detectable_difference(*key, power)
        rows.append(PlannedComparison(name, count, float(share), tests, 100 * known[key], power, alpha))
    return pd.DataFrame([asdict(row) for row in rows], columns=list(PlannedComparison.__slots__))


def detectable_mean_gain(students: int, standard_deviation: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest mean gain over students that a t test finds, in the unit of the deviation.

    Args:
        students: independent students.
        standard_deviation: of the gain between students.
        alpha: two-sided level.
        power: probability of finding it.

    Raises:
        StatisticsError: Fewer than two students, or no deviation.

    Example:
        >>> round(detectable_mean_gain(6, 2.0), 2)
        2.87
    """
    if students < 2 or not standard_deviation > 0:
        raise StatisticsError("a mean over students needs two of them and a positive standard deviation")
    return detectable_gain(standard_deviation / math.sqrt(students), students - 1, alpha, power)

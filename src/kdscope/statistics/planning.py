"""What a study can find, before it runs: the smallest difference of every comparison it makes. Needs no library."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

from kdscope.errors import StatisticsError

DISCORDANCE = 0.2
"""Share of items on which a distilled student and its control differ, if nothing better is known."""


@dataclass(frozen=True, slots=True)
class PlannedComparison:
    """One comparison of two models on the same items that a study will make, and what it could see.

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
    further: int = 0,
    alpha: float = 0.05,
    power: float = 0.8,
) -> list[PlannedComparison]:
    """The smallest detectable difference of every comparison, at the level that Holm's method leaves the first of all.

    Training noise is not in it: a comparison of single runs sees this much between two checkpoints, and less between
    two methods.

    Args:
        items: independent items of each comparison, by name.
        discordance: expected share of items on which exactly one model is right, for all or by name.
        confirmatory: names adjusted together; all of them unless told. The others are not adjusted.
        further: questions of the same family that are no comparison of right and wrong answers.
        alpha: level of the family.
        power: probability of finding the difference.

    Raises:
        StatisticsError: A comparison has no discordance of its own, or a value is out of range.

    Example:
        >>> [round(found.detectable, 1) for found in plan_comparisons({"forward_kl": 500, "gkd": 1319})]
        [6.2, 3.8]
    """
    family = set(items) if confirmatory is None else set(confirmatory)
    rows = []
    for name, count in items.items():
        share = discordance if isinstance(discordance, int | float) else discordance.get(name)
        if share is None:
            raise StatisticsError(f"no expected discordance is told for {name}")
        tests = len(family) + further if name in family else 1
        least = 100 * detectable_by_normal(count, share, alpha / tests, power)
        rows.append(PlannedComparison(name, count, share, tests, least, power, alpha))
    return rows


def detectable_by_normal(items: int, discordance: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest difference in accuracy that McNemar's test finds with the stated power; NaN if there is none.

    Solves ``d sqrt(n) = z(1 - alpha/2) sqrt(s) + z(power) sqrt(s - d^2)`` for the difference ``d``, with ``s`` the
    discordance (Connor 1987, Biometrics 43:207-211). `mcnemar.detectable_difference` has it by exact power.

    Raises:
        StatisticsError: A value is out of range.

    Example:
        >>> round(detectable_by_normal(500, 0.2), 3)
        0.056
    """
    if items < 1 or not 0 < discordance <= 1 or not 0 < alpha < power < 1:
        raise StatisticsError(
            f"power needs items, a discordance in (0, 1] and a level in (0, 1) below the power, not {items}, "
            f"{discordance}, {alpha} and {power}"
        )
    level, wanted = (NormalDist().inv_cdf(p) for p in (1 - alpha / 2, power))
    room = items - level**2 + wanted**2
    if room < 0:
        return math.nan
    # The root of d^2 n - 2 d z sqrt(n s) + z^2 s = w^2 (s - d^2) that grows with the power.
    least = (level * math.sqrt(items * discordance) + wanted * math.sqrt(discordance * room)) / (items + wanted**2)
    return least if least <= discordance else math.nan

"""Minimum detectable differences of a study before it runs, for every comparison it makes.

With one seed no library is needed; with several, scipy's special functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

from kdscope.core.errors import StatisticsError

DISCORDANCE = 0.2
"""Share of items on which a distilled student and its control differ, if nothing better is known."""
REPEATED = 0.6
"""Part of that discordance which two runs of one setting show as well, if nothing better is known."""
RUN_SD = 2.0
"""Standard deviation between training runs in percentage points, if nothing better is known."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What the numbers of a study will vary with.

    Attributes:
        discordance: share of items on which exactly one of two single models, distilled and control, is right.
        repeated: part of it that two runs of one setting show as well: what more seeds average out.
        run_sd: standard deviation between runs of one setting in percentage points, items taken off.
        control_sd: that of the control; as ``run_sd`` where None.
        run_df: degrees of freedom of the less certain of the two; infinite where they are told.
    """

    discordance: float = DISCORDANCE
    repeated: float = REPEATED
    run_sd: float = RUN_SD
    control_sd: float | None = None
    run_df: float = math.inf


@dataclass(frozen=True, slots=True)
class Runs:
    """How often a study trains.

    Attributes:
        seeds: training runs of every setting.
        settings: distilled settings of a student whose mean the primary question is about.
        students: students whose run variance is pooled.
    """

    seeds: int = 1
    settings: int = 1
    students: int = 1


@dataclass(frozen=True, slots=True)
class PlannedComparison:
    """One comparison on the same items that a study will make, and its minimum detectable difference.

    Attributes:
        name: of the comparison.
        items: independent items.
        discordance: share of items on which exactly one of the two models is expected to be right.
        comparisons: size of the family that is adjusted together.
        detectable: smallest difference found with the stated power, in percentage points; NaN if there is none.
        seeds: training runs of every setting: with one it is about checkpoints, with several about methods.
        run_sd: standard deviation between training runs that was taken, in points; NaN with one seed.
        power: probability of finding it.
        alpha: level before adjustment.
    """

    name: str
    items: int
    discordance: float
    comparisons: int
    detectable: float
    seeds: int = 1
    run_sd: float = math.nan
    power: float = 0.8
    alpha: float = 0.05


def plan_comparisons(
    items: Mapping[str, int],
    *,
    noise: Noise = Noise(),
    runs: Runs = Runs(),
    confirmatory: Iterable[str] | None = None,
    further: int = 0,
    alpha: float = 0.05,
    power: float = 0.8,
) -> list[PlannedComparison]:
    """The smallest detectable difference of every comparison, at the level that Holm's method leaves the first of all.

    With one seed it is the difference between two checkpoints, by McNemar's test (`detectable_by_normal`). With several
    it is the gain over the control, runs and items random, by the test that `run_contrasts` makes
    (`detectable_over_runs`): the mean over a student's settings in the confirmatory comparisons, one setting in others.

    Args:
        items: independent items of each comparison, by name.
        noise: what numbers vary with.
        runs: how often the study trains.
        confirmatory: names adjusted together; all of them unless told. The others are not adjusted.
        further: questions of the same family that are no comparison of right and wrong answers.
        alpha: level of the family.
        power: probability of finding the difference.

    Raises:
        StatisticsError: A value is out of range.

    Example:
        >>> [round(found.detectable, 1) for found in plan_comparisons({"mini": 500, "gsm8k": 1319})]
        [6.2, 3.8]
    """
    family = set(items) if confirmatory is None else set(confirmatory)
    rows = []
    for name, count in items.items():
        tests = len(family) + further if name in family else 1
        settings = runs.settings if name in family else 1
        if runs.seeds == 1:
            least, run_sd = 100 * detectable_by_normal(count, noise.discordance, alpha / tests, power), math.nan
        else:
            own = Runs(runs.seeds, settings, runs.students)
            least, run_sd = detectable_over_runs(count, noise, own, alpha / tests, power), noise.run_sd
        rows.append(PlannedComparison(name, count, noise.discordance, tests, least, runs.seeds, run_sd, power, alpha))
    return rows


def detectable_over_runs(items: int, noise: Noise, runs: Runs, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest gain that the test with runs and items random finds with the stated power, in percentage points.

    The estimate has the variance ``V = P (1 + 1/M) / 2n + (c^2 + r) / K + (s^2 + r) / (M K)``: ``P`` what lasting
    differences of two settings vary by from item to item (settings are no more alike than one is to the control), ``r``
    what single runs vary by from item to item in the mean of ``n`` items, ``c`` and ``s`` the standard deviations
    between runs of the control and of the ``M`` settings, each with ``K`` seeds. The run part is estimated with
    ``S (K - 1)`` degrees of freedom from the paired differences of ``S`` students, as `run_variance` does; the power is
    the mean over that estimate.

    Raises:
        StatisticsError: A value is out of range.

    Example:
        >>> two, five = (detectable_over_runs(600, Noise(), Runs(seeds, 4, 2)) for seeds in (2, 5))
        >>> round(two, 1), round(five, 1)
        (9.5, 4.3)
    """
    import numpy as np
    from scipy import special

    from kdscope.statistics.degrees_of_freedom import combined_df

    _check(items, noise.discordance, alpha, power)
    if runs.seeds < 2 or noise.run_sd < 0 or not 0 <= noise.repeated <= 1:
        raise StatisticsError("runs and items need two seeds or more, a run SD of at least 0 and a share in [0, 1]")
    control = noise.run_sd if noise.control_sd is None else noise.control_sd
    lasting = 1e4 * noise.discordance * (1 - noise.repeated) / 2 * (1 + 1 / runs.settings) / items
    single = 1e4 * noise.discordance * noise.repeated / 2 / items
    of_runs = (control**2 + single) / runs.seeds + (noise.run_sd**2 + single) / (runs.settings * runs.seeds)
    df = runs.students * (runs.seeds - 1)
    estimates = of_runs * special.chdtri(df, (np.arange(200) + 0.5) / 200) / df
    dfs = np.array([combined_df([lasting, estimate], [items - 1, df]) for estimate in estimates])
    limits = special.stdtrit(dfs, 1 - alpha / 2) * np.sqrt(lasting + estimates)
    error = math.sqrt(lasting + of_runs)

    low, high = 0.0, float(limits.max()) + 20 * error
    for _ in range(60):
        gain = (low + high) / 2
        found = float((special.ndtr((gain - limits) / error) + special.ndtr((-gain - limits) / error)).mean())
        low, high = (gain, high) if found < power else (low, gain)
    return (low + high) / 2


def detectable_by_normal(items: int, discordance: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest difference in accuracy that McNemar's test finds with the stated power; NaN if there is none.

    Solves ``d sqrt(n) = z(1 - alpha/2) sqrt(s) + z(power) sqrt(s - d^2)`` for the difference ``d``, with ``s`` the
    discordance (Connor 1987, Biometrics 43:207-211).

    Raises:
        StatisticsError: A value is out of range.

    Example:
        >>> round(detectable_by_normal(500, 0.2), 3)
        0.056
    """
    _check(items, discordance, alpha, power)
    level, wanted = (NormalDist().inv_cdf(p) for p in (1 - alpha / 2, power))
    room = items - level**2 + wanted**2
    if room < 0:
        return math.nan
    # The root of d^2 n - 2 d z sqrt(n s) + z^2 s = w^2 (s - d^2) that grows with the power.
    least = (level * math.sqrt(items * discordance) + wanted * math.sqrt(discordance * room)) / (items + wanted**2)
    return least if least <= discordance else math.nan


def _check(items: int, discordance: float, alpha: float, power: float) -> None:
    if items < 1 or not 0 < discordance <= 1 or not 0 < alpha < power < 1:
        raise StatisticsError(
            f"power needs items, a discordance in (0, 1] and a level in (0, 1) below the power, not {items}, "
            f"{discordance}, {alpha} and {power}"
        )

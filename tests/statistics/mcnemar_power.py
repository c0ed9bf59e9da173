"""Exact power of McNemar's mid-p test: what the normal approximation of `planning` is held against."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from kdscope.core.errors import StatisticsError


def mcnemar_power(items: int, discordance: float, difference: float, alpha: float = 0.05) -> float:
    """Power of the two-sided mid-p test, exactly: over all numbers of discordant items, then over all their splits.

    ``D ~ Binomial(items, discordance)``, of which ``Binomial(D, (1 + difference / discordance) / 2)`` favour the first
    model.

    Args:
        items: independent items.
        discordance: probability that exactly one of the two models is right.
        difference: in accuracy, a fraction; at most the discordance.
        alpha: two-sided level.

    Raises:
        StatisticsError: A value is out of range.

    Example:
        >>> round(mcnemar_power(500, 0.2, 0.06), 3)
        0.857
    """
    _check(items, discordance, alpha)
    if not abs(difference) <= discordance:
        raise StatisticsError(f"a difference of {difference} cannot exceed the discordance {discordance}")
    spread = 10 * math.sqrt(items * discordance * (1 - discordance)) + 10
    middle = items * discordance
    counts = np.arange(max(0, math.floor(middle - spread)), min(items, math.ceil(middle + spread)) + 1)
    critical = _critical(counts, alpha)
    share = (1 + difference / discordance) / 2
    found = stats.binom.cdf(critical, counts, share) + stats.binom.sf(counts - critical - 1, counts, share)
    return float(np.sum(stats.binom.pmf(counts, items, discordance) * np.where(critical >= 0, found, 0.0)))


def detectable_difference(items: int, discordance: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest difference in accuracy that the mid-p test finds with the stated power; NaN if there is none.

    Args:
        items: independent items.
        discordance: probability that exactly one of the two models is right.
        alpha: two-sided level; after Holm's method over ``m`` comparisons it is at worst ``alpha / m``.
        power: probability to find it.

    Raises:
        StatisticsError: A value is out of range.

    Example:
        >>> round(detectable_difference(500, 0.2), 4)
        0.0557
    """
    _check(items, discordance, alpha)
    if not alpha < power < 1:
        raise StatisticsError(f"power must lie between the level {alpha} and 1, not {power}")
    if mcnemar_power(items, discordance, discordance, alpha) < power:
        return math.nan
    low, high = 0.0, discordance
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if mcnemar_power(items, discordance, middle, alpha) < power else (low, middle)
    return high


def _critical(counts: np.ndarray, alpha: float) -> np.ndarray:
    """The largest smaller count at which the mid-p value is at most ``alpha``; -1 where there is none."""
    guess = stats.binom.ppf(alpha / 2, counts, 0.5)
    critical = np.full(counts.shape, -1.0)
    for candidate in (guess - 1, guess, guess + 1):
        mid = 2 * stats.binom.cdf(candidate, counts, 0.5) - stats.binom.pmf(candidate, counts, 0.5)
        fits = (candidate >= 0) & (2 * candidate < counts) & (mid <= alpha)
        critical = np.where(fits, np.maximum(critical, candidate), critical)
    return critical


def _check(items: int, discordance: float, alpha: float) -> None:
    if items < 1 or not 0 < discordance <= 1 or not 0 < alpha < 1:
        raise StatisticsError(
            f"power needs items, a discordance in (0, 1] and a level in (0, 1), not {items}, {discordance}, {alpha}"
        )

"""Effect sizes with intervals, equivalence and non-inferiority: how large, and whether large enough to matter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.optimize import brentq

from kdscope.core.errors import StatisticsError
from kdscope.statistics.estimates import Estimate, check_confidence, mean_over_units, t_estimate
from kdscope.statistics.paired import tango_interval, tango_statistic


@dataclass(frozen=True, slots=True)
class EffectSize:
    """An effect size and its interval.

    Attributes:
        name: ``hedges_g``, ``matched_odds_ratio`` or ``cliffs_delta``.
        value: the effect.
        low: lower limit.
        high: upper limit.
        confidence: level of the interval.
    """

    name: str
    value: float
    low: float
    high: float
    confidence: float = 0.95


def hedges_g(gains: ArrayLike, confidence: float = 0.95) -> EffectSize:
    """Mean gain in standard deviations of the gain, with Hedges' correction for small samples.

    ``g = J mean / sd``, ``J = Gamma(v / 2) / (sqrt(v / 2) Gamma((v - 1) / 2))``, ``v = n - 1`` (Hedges 1981, J Educ
    Stat 6:107). Limits: those noncentralities of Student's t that give the statistic its tail probability, over
    ``sqrt(n)`` (Steiger and Fouladi 1997): exact for the true effect of normal gains, hence not around ``g``.

    Args:
        gains: one per independent unit, shape [n].
        confidence: level of the interval.

    Raises:
        StatisticsError: Fewer than two gains, one not finite, or none that differ.

    Example:
        >>> found = hedges_g([1.0, 2.0, 3.0, 4.0])
        >>> round(found.value, 4)
        1.4012
    """
    x = _sample(gains, confidence)
    if x.size < 2 or np.ptp(x) <= 1e-12 * np.abs(x).max():
        raise StatisticsError("Hedges' g needs at least two gains that differ")
    df, statistic = x.size - 1, float(x.mean() / x.std(ddof=1) * math.sqrt(x.size))
    correction = math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2)) / math.sqrt(df / 2) if df > 1 else math.nan
    root = math.sqrt(x.size)
    low, high = (_noncentrality(statistic, df, tail) / root for tail in ((1 - confidence) / 2, (1 + confidence) / 2))
    return EffectSize("hedges_g", correction * statistic / root, low, high, confidence)


def matched_odds_ratio(only_first: int, only_second: int, confidence: float = 0.95) -> EffectSize:
    """Conditional odds ratio of the same items under two models: ``only first / only second``.

    Limits are Clopper and Pearson's of the share ``p`` of discordant items that the first has right, as ``p / (1 - p)``
    (Fleiss, Levin and Paik 2003, Statistical Methods for Rates and Proportions, section 13.1). They are exact, hence
    wider than their level asks for.

    Raises:
        StatisticsError: A count is negative, or no item is discordant.

    Example:
        >>> matched_odds_ratio(20, 10).value
        2.0
    """
    if min(only_first, only_second) < 0 or only_first + only_second == 0:
        raise StatisticsError("a matched odds ratio needs discordant items")
    check_confidence(confidence)
    share = stats.binomtest(only_first, only_first + only_second).proportion_ci(confidence)
    low, high = (p / (1 - p) if p < 1 else math.inf for p in (float(share.low), float(share.high)))
    return EffectSize(
        "matched_odds_ratio", only_first / only_second if only_second else math.inf, low, high, confidence
    )


def cliffs_delta(first: ArrayLike, second: ArrayLike, confidence: float = 0.95) -> EffectSize:
    """Chance that a value of the first sample is larger than one of the second, minus the chance that it is smaller.

    ``delta = (#{x > y} - #{x < y}) / (n m)`` (Cliff 1993, Psychol Bull 114:494). Limits are those of Feng and Cliff
    (2004, J Mod Appl Stat Methods 3:322), which stay inside -1 and 1, with the error and Satterthwaite's degrees
    of freedom of Brunner and Munzel (2000, Biom J 42:17). They are wide in small samples: with eight values on each
    side they hold the truth in 97 to 98% of cases. All of one sample above the other: delta is 1 and has no limits.

    Args:
        first: shape [n].
        second: shape [m].
        confidence: level of the interval.

    Raises:
        StatisticsError: A sample has fewer than two values, or one that is not finite.

    Example:
        >>> round(cliffs_delta([3.0, 4.0, 5.0], [1.0, 2.0, 4.5]).value, 4)
        0.5556
    """
    x, y = _sample(first, confidence), _sample(second, confidence)
    if min(x.size, y.size) < 2:
        raise StatisticsError("Cliff's delta needs two values on each side")
    share = float(((x[:, None] > y).mean() + (x[:, None] >= y).mean()) / 2)
    variances = [_placement_variance(x, y), _placement_variance(y, x)]
    parts = [variances[0] / x.size, variances[1] / y.size]
    if share in (0.0, 1.0) or sum(parts) <= 0:
        return EffectSize("cliffs_delta", 2 * share - 1, math.nan, math.nan, confidence)
    df = sum(parts) ** 2 / (parts[0] ** 2 / (x.size - 1) + parts[1] ** 2 / (y.size - 1))
    reach = float(stats.t.isf((1 - confidence) / 2, df)) * 2 * math.sqrt(sum(parts))
    delta, left = 2 * share - 1, 1 - (2 * share - 1) ** 2
    middle, half = delta * left / (left + reach**2), reach * math.hypot(left, reach) / (left + reach**2)
    return EffectSize("cliffs_delta", delta, middle - half, middle + half, confidence)


def _placement_variance(x: np.ndarray, y: np.ndarray) -> float:
    """Variance of the share of ``y`` below each ``x``, from ranks as Brunner and Munzel have it."""
    below = ((x[:, None] > y).sum(axis=1) + (x[:, None] >= y).sum(axis=1)) / 2
    return float(below.var(ddof=1)) / y.size**2


def _noncentrality(statistic: float, df: int, tail: float) -> float:
    """The noncentrality at which ``statistic`` is exceeded with probability ``tail``."""
    reach = 10 + 2 * abs(statistic) * (1 + 10 / df)
    return float(brentq(lambda nc: float(stats.nct.sf(statistic, df, nc)) - tail, -reach, reach, xtol=1e-10))


def _sample(values: ArrayLike, confidence: float) -> np.ndarray:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not np.isfinite(x).all():
        raise StatisticsError("an effect size needs a list of finite values")
    check_confidence(confidence)
    return x


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Two one-sided tests (Schuirmann 1987, J Pharmacokinet Biopharm 15:657), or one of them for non-inferiority.

    Attributes:
        difference: the estimate, in the units of the margin.
        margin: differences strictly inside plus and minus this do not matter.
        low: lower limit of the 90% interval (``1 - 2 alpha``).
        high: upper limit.
        p_value: of "the difference is at least the margin": the larger of the two one-sided ones.
        equivalent: whether it is at most ``alpha``.
        alpha: level of each one-sided test.
        n: independent units.
    """

    difference: float
    margin: float
    low: float
    high: float
    p_value: float
    equivalent: bool
    alpha: float
    n: int


def tost_of_units(differences: ArrayLike, margin: float, alpha: float = 0.05) -> Equivalence:
    """Equivalence of a mean difference, one difference per independent unit, by two one-sided t tests.

    Args:
        differences: one per unit (student), shape [n]; NaN = not measured, left out.
        margin: in their unit, above 0.
        alpha: level.

    Raises:
        StatisticsError: The margin is not positive or the level not inside (0, 0.5).

    Example:
        >>> tost_of_units([0.1, -0.2, 0.3, 0.0, -0.1], margin=1.0).equivalent
        True
    """
    return tost_of_estimate(mean_over_units(differences), margin, alpha)


def tost_of_estimate(found: Estimate, margin: float, alpha: float = 0.05) -> Equivalence:
    """Equivalence from any estimate with an error and degrees of freedom.

    Raises:
        StatisticsError: As `tost_of_units`.
    """
    _check(margin, alpha)
    inner = t_estimate(found.value, found.stderr, found.df, found.n, 1 - 2 * alpha)
    p_value = float(stats.t.sf((margin - abs(found.value)) / found.stderr, found.df)) if found.stderr > 0 else np.nan
    equivalent = bool(p_value <= alpha)
    return Equivalence(found.value, margin, inner.low, inner.high, p_value, equivalent, alpha, found.n)


def noninferiority_of_estimate(found: Estimate, margin: float, alpha: float = 0.05) -> Equivalence:
    """Whether an estimate lies above minus the margin, by a one-sided t test; the interval is two-sided.

    With a margin of 0 it is a one-sided test of superiority.
    """
    inner = t_estimate(found.value, found.stderr, found.df, found.n, 1 - 2 * alpha)
    p_value = float(stats.t.sf((found.value + margin) / found.stderr, found.df)) if found.stderr > 0 else np.nan
    return Equivalence(found.value, margin, inner.low, inner.high, p_value, bool(p_value <= alpha), alpha, found.n)


def tost_of_items(first: ArrayLike, second: ArrayLike, margin: float, alpha: float = 0.05) -> Equivalence:
    """Equivalence of the accuracies of two models on the same independent items, by score tests at plus, minus margin.

    Tango (1998, Stat Med 17:891): the score statistic of the paired difference at each margin; interval and test are
    those of `paired.tango_interval`, so that the models are equivalent where the 90% interval lies inside the margins.

    Args:
        first: whether the first model is right, boolean or 0/1, shape [n].
        second: the same for the second, in the same order of items, shape [n].
        margin: a fraction inside (0, 1).
        alpha: level.

    Raises:
        StatisticsError: Shapes differ, there are no items, a value is not 0 or 1, margin or level are out of range.
    """
    _check(margin, alpha)
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape or a.ndim != 1 or a.size == 0 or not np.isin([a, b], (0, 1)).all() or margin >= 1:
        raise StatisticsError("equivalence needs 0 or 1 for each of the same items, and a margin below 1")
    only_first, only_second = int(np.sum(a > b)), int(np.sum(b > a))
    n, difference = a.size, (only_first - only_second) / a.size
    above = stats.norm.sf(tango_statistic(-margin, only_first, only_second, n))
    below = stats.norm.cdf(tango_statistic(margin, only_first, only_second, n))
    p_value = float(max(above, below))
    low, high = tango_interval(only_first, only_second, n, 1 - 2 * alpha)
    return Equivalence(difference, margin, low, high, p_value, p_value <= alpha, alpha, n)


def _check(margin: float, alpha: float) -> None:
    if not margin > 0 or not 0 < alpha < 0.5:
        raise StatisticsError(f"equivalence needs a margin above 0 and a level in (0, 0.5), not {margin} and {alpha}")

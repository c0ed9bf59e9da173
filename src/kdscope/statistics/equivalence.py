"""Equivalence and non-inferiority: are two methods the same, or is one not worse, up to a margin?

Not finding a difference does not say so; these tests can.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from kdscope.core.errors import StatisticsError
from kdscope.statistics.estimates import Estimate, mean_over_units, t_estimate
from kdscope.statistics.paired import tango_interval, tango_statistic


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

    Raises:
        StatisticsError: As `tost_of_units`.
    """
    _check(margin, alpha)
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

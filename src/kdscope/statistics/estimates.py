"""An estimate with its t test and interval: the shape every rigorous result is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from kdscope.core.errors import StatisticsError


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, how sure one can be of it, and the test that it is zero.

    Attributes:
        value: the estimate.
        stderr: its standard error; NaN where there is none.
        df: degrees of freedom of the error; infinite for a normal one.
        low: lower limit.
        high: upper limit.
        p_value: two-sided, of zero.
        n: number of independent units it rests on.
        confidence: level of the interval.
    """

    value: float
    stderr: float
    df: float
    low: float
    high: float
    p_value: float
    n: int
    confidence: float = 0.95

    @property
    def statistic(self) -> float:
        """``value / stderr``."""
        return self.value / self.stderr if self.stderr > 0 else math.nan


def t_estimate(value: float, stderr: float, df: float, n: int, confidence: float = 0.95) -> Estimate:
    """An estimate whose error has ``df`` degrees of freedom; NaN limits and p-value without a positive error.

    Raises:
        StatisticsError: The level is not inside (0, 1).

    Example:
        >>> round(t_estimate(2.0, 1.0, 10, 11).p_value, 4)
        0.0734
    """
    if not 0 < confidence < 1:
        raise StatisticsError(f"confidence must lie between 0 and 1, not {confidence}")
    if not (stderr > 0 and df > 0):
        return Estimate(value, math.nan, df, math.nan, math.nan, math.nan, n, confidence)
    margin = float(stats.t.isf((1 - confidence) / 2, df)) * stderr
    p_value = float(2 * stats.t.sf(abs(value) / stderr, df))
    return Estimate(value, stderr, df, value - margin, value + margin, p_value, n, confidence)


def in_points(found: Estimate) -> Estimate:
    """An estimate of a fraction in percentage points."""
    return Estimate(
        *(100 * found.value, 100 * found.stderr, found.df, 100 * found.low, 100 * found.high),
        *(found.p_value, found.n, found.confidence),
    )


def mean_over_units(values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Mean of one estimate per independent unit (student), with Student's t interval on ``units - 1``.

    Clusters of whatever size and dependence within enter as one number each. The t test on such numbers holds its
    level of 5% for as few as two units, also where their variances differ (Ibragimov and Mueller 2010, J Bus Econ Stat
    28:453, theorem 1, from Bakirov and Szekely 2005); with few units it is then conservative, never liberal.

    Args:
        values: one value per unit, shape [n]; NaN = not measured, left out.
        confidence: level of the interval.

    Example:
        >>> round(mean_over_units([1.0, 2.0, 3.0]).statistic, 4)
        3.4641
    """
    x = np.asarray(values, dtype=np.float64)
    x = x[~np.isnan(x)]
    if x.size < 2:
        return t_estimate(float(x.mean()) if x.size else math.nan, math.nan, math.nan, x.size, confidence)
    error = float(x.std(ddof=1)) / math.sqrt(x.size)
    # What is left of equal numbers after rounding is no variance.
    error = 0.0 if error <= 1e-12 * float(np.abs(x).max()) else error
    return t_estimate(float(x.mean()), error, x.size - 1, x.size, confidence)


def sign_flips(values: ArrayLike, most: int = 14) -> float:
    """Two-sided p-value of a zero mean by all flips of the units' signs; NaN for fewer than two or more than ``most``.

    Exact where the units' values are symmetric about 0 under the null hypothesis (Fisher 1935, The Design of
    Experiments, section 21).

    Args:
        values: one value per unit, shape [n]; NaN = not measured, left out.
        most: units above which there are too many flips.

    Example:
        >>> sign_flips([1.0, 2.0, 0.5, 3.0, 1.5, 0.2])
        0.03125
    """
    x = np.asarray(values, dtype=np.float64)
    x = x[~np.isnan(x)]
    if not 2 <= x.size <= most:
        return math.nan
    # All 2^n sign vectors, the one seen among them; ties by rounding count.
    signs = 1 - 2 * ((np.arange(2**x.size)[:, None] >> np.arange(x.size)) & 1)
    return float(np.mean(np.abs(signs @ x) >= abs(x.sum()) * (1 - 1e-12)))


def slope_over_units(x: ArrayLike, y: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Least-squares slope of ``y`` on ``x`` with units as the observations and ``units - 2`` degrees of freedom.

    Args:
        x: what may explain, one value per unit, shape [n].
        y: what may be explained, shape [n]; a unit with a NaN is left out.
        confidence: level of the interval.

    Example:
        >>> found = slope_over_units([0, 1, 2, 3], [1.0, 3.1, 4.9, 7.0])
        >>> round(found.value, 2), found.df
        (1.98, 2)
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    known = ~np.isnan(a) & ~np.isnan(b)
    a, b = a[known], b[known]
    if a.size < 3 or np.ptp(a) <= 1e-12 * np.abs(a).max():
        return t_estimate(math.nan, math.nan, math.nan, a.size, confidence)
    fit = stats.linregress(a, b)
    return t_estimate(float(fit.slope), float(fit.stderr), a.size - 2, a.size, confidence)


def slope_within(x: ArrayLike, y: ArrayLike, groups: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Slope of ``y`` on ``x`` within groups: each group has a level of its own, which falls out.

    Least squares of ``y ~ x + group`` (Frisch and Waugh 1933, Econometrica 1:387: both sides minus their group's mean),
    ``units - groups - 1`` degrees of freedom. A group of one unit says nothing and is left out.

    Args:
        x: what may explain, one value per unit (cell), shape [n].
        y: what may be explained, shape [n]; a unit with a NaN is left out.
        groups: group (student) of each unit, shape [n].
        confidence: level of the interval.

    Example:
        >>> found = slope_within([0, 1, 2, 5, 6, 7], [1.0, 3.1, 4.9, 0.0, 2.0, 4.1], "aaabbb")
        >>> round(found.value, 2), found.df
        (2.0, 3)
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    names = np.array(list(groups) if isinstance(groups, str) else groups)
    known = ~np.isnan(a) & ~np.isnan(b)
    _, group_of, sizes = np.unique(names[known], return_inverse=True, return_counts=True)
    several = sizes[group_of] > 1
    a, b, group_of = a[known][several], b[known][several], group_of[several]
    df = a.size - int(np.sum(sizes > 1)) - 1
    size = np.maximum(np.bincount(group_of, minlength=sizes.size), 1)
    inner_a, inner_b = (v - (np.bincount(group_of, weights=v, minlength=sizes.size) / size)[group_of] for v in (a, b))
    spread = float(np.sum(inner_a**2))
    if df < 1 or spread <= 1e-20 * max(1.0, float(np.sum(a**2))):
        return t_estimate(math.nan, math.nan, math.nan, a.size, confidence)
    slope = float(np.sum(inner_a * inner_b)) / spread
    residual = float(np.sum((inner_b - slope * inner_a) ** 2))
    return t_estimate(slope, math.sqrt(residual / df / spread), df, a.size, confidence)

"""Estimates with their t tests and intervals: means and slopes over independent units."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
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
    check_confidence(confidence)
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


def check_confidence(confidence: float) -> None:
    """Refuse a level that is none.

    Raises:
        StatisticsError: The level is not inside (0, 1).
    """
    if not 0 < confidence < 1:
        raise StatisticsError(f"confidence must lie between 0 and 1, not {confidence}")


def numbered(labels: Iterable[Hashable]) -> tuple[NDArray[np.intp], list[Hashable]]:
    """The number of each label's value in order of appearance, shape [n], and the distinct values.

    Example:
        >>> numbered("bab")
        (array([0, 1, 0]), ['b', 'a'])
    """
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.intp), list(numbers)


def cluster_numbers(clusters: Sequence[Hashable] | None, items: int) -> NDArray[np.intp]:
    """The number of each item's cluster, shape [n]; every item is its own where there are no clusters.

    Raises:
        StatisticsError: There is not one cluster id for each item.
    """
    if clusters is None:
        return np.arange(items)
    if len(clusters) != items:
        raise StatisticsError(f"clusters: {items} items need one cluster id each, not {len(clusters)}")
    return numbered(clusters)[0]


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


def ancova_slope(
    covariate: ArrayLike,
    baseline: ArrayLike,
    outcome: ArrayLike,
    error_variance: float = 0.0,
    confidence: float = 0.95,
) -> Estimate:
    """Slope of ``outcome`` on ``covariate`` at equal true baseline: an analysis of covariance.

    Least squares of ``outcome ~ 1 + baseline + covariate``, ``units - 3`` degrees of freedom. The measured baseline
    contains an error, which makes a covariate that goes with the true baseline look effective though it is not; its
    variance is taken off the baseline's (DeGracie and Fuller 1972, JASA 67:930), with the error of Fuller (1987,
    Measurement Error Models, theorem 2.2.1), the error variance counting as known. With none it is ordinary ANCOVA.
    With six students the corrected test is conservative: simulated, it rejects in 1 to 2% at level 5%.

    Args:
        covariate: what may explain (binary logarithm of the student's size), one value per unit, shape [n].
        baseline: the student's accuracy under SFT, shape [n].
        outcome: its accuracy when distilled, shape [n]; a unit with a NaN is left out.
        error_variance: of one unit's baseline about its true value.
        confidence: level of the interval.

    Returns:
        The slope; NaN with fewer than four units, or where more than half of what the baseline varies by at equal
        covariate is its error.

    Raises:
        StatisticsError: The variance is negative.

    Example:
        >>> found = ancova_slope([0, 1, 2, 3, 4], [40.0, 52, 49, 63, 60], [45.0, 55, 54, 66, 65])
        >>> round(found.value, 3), found.df
        (1.284, 2)
    """
    if error_variance < 0:
        raise StatisticsError(f"an error variance is not negative: {error_variance}")
    rows = np.column_stack([np.asarray(values, dtype=np.float64) for values in (baseline, covariate, outcome)])
    rows = rows[~np.isnan(rows).any(axis=1)]
    n = len(rows)
    if n < 4:
        return t_estimate(math.nan, math.nan, math.nan, n, confidence)
    centred = rows - rows.mean(axis=0)
    x, y = centred[:, :2], centred[:, 2]
    measured = x.T @ x / (n - 1)
    true = measured - np.diag([error_variance, 0.0])
    left = measured[0, 0] - measured[0, 1] ** 2 / measured[1, 1] if measured[1, 1] > 0 else 0.0
    if not left > max(2 * error_variance, 1e-12 * measured[0, 0]):
        return t_estimate(math.nan, math.nan, math.nan, n, confidence)
    slopes = np.linalg.solve(true, x.T @ y / (n - 1))
    residual = float(np.sum((y - x @ slopes) ** 2)) / (n - 3)
    shared = np.array([error_variance * slopes[0], 0.0])
    inverse = np.linalg.inv(true)
    variance = inverse @ (measured * residual + np.outer(shared, shared)) @ inverse / (n - 1)
    return t_estimate(float(slopes[1]), math.sqrt(variance[1, 1]), n - 3, n, confidence)


def corrected_slope(
    baseline: ArrayLike, outcome: ArrayLike, error_variance: float, confidence: float = 0.95
) -> Estimate:
    """Slope of the gain ``outcome - baseline`` on the true baseline, the baseline's own error taken out.

    A gain contains the error of its baseline with a minus sign, so its slope ``b`` on that baseline is negative under
    no relation: by ``k = error variance / variance of the measured baselines``. Blomqvist (1977, JASA 72:746):
    ``(b + k) / (1 - k)``. An analysis of covariance of the outcome on the baseline has slope ``b + 1`` and the same
    flaw. The error is that of ``b`` divided by ``1 - k``, on ``units - 2`` degrees of freedom: ``k`` counts as known.

    Args:
        baseline: one value per unit (the student's accuracy under SFT), shape [n].
        outcome: its accuracy when distilled, shape [n].
        error_variance: of one unit's baseline about its true value.
        confidence: level of the interval.

    Returns:
        The slope; NaN where the baselines differ by no more than half their error (``k`` above 1/2).

    Raises:
        StatisticsError: The variance is negative.

    Example:
        >>> round(corrected_slope([40.0, 50, 60, 70], [46.0, 54, 65, 73], 0.0).value, 3)
        -0.08
    """
    if error_variance < 0:
        raise StatisticsError(f"an error variance is not negative: {error_variance}")
    x, y = np.asarray(baseline, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    naive = slope_over_units(x, y - x, confidence)
    known = x[~np.isnan(x) & ~np.isnan(y)]
    k = error_variance / float(known.var(ddof=1)) if known.size > 2 and np.ptp(known) > 0 else math.nan
    if not k <= 0.5:
        return t_estimate(math.nan, math.nan, math.nan, known.size, confidence)
    return t_estimate((naive.value + k) / (1 - k), naive.stderr / (1 - k), naive.df, known.size, confidence)


def instrument_slope(first: ArrayLike, second: ArrayLike, outcome: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Slope of the gain over one baseline on what two baselines with independent errors share.

    ``first`` and ``second`` are accuracies on two halves of the items. The gain over ``first`` is regressed on
    ``second``: no error is on both sides. Scaled to the true baseline with ``second`` as instrument,
    ``beta = cov(second, outcome - first) / cov(second, first)`` (Durbin 1954, Rev Int Stat Inst 22:23; cross-fitting:
    Chernozhukov et al. 2018, Econom J 21:C1); its error is that of the reduced form, ``units - 2`` degrees of freedom.
    The test is that of the reduced form and holds for any strength of the instrument (Anderson and Rubin 1949).

    Args:
        first: the baseline inside the gain, shape [n].
        second: the baseline it is related to, shape [n].
        outcome: accuracy when distilled, on the items of ``first``, shape [n].
        confidence: level of the interval.
    """
    x, z, y = (np.asarray(values, dtype=np.float64) for values in (first, second, outcome))
    reduced, strength = slope_over_units(z, y - x, confidence), slope_over_units(z, x, confidence)
    if not strength.value > 0:
        return t_estimate(math.nan, math.nan, math.nan, reduced.n, confidence)
    return t_estimate(
        reduced.value / strength.value, reduced.stderr / strength.value, reduced.df, reduced.n, confidence
    )

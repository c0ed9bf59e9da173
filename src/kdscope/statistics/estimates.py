"""An estimate with its t test and interval: the shape every rigorous result is made of."""

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

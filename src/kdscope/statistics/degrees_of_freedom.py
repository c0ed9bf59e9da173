"""Degrees of freedom of an error that has several parts."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special  # alone: planning must not wait for the rest of scipy


def combined_df(variances: ArrayLike, dfs: ArrayLike) -> float:
    """Degrees of freedom of a sum of independent variance estimates; NaN where there is no variance.

    With one or two degrees of freedom in one part, as of two seeds, Satterthwaite's approximation rejects 8 to 14% of
    true hypotheses at 5%; Cochran and Cox's critical value (1957, Experimental Designs, section 4.14), the mean of the
    parts' own quantiles weighted by their variances, rejects too few where the parts are alike. The critical value here
    is their mean with weight ``3 / (1 + 2 d)`` on the second, ``d`` the fewest degrees of freedom of a part: 1 for one
    degree, where it is needed, and vanishing for many. That choice is a deviation from both, held to its level by
    simulation (docs/simulated_runs.md). The result is the t distribution with that 97.5% quantile.

    Example:
        >>> round(combined_df([1.0, 1.0], [1, 599]), 2), round(combined_df([1.0, 1.0], [40, 600]), 1)
        (1.32, 144.5)
    """
    v, d = _parts(variances, dfs)
    if v.size == 0:
        return math.nan
    quantile = _critical(v, d, 0.025)
    low, high = math.log(float(d.min())), math.log(_MOST)
    for _ in range(60):  # the quantile falls as the degrees of freedom rise
        middle = (low + high) / 2
        low, high = (middle, high) if special.stdtrit(math.exp(middle), 0.975) > quantile else (low, middle)
    return math.exp((low + high) / 2)


def combined_p(statistic: float, variances: ArrayLike, dfs: ArrayLike) -> float:
    """Two-sided p-value of an estimate in units of such an error: the level whose critical value it just reaches.

    Args:
        statistic: the estimate's distance from the hypothesis over its standard error, not negative.
        variances: as `combined_df`.
        dfs: as `combined_df`.

    Example:
        >>> round(combined_p(2.0, [1.0], [10]), 4)
        0.0734
    """
    v, d = _parts(variances, dfs)
    if v.size == 0:
        return math.nan
    from scipy.optimize import brentq  # not at the top, where planning would wait for it

    low, high = -60.0, math.log(0.5)  # of half the level; below, quantiles are no numbers any more
    if statistic <= 0:
        return 1.0
    if _critical(v, d, math.exp(low)) <= statistic:
        return 2 * math.exp(low)
    half = float(brentq(lambda tail: _critical(v, d, math.exp(tail)) - statistic, low, high, xtol=1e-7))
    return min(1.0, 2 * math.exp(half))


def _parts(variances: ArrayLike, dfs: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    v, d = np.asarray(variances, dtype=np.float64), np.asarray(dfs, dtype=np.float64)
    return v[v > 0], np.minimum(d[v > 0], _MOST)


def _critical(v: NDArray[np.float64], d: NDArray[np.float64], tail: float) -> float:
    """The value that an estimate in units of its error exceeds with probability ``tail``."""
    cochran_cox = float(v @ -special.stdtrit(d, tail) / v.sum())
    satterthwaite = min(float(v.sum() ** 2 / np.sum(v**2 / d)), _MOST)
    weight = 1.5 / (0.5 + max(1.0, float(d.min())))
    return weight * cochran_cox - (1 - weight) * float(special.stdtrit(satterthwaite, tail))


_MOST = 1e6
"""More degrees of freedom than this are a normal distribution."""

"""Degrees of freedom of an error that has several parts."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special  # alone: planning must not wait for the rest of scipy


def combined_df(variances: ArrayLike, dfs: ArrayLike) -> float:
    """Degrees of freedom of a sum of independent variance estimates; NaN where there is no variance.

    With one or two degrees of freedom in one part, as of two seeds, Satterthwaite's approximation rejects 8 to 14% of
    true hypotheses at 5%; Cochran and Cox's critical value (1957, Experimental Designs, section 4.14), the mean of the
    parts' own quantiles weighted by their variances, rejects too few where the parts are alike. The critical value here
    is their mean with weight ``2 / (1 + d)`` on the second, ``d`` the fewest degrees of freedom of a part: 1 for one
    degree, where it is needed, and vanishing for many. That choice is a deviation from both, held to its level by
    simulation (docs/simulated_runs.md). The result is the t distribution with that 97.5% quantile.

    Example:
        >>> round(combined_df([1.0, 1.0], [1, 599]), 2), round(combined_df([1.0, 1.0], [40, 600]), 1)
        (1.32, 142.8)
    """
    v, d = np.asarray(variances, dtype=np.float64), np.asarray(dfs, dtype=np.float64)
    v, d = v[v > 0], np.minimum(d[v > 0], _MOST)
    if v.size == 0:
        return math.nan
    cochran_cox = float(v @ special.stdtrit(d, 0.975) / v.sum())
    satterthwaite = min(float(v.sum() ** 2 / np.sum(v**2 / d)), _MOST)
    weight = 2 / (1 + max(1.0, float(d.min())))
    quantile = weight * cochran_cox + (1 - weight) * float(special.stdtrit(satterthwaite, 0.975))
    low, high = math.log(float(d.min())), math.log(_MOST)
    for _ in range(60):  # the quantile falls as the degrees of freedom rise
        middle = (low + high) / 2
        low, high = (middle, high) if special.stdtrit(math.exp(middle), 0.975) > quantile else (low, middle)
    return math.exp((low + high) / 2)


_MOST = 1e6
"""More degrees of freedom than this are a normal distribution."""

"""Corrections for testing more than one hypothesis."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from statsmodels.stats.multitest import multipletests

from kdscope.errors import StatisticsError


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm-adjusted p-values: the family-wise error rate is controlled under any dependence.

    In ascending order, ``adjusted[k] = max over j <= k of min(1, (m - j) p[j])`` for ``j`` from 0 (Holm 1979,
    Scand J Stat 6:65). A NaN is a test that could not be made: it stays NaN and does not count in the family.

    Args:
        p_values: probabilities, shape [m].

    Returns:
        Adjusted probabilities in the order given, shape [m].

    Raises:
        StatisticsError: if the input is not one-dimensional or a value lies outside [0, 1].

    Example:
        >>> [round(float(p), 6) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    tested = ~np.isnan(p)
    if p.ndim != 1 or np.any((p[tested] < 0) | (p[tested] > 1)):
        raise StatisticsError("p-values must be a list of numbers between 0 and 1")
    adjusted = np.full(p.shape, np.nan)
    if tested.any():
        adjusted[tested] = multipletests(p[tested], method="holm")[1]
    return adjusted

"""Corrections for testing more than one hypothesis."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control

from kdscope.core.errors import StatisticsError


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
    p, tested = _tested(p_values)
    order = np.argsort(p[tested], kind="stable")
    # By hand: statsmodels' multipletests collects garbage at every call, a tenth of a second each.
    steps = np.arange(order.size, 0, -1) * p[tested][order]
    ascending = np.minimum(1.0, np.maximum.accumulate(steps))
    adjusted = np.full(p.shape, np.nan)
    adjusted[np.flatnonzero(tested)[order]] = ascending
    return adjusted


def benjamini_yekutieli(p_values: ArrayLike) -> NDArray[np.float64]:
    """P-values adjusted so that the expected share of false discoveries is controlled under any dependence.

    ``adjusted[k] = min over j >= k of min(1, p[j] m c / j)`` in ascending order, ``c = 1 + 1/2 + ... + 1/m`` (Benjamini
    and Yekutieli 2001, Ann Stat 29:1165, theorem 1.3). For screens: many relations looked at, some expected to hold. A
    NaN stays NaN and does not count.

    Args:
        p_values: probabilities, shape [m].

    Returns:
        Adjusted probabilities in the order given, shape [m].

    Raises:
        StatisticsError: if the input is not one-dimensional or a value lies outside [0, 1].

    Example:
        >>> [round(float(p), 6) for p in benjamini_yekutieli([0.01, 0.04])]
        [0.03, 0.06]
    """
    p, tested = _tested(p_values)
    adjusted = np.full(p.shape, np.nan)
    adjusted[tested] = false_discovery_control(p[tested], method="by") if tested.any() else []
    return adjusted


def _tested(p_values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The p-values, and which of them belong to a test that could be made."""
    p = np.asarray(p_values, dtype=np.float64)
    tested = ~np.isnan(p)
    if p.ndim != 1 or np.any((p[tested] < 0) | (p[tested] > 1)):
        raise StatisticsError("p-values must be a list of numbers between 0 and 1")
    return p, tested

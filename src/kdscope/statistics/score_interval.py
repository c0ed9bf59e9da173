"""The score interval of a difference of two paired proportions."""

from __future__ import annotations

import math

from scipy.optimize import bisect
from scipy.stats import norm


def tango_interval(only_first: float, only_second: float, items: float, confidence: float) -> tuple[float, float]:
    """Tango's asymptotic score interval for the difference of paired proportions (1998, Stat Med 17:891).

    All differences ``d`` with ``|T(d)| <= z``, ``T(d) = (b - c - n d) / sqrt(n (2 q(d) + d (1 - d)))``, where ``q(d)``
    is the maximum-likelihood probability of "only the second is right" given ``d``. Chosen over Newcombe's hybrid
    (1998, Stat Med 17:2635, method 10) because it inverts a test: at ``d = 0`` the statistic is McNemar's, so that
    test and interval say the same up to exactness; it never leaves [-1, 1] and is defined without discordant items,
    where it is ``+-z^2 / (n + z^2)``. Fagerland, Lydersen and Laake (2014, Stat Med 33:2850) recommend it.

    Args:
        only_first: ``b``, items only the first has right.
        only_second: ``c``, items only the second has right.
        items: ``n``, all items, concordant ones included.
        confidence: level inside (0, 1).

    Example:
        >>> tuple(round(limit, 3) for limit in tango_interval(9, 3, 32, 0.95))
        (-0.027, 0.39)
    """
    z = float(norm.isf((1 - confidence) / 2))
    return -_upper_limit(only_second, only_first, items, z), _upper_limit(only_first, only_second, items, z)


def tango_statistic(difference: float, only_first: float, only_second: float, items: float) -> float:
    """``T(difference)`` of `tango_interval`: the score test of that difference, standard normal in large samples.

    Example:
        >>> round(tango_statistic(0.0, 9, 3, 32), 4) == round((9 - 3) / math.sqrt(9 + 3), 4)
        True
    """
    return _score(difference, only_first, only_second, items)


def _upper_limit(only_first: float, only_second: float, items: float, z: float) -> float:
    """The largest difference at which the score statistic is at least ``-z``; the lower limit is its mirror image."""
    if only_first >= items:
        return 1.0
    estimate = (only_first - only_second) / items

    def above(difference: float) -> float:
        return _score(difference, only_first, only_second, items) + z

    return float(bisect(above, estimate, 1.0, xtol=1e-13))


def _score(difference: float, only_first: float, only_second: float, items: float) -> float:
    """``T(d)``; 0 at the estimate, where numerator and variance may vanish together."""
    distance = items * ((only_first - only_second) / items - difference)
    if distance == 0:
        return 0.0
    linear = (2 * items - only_first + only_second) * difference - only_first - only_second
    constant = -only_second * difference * (1 - difference)
    root = math.sqrt(max(0.0, linear**2 - 8 * items * constant))
    nuisance = (root - linear) / (4 * items)
    variance = items * (2 * nuisance + difference * (1 - difference))
    # At a difference of 1 the variance is 0 and the statistic minus infinity: a finite stand-in keeps the bracket.
    return distance / math.sqrt(max(variance, 1e-200))

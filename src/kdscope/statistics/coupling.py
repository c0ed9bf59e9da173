"""Relations with a gain that would be there if nothing were: what is shared between the two sides, taken out."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdscope.core.errors import StatisticsError
from kdscope.statistics.estimates import Estimate, slope_over_units, t_estimate


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


def chance_corrected(
    agreement: ArrayLike, first: ArrayLike, second: ArrayLike, same_wrong: ArrayLike = 0.0
) -> NDArray[np.float64]:
    """Agreement of two models beyond what their accuracies alone give, 1 for complete agreement.

    ``kappa = (agreement - c) / (1 - c)`` with ``c = a b + (1 - a)(1 - b) w``: both right by chance, or both wrong and
    the same (Cohen 1960, Educ Psychol Meas 20:37; Geirhos et al. 2020, arXiv 2006.16736, equation 1, where ``w`` is 1).
    Raw agreement rises with accuracy, so that it goes with the gain whatever the student took from its teacher.

    Args:
        agreement: share of items with the same answer, any shape.
        first: accuracy of one model, a fraction, same shape.
        second: accuracy of the other, same shape.
        same_wrong: ``w``, the chance that two wrong answers are equal: 1 / (options - 1), 0 for free answers.

    Returns:
        Kappa; NaN where chance alone gives complete agreement.

    Raises:
        StatisticsError: A value is outside [0, 1].

    Example:
        >>> float(chance_corrected(0.25, 0.5, 0.5))
        0.0
    """
    p, a, b, w = np.broadcast_arrays(
        *(np.asarray(values, dtype=np.float64) for values in (agreement, first, second, same_wrong))
    )
    for values in (p, a, b, w):
        if np.any((values < 0) | (values > 1)):
            raise StatisticsError("agreements and accuracies are fractions between 0 and 1")
    chance = a * b + (1 - a) * (1 - b) * w
    with np.errstate(divide="ignore", invalid="ignore"):
        kappa: NDArray[np.float64] = np.where(chance < 1, (p - chance) / (1 - chance), math.nan)
    return kappa

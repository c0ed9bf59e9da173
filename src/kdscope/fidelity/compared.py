"""The fidelity of two students to one teacher compared: a test, an interval, and non-inferiority within a margin."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.bootstrap import Estimate, combine, standard_error, standard_limits


@dataclass(frozen=True, slots=True)
class FidelityComparison:
    """A difference in fidelity of two students, these checkpoints on these items. NaN where it is undefined.

    Attributes:
        difference: the first minus the second, each minus its own control's where controls were given.
        standard_error: over items, of the joint bootstrap.
        low: lower limit of the interval.
        high: upper limit.
        p_value: two-sided, of no difference.
        margin: how much less faithful the first may be.
        p_noninferiority: one-sided, of the first being less faithful than the second by the margin or more.
    """

    difference: float
    standard_error: float
    low: float
    high: float
    p_value: float
    margin: float
    p_noninferiority: float


def compare_fidelity(
    first: Estimate,
    second: Estimate,
    *,
    margin: float,
    controls: tuple[Estimate, Estimate] | None = None,
    direction: int = 1,
    confidence: float = 0.95,
) -> FidelityComparison:
    """Compare one measure of two students against the same teacher, all of them resampled together.

    The difference is taken to be normal with the standard deviation of its bootstrap draws, so that test and interval
    agree. Non-inferiority: Piaggio et al. 2012, JAMA 308:2594. A control that both students share cancels; students of
    different bases have different ones. What it says is about these checkpoints: items are random, training runs not.

    Args:
        first: the measure of the first student.
        second: of the second, on the same items and draws.
        margin: of non-inferiority, in the units of the measure, above 0.
        controls: of the first's and of the second's control, on the same draws.
        direction: 1 where more likeness is larger, -1 where it is smaller; 0: no non-inferiority.
        confidence: level of the interval.

    Raises:
        StatisticsError: the margin is not above 0, the level is not within (0, 1), or draws differ in number.

    Example:
        >>> draws = np.random.default_rng(0).normal(size=(2, 4000)) / 50
        >>> one, other = (Estimate(v, v + d, np.array([v])) for v, d in zip((0.30, 0.28), draws))
        >>> found = compare_fidelity(one, other, margin=0.1)
        >>> round(found.difference, 2), found.p_value > 0.4, found.p_noninferiority < 0.001
        (0.02, True, True)
    """
    if not margin > 0:
        raise StatisticsError(f"the margin must be above 0, not {margin}")
    parts = (first, second, *(controls or ()))
    if len({part.draws.size for part in parts}) > 1:
        raise StatisticsError("estimates that are compared must be resampled together")
    found = combine(np.subtract, first, second)
    if controls is not None:
        found = combine(np.subtract, found, combine(np.subtract, *controls))
    error = standard_error(found)
    if not error > 0:
        return FidelityComparison(found.value, math.nan, math.nan, math.nan, math.nan, margin, math.nan)
    low, high = standard_limits(found, confidence)
    below = float(ndtr(-(direction * found.value + margin) / error)) if direction else math.nan
    p_value = 2 * float(ndtr(-abs(found.value) / error))
    return FidelityComparison(found.value, error, low, high, p_value, margin, below)

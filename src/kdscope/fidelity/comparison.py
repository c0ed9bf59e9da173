"""Comparisons of students: scores normalised between control and ceiling, and two students of one teacher."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.bootstrap import ResampledValue, combine, standard_error, standard_limits
from kdscope.fidelity.measures import Values
from kdscope.statistics.estimates import check_confidence

ABOVE_CEILING = "above the ceiling: more like this teacher than the teacher's other run is, as a copy of its answers is"
NOT_BEYOND = "the ceiling is not clearly beyond the control"


@dataclass(frozen=True, slots=True)
class Normalised:
    """A normalised score; NaN with the reason why there is none.

    Attributes:
        value: the score.
        low: lower limit.
        high: upper limit.
        reason: why it is NaN, or how to read a score above 1; else empty.
    """

    value: float
    low: float
    high: float
    reason: str


def normalise(
    found: ResampledValue,
    control: ResampledValue | None,
    ceiling: ResampledValue | None,
    direction: int,
    confidence: float = 0.95,
) -> Normalised:
    """``(x - control) / (ceiling - control)`` with Fieller's interval (Fieller 1954, JRSS B 16:175).

    Variances and the covariance of numerator and denominator are those of the joint item bootstrap. The score is
    undefined where the interval of the denominator includes 0, which is exactly where Fieller's interval is unbounded:
    so the interval does not have to hold in spite of the gate. docs/simulated_fidelity.md has the coverage of what is
    shown; bootstrap intervals of the quotient and stricter gates did worse.

    Args:
        found: the student's.
        control: of a student trained without the teacher, against the same teacher.
        ceiling: of the teacher's other run, or of the teacher itself, against the same teacher.
        direction: 1 where more likeness is larger, -1 where it is smaller, 0 where the measure has no better.
        confidence: level of the interval, and of the distance from control to ceiling.

    Raises:
        StatisticsError: the level is not within (0, 1).
    """
    check_confidence(confidence)
    reason = _undefined(found, control, ceiling, direction)
    if reason or control is None or ceiling is None:
        return Normalised(math.nan, math.nan, math.nan, reason)
    way, room = combine(np.subtract, found, control), combine(np.subtract, ceiling, control)
    limits = _fieller(way, room, confidence)
    if limits is None or not direction * room.value > 0:
        return Normalised(math.nan, math.nan, math.nan, NOT_BEYOND)
    score = way.value / room.value
    low, high = standard_limits(combine(np.subtract, found, ceiling), confidence)
    above = low > 0 if direction > 0 else high < 0
    return Normalised(score, *limits, ABOVE_CEILING if above else "")


def _undefined(
    found: ResampledValue, control: ResampledValue | None, ceiling: ResampledValue | None, direction: int
) -> str:
    """Why there is nothing to normalise; empty where there is."""
    if direction == 0:
        return "neither more nor less of it is more like the teacher"
    missing = [name for name, part in (("control", control), ("ceiling", ceiling)) if part is None]
    if missing:
        return f"no {' and no '.join(missing)}"
    parts = (("student", found), ("control", control), ("ceiling", ceiling))
    unknown = [name for name, part in parts if part is not None and not math.isfinite(part.value)]
    return f"undefined for the {' and the '.join(unknown)}" if unknown else ""


def _fieller(way: ResampledValue, room: ResampledValue, confidence: float) -> tuple[float, float] | None:
    """All t for which ``way - t room`` is not significantly different from 0; None where they are unbounded.

    NaN where the score does not vary at all.
    """
    moments = _covariance(way.draws, room.draws)
    if moments is None or abs(room.value) <= 1e-12:
        return None
    squared = float(ndtri((1 + confidence) / 2)) ** 2
    a = room.value**2 - squared * moments[1, 1]
    if a <= 0:
        return None
    b = way.value * room.value - squared * moments[0, 1]
    c = way.value**2 - squared * moments[0, 0]
    score = way.value / room.value
    varies = np.array([1.0, -score]) @ moments @ np.array([1.0, -score])
    if varies <= 1e-18 * room.value**2:
        return math.nan, math.nan
    half = math.sqrt(max(0.0, b * b - a * c)) / a
    return b / a - half, b / a + half


def _covariance(first: Values, second: Values) -> Values | None:
    """Of the draws in which both are defined, shape [2, 2]; None where there are fewer than two."""
    known = np.isfinite(first) & np.isfinite(second)
    if np.count_nonzero(known) < 2:
        return None
    moments: Values = np.cov(first[known], second[known])
    return moments


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
    first: ResampledValue,
    second: ResampledValue,
    *,
    margin: float,
    controls: tuple[ResampledValue, ResampledValue] | None = None,
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
        >>> one, other = (ResampledValue(v, v + d, np.array([v])) for v, d in zip((0.30, 0.28), draws))
        >>> found = compare_fidelity(one, other, margin=0.1)
        >>> round(found.difference, 2), found.p_value > 0.4, found.p_noninferiority < 0.001
        (0.02, True, True)
    """
    if not margin > 0:
        raise StatisticsError(f"the margin must be above 0, not {margin}")
    parts = (first, second, *(controls or ()))
    if len({part.draws.size for part in parts}) > 1:
        raise StatisticsError("estimates that are compared must be resampled together")
    difference = combine(np.subtract, first, second)
    if controls is not None:
        difference = combine(np.subtract, difference, combine(np.subtract, *controls))
    error = standard_error(difference)
    if not error > 0:
        return FidelityComparison(difference.value, math.nan, math.nan, math.nan, math.nan, margin, math.nan)
    low, high = standard_limits(difference, confidence)
    below = float(ndtr(-(direction * difference.value + margin) / error)) if direction else math.nan
    p_value = 2 * float(ndtr(-abs(difference.value) / error))
    return FidelityComparison(difference.value, error, low, high, p_value, margin, below)

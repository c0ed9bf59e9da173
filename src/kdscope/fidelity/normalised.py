"""A measure on the scale that matters: 0 is a student trained without the teacher, 1 is the teacher again."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kdscope.fidelity.bootstrap import Estimate, combine, limits
from kdscope.fidelity.measures import Values, ratio


@dataclass(frozen=True, slots=True)
class Normalised:
    """A normalised score; NaN with the reason why there is none.

    Attributes:
        value: the score.
        low: lower limit.
        high: upper limit.
        reason: why it is NaN; empty where it is not.
    """

    value: float
    low: float
    high: float
    reason: str


def normalise(
    found: Estimate,
    control: Estimate | None,
    ceiling: Estimate | None,
    direction: int,
    confidence: float = 0.95,
) -> Normalised:
    """``(x - control) / (ceiling - control)`` with the interval of `bootstrap.limits`, all three resampled together.

    It is undefined where the ceiling is not clearly beyond the control: the quotient of two numbers around 0 says
    nothing. Clearly means that the lower limit of their distance is above 0.

    Args:
        found: the student's.
        control: of a student trained without the teacher, against the same teacher.
        ceiling: of the teacher's other run, against the same teacher.
        direction: 1 where more likeness is larger, -1 where it is smaller, 0 where the measure has no better.
        confidence: level of the interval, and of the distance from control to ceiling.
    """
    reason = _undefined(found, control, ceiling, direction)
    if reason or control is None or ceiling is None:
        return Normalised(math.nan, math.nan, math.nan, reason)
    if not _clearly_beyond(control, ceiling, direction, confidence):
        return Normalised(math.nan, math.nan, math.nan, "the ceiling is not clearly beyond the control")
    score = combine(_score, found, control, ceiling)
    return Normalised(score.value, *limits(score, confidence), "")


def _undefined(found: Estimate, control: Estimate | None, ceiling: Estimate | None, direction: int) -> str:
    """Why there is nothing to normalise; empty where there is."""
    if direction == 0:
        return "neither more nor less of it is more like the teacher"
    missing = [name for name, part in (("control", control), ("ceiling", ceiling)) if part is None]
    if missing:
        return f"no {' and no '.join(missing)}"
    parts = (("student", found), ("control", control), ("ceiling", ceiling))
    unknown = [name for name, part in parts if part is not None and not math.isfinite(part.value)]
    return f"undefined for the {' and the '.join(unknown)}" if unknown else ""


def _clearly_beyond(control: Estimate, ceiling: Estimate, direction: int, confidence: float) -> bool:
    distance = combine(lambda upper, lower: direction * (upper - lower), ceiling, control)
    if not distance.value > 0:
        return False
    draws = distance.draws[np.isfinite(distance.draws)]
    return bool(draws.size) and float(np.quantile(draws, (1 - confidence) / 2)) > 1e-12


def _score(found: Values, control: Values, ceiling: Values) -> Values:
    return ratio(found - control, ceiling - control)

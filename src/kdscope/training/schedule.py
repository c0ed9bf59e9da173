"""The learning rate as a pure function of the step, so that resuming needs no scheduler state."""

from __future__ import annotations

import math


def warmup_length(asked: float, total_steps: int) -> int:
    """Warm-up in steps; a number below 1 is a share of all steps, rounded up (as in transformers)."""
    return math.ceil(asked * total_steps) if asked < 1 else int(asked)


def learning_rate_at(step: int, *, peak: float, schedule: str, warmup_steps: int, total_steps: int) -> float:
    """Learning rate of optimiser step `step` (from 0): linear warm-up, then linear, cosine or constant.

    The same values as transformers' schedules of those names.
    """
    if step < warmup_steps:
        return peak * step / max(1, warmup_steps)
    if schedule == "constant":
        return peak
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    remaining = 1.0 - progress if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))
    return peak * max(0.0, remaining)

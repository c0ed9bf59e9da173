"""Which step's weights a model keeps: a function of the training log, so that resuming needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

VALIDATION_LOSS, VALIDATION_ACCURACY = "validation_loss", "validation_accuracy"
Log = Sequence[Mapping[str, Any]]


def kept_step(rule: str, log: Log) -> int | None:
    """The step that a rule keeps of those in the log; None where it compares what was not measured.

    Args:
        rule: last; best_accuracy: the highest validation accuracy, ties to the later step; best_loss: the lowest
            validation loss, ties to the earlier step.
        log: One row an optimiser step, with `step` and both measures (None where not measured).

    >>> kept_step("best_accuracy", [{"step": 1, "validation_accuracy": 0.5}, {"step": 2, "validation_accuracy": 0.5}])
    2
    """
    if rule == "last":
        return int(log[-1]["step"]) if log else None
    best_accuracy = rule == "best_accuracy"
    measured = VALIDATION_ACCURACY if best_accuracy else VALIDATION_LOSS
    found: int | None = None
    best = math.inf
    for row in log:
        value = row.get(measured)
        if value is None or not math.isfinite(value):
            continue
        score = -value if best_accuracy else value
        if score < best or (best_accuracy and score == best):
            found, best = int(row["step"]), score
    return found


def measured_at(step: int, measure: str, log: Log) -> float | None:
    """What validation measured at a step; None where it did not."""
    value = next((row.get(measure) for row in log if row["step"] == step), None)
    return None if value is None else float(value)

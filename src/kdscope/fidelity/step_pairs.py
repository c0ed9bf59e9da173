"""The steps that student and teacher take, item by item, ready to be paired, resampled and shuffled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.measures import Measure, Order, Pairing, Values, mean_measure, ratio
from kdscope.fidelity.step_measures import StepScores, compare_steps
from kdscope.fidelity.steps import Trace


def pair_steps(teacher: Sequence[Trace], student: Sequence[Trace]) -> Pairing:
    """The measures of `StepScores`, each over the items where at least one states an equation, and `step_ratio`.

    ``step_ratio`` is the student's number of equations over the teacher's, all items together: neither better nor
    worse, so it is never normalised.

    Raises:
        StatisticsError: There are no traces, or their numbers differ.
    """
    n = len(teacher)
    if n == 0 or n != len(student):
        raise StatisticsError(f"step fidelity needs as many student as teacher traces: {len(student)}, {n}")
    teacher_steps, student_steps = (
        np.array([len(t.equations) for t in side], np.float64) for side in (teacher, student)
    )

    def contributions(order: Order) -> Values:
        scores = np.array([compare_steps(t, student[i]) for t, i in zip(teacher, order, strict=True)], np.float64)
        counted = ~np.isnan(scores)
        means = np.stack([counted, np.where(counted, scores, 0.0)], axis=2).reshape(n, -1)
        return np.column_stack([means, counted[:, 0], teacher_steps, student_steps[order]])

    return Pairing(n, _MEASURES, contributions)


def _step_ratio(sums: Values) -> Values:
    return ratio(sums[..., 2], sums[..., 1])


_MEASURES = (
    *(mean_measure(name) for name in StepScores._fields),
    Measure("step_ratio", 3, _step_ratio),
)

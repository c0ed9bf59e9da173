"""Does the student take its teacher's steps? Likeness of the arithmetic that two traces state."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.steps import Trace, parse_trace

Label = TypeVar("Label")
_NOTHING = (math.nan,) * 6


class StepScores(NamedTuple):
    """Likeness of two traces, each from 0 to 1 and symmetric; 1 for a trace and itself, NaN where neither has a step.

    A trace without steps against one with steps scores 0.

    Attributes:
        step_count: the smaller number of equations over the larger.
        equation_f1: F1 of the multisets of equations: same result of the same arithmetic, up to the order of sums and
            products.
        value_f1: F1 of the multisets of stated results, final one included.
        operator_similarity: ``1 - d/max(m, n)``, ``d`` the Levenshtein distance of the operator sequences of lengths
            m and n.
        graph_f1: F1 of the edges of the quantity graphs, an edge being (operand, given or computed, result). Nodes are
            matched by value: Smatch (Cai & Knight 2013, P13-2131) without its search over node mappings.
        shape_f1: F1 of the multisets of Weisfeiler-Lehman labels of the quantity graphs, numbers left out: the same
            plan with other numbers scores 1. Deviation from the kernel of Shervashidze 2011: F1 of the label counts in
            place of their inner product.
    """

    step_count: float
    equation_f1: float
    value_f1: float
    operator_similarity: float
    graph_f1: float
    shape_f1: float


@dataclass(frozen=True, slots=True)
class StepFidelity:
    """Step likeness of a student to its teacher on the same items.

    Attributes:
        items: number of items.
        counted: items where at least one of the two states an equation; only these enter the means.
        teacher_steps: mean number of equations of the teacher, over all items.
        student_steps: the same of the student.
        step_ratio: the student's number of equations over the teacher's, all items together, above 1 for the wordier
            student; NaN without any of the teacher's.
        teacher_holds: fraction of the teacher's equations that are arithmetically right; NaN without equations.
        student_holds: the same of the student.
        means: `StepScores` averaged over the counted items; NaN if there are none.
        scores: the scores of every item, columns as in `StepScores`, NaN where not counted, shape [items, 6].
    """

    items: int
    counted: int
    teacher_steps: float
    student_steps: float
    step_ratio: float
    teacher_holds: float
    student_holds: float
    means: StepScores
    scores: NDArray[np.float64]


def step_fidelity(teacher_traces: Sequence[str | Trace], student_traces: Sequence[str | Trace]) -> StepFidelity:
    """Compare the steps of traces paired by position.

    Args:
        teacher_traces: the teacher's traces, texts or parsed ones, length n.
        student_traces: the student's traces of the same items, length n.

    Raises:
        StatisticsError: if there are no traces or the numbers differ.

    Example:
        >>> found = step_fidelity(["3 + 4 = 7, 7 * 2 = 14", "I do not know"], ["4 + 3 = 7", "Nor do I"])
        >>> found.counted, found.means.step_count, found.means.value_f1
        (1, 0.5, 0.6666666666666666)
    """
    if not teacher_traces or len(teacher_traces) != len(student_traces):
        raise StatisticsError(
            f"step fidelity needs as many student as teacher traces: {len(student_traces)}, {len(teacher_traces)}"
        )
    teachers, students = _parsed(teacher_traces), _parsed(student_traces)
    scores = np.array([compare_steps(t, s) for t, s in zip(teachers, students, strict=True)], dtype=np.float64)
    counted = scores[~np.isnan(scores[:, 0])]
    teacher_count, student_count = (sum(len(trace.equations) for trace in side) for side in (teachers, students))
    return StepFidelity(
        items=len(teachers),
        counted=len(counted),
        teacher_steps=teacher_count / len(teachers),
        student_steps=student_count / len(students),
        step_ratio=student_count / teacher_count if teacher_count else math.nan,
        teacher_holds=_holding(teachers),
        student_holds=_holding(students),
        means=StepScores(*(counted.mean(axis=0).tolist() if len(counted) else _NOTHING)),
        scores=scores,
    )


def compare_steps(teacher: Trace, student: Trace) -> StepScores:
    """The likeness of two parsed traces.

    >>> compare_steps(parse_trace("3 + 4 = 7, 7 * 2 = 14"), parse_trace("5 + 4 = 9, 9 * 2 = 18")).shape_f1
    1.0
    """
    steps = (len(teacher.equations), len(student.equations))
    if not any(steps):
        return StepScores(*_NOTHING)
    return StepScores(
        step_count=min(steps) / max(steps),
        equation_f1=_f1(teacher.keys, student.keys),
        value_f1=_f1(teacher.values, student.values),
        operator_similarity=_sequence_similarity(teacher.operators, student.operators),
        graph_f1=_f1(teacher.edges, student.edges),
        shape_f1=_f1(teacher.shapes, student.shapes),
    )


def _f1(teacher: Counter[Label], student: Counter[Label]) -> float:
    """``2 |T and S| / (|T| + |S|)`` of two multisets, not both empty."""
    shared = sum(min(count, student[label]) for label, count in teacher.items() if label in student)
    return 2 * shared / (teacher.total() + student.total())


def _sequence_similarity(teacher: str, student: str) -> float:
    longest = max(len(teacher), len(student))
    return 1 - _levenshtein(teacher, student) / longest


def _levenshtein(first: str, second: str) -> int:
    """Edit distance, a column of the table in one integer's bits (Hyyrö 2003, Nordic J Comput 10:29)."""
    if first == second:
        return 0
    if not first or not second:
        return len(first) + len(second)
    places: dict[str, int] = {}
    for place, sign in enumerate(first):
        places[sign] = places.get(sign, 0) | 1 << place
    every, last = (1 << len(first)) - 1, 1 << (len(first) - 1)
    higher, lower, distance = every, 0, len(first)  # vertical differences +1 and -1
    for sign in second:
        match = places.get(sign, 0) | lower
        diagonal = (((match & higher) + higher) ^ higher) | match
        right, left = lower | ~(diagonal | higher), higher & diagonal  # horizontal differences +1 and -1
        distance += bool(right & last) - bool(left & last)
        right, left = right << 1 | 1, left << 1
        higher, lower = (left | ~(diagonal | right)) & every, right & diagonal & every
    return distance


def _parsed(traces: Sequence[str | Trace]) -> list[Trace]:
    return [parse_trace(trace) if isinstance(trace, str) else trace for trace in traces]


def _holding(traces: Sequence[Trace]) -> float:
    holds = [equation.holds for trace in traces for equation in trace.equations]
    return sum(holds) / len(holds) if holds else math.nan

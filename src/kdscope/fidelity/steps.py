"""The steps of arithmetic that two traces state: equations, quantity graphs, and how alike they are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.equations import Equation, parse_equations
from kdscope.fidelity.measures import Measure, Order, Pairing, Values, mean_measure, ratio

Label = TypeVar("Label")
_GIVEN, _RELABELLINGS = 1, 2


@dataclass(frozen=True, slots=True)
class Trace:
    """A worked solution, parsed once and then compared with many.

    Attributes:
        equations: its equations in order.
        operators: all their operators, one character each, in order.
        keys: the equations, counted up to the order of their sums and products.
        values: the stated results, counted.
        edges: the edges of its quantity graph (operand, whether computed, result), counted.
        shapes: the labels of that graph's shape, counted.
    """

    equations: tuple[Equation, ...]
    operators: str
    keys: Counter[str]
    values: Counter[float]
    edges: Counter[tuple[float, bool, float]]
    shapes: Counter[int]


def parse_trace(text: str) -> Trace:
    """The steps a text states, as `parse_equations` reads them. Never raises; time linear in the text's length.

    >>> trace = parse_trace("She has 16 - 3 = <<16-3=13>>13 eggs and makes 13 x $2 = $26.")
    >>> [str(equation) for equation in trace.equations], trace.operators, list(trace.values)
    (['16-3=13', '13*2=26'], '-*', [13.0, 26.0])
    """
    equations = tuple(parse_equations(text))
    edges = quantity_edges(equations)
    return Trace(
        equations=equations,
        operators="".join(sign for equation in equations for sign in equation.operators),
        keys=Counter(equation.key for equation in equations),
        values=Counter(equation.result for equation in equations),
        edges=Counter((edge.value, edge.source is not None, equations[edge.target].result) for edge in edges),
        shapes=Counter(shape_labels(equations, edges)),
    )


class Edge(NamedTuple):
    """An operand of an equation: its value, and the earlier equation it is the result of; None for a given number."""

    source: int | None
    value: float
    target: int


def quantity_edges(equations: Sequence[Equation]) -> list[Edge]:
    """Edges of the directed acyclic graph with a node per equation's result and a leaf per given number.

    An operand belongs to the latest earlier equation whose stated result has its value; otherwise it is given. Values
    are compared as written: 26.7 is not the 26.67 it was rounded from.

    >>> [str(edge.source) for edge in quantity_edges(parse_equations("16 - 3 = 13, then 13 * 2 = 26"))]
    ['None', 'None', '0', 'None']
    """
    latest: dict[float, int] = {}
    edges = []
    for target, equation in enumerate(equations):
        edges += [Edge(latest.get(value), value, target) for value in equation.operands]
        latest[equation.result] = target
    return edges


def shape_labels(equations: Sequence[Equation], edges: Sequence[Edge]) -> list[int]:
    """Labels of the graph's shape: equal for isomorphic graphs, whatever the numbers.

    Weisfeiler-Lehman relabelling (Shervashidze 2011, JMLR 12:2539, algorithm 1) of the result nodes, rounds 0, 1 and 2:
    first a node is the operators of its equation, then these with the sorted labels of its operands, given ones alike.
    Labels are hashes of integers, which are the same in every process.
    """
    operands: list[list[int | None]] = [[] for _ in equations]
    for source, _, target in edges:
        operands[target].append(source)
    labels = own = [hash(tuple(sorted(map(ord, equation.operators)))) for equation in equations]
    every_label = list(own)
    for _ in range(_RELABELLINGS):
        before = labels
        labels = [
            hash((mine, *sorted(_GIVEN if source is None else before[source] for source in sources)))
            for mine, sources in zip(own, operands, strict=True)
        ]
        every_label += labels
    return every_label


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


def compare_steps(teacher: Trace, student: Trace) -> StepScores:
    """The likeness of two parsed traces.

    >>> compare_steps(parse_trace("3 + 4 = 7, 7 * 2 = 14"), parse_trace("5 + 4 = 9, 9 * 2 = 18")).shape_f1
    1.0
    """
    steps = (len(teacher.equations), len(student.equations))
    longest = max(len(teacher.operators), len(student.operators))
    if not any(steps):
        return StepScores(*[math.nan] * len(StepScores._fields))
    return StepScores(
        step_count=min(steps) / max(steps),
        equation_f1=_f1(teacher.keys, student.keys),
        value_f1=_f1(teacher.values, student.values),
        operator_similarity=1 - _levenshtein(teacher.operators, student.operators) / longest,
        graph_f1=_f1(teacher.edges, student.edges),
        shape_f1=_f1(teacher.shapes, student.shapes),
    )


def _f1(teacher: Counter[Label], student: Counter[Label]) -> float:
    """``2 |T and S| / (|T| + |S|)`` of two multisets, not both empty."""
    shared = sum(min(count, student[label]) for label, count in teacher.items() if label in student)
    return 2 * shared / (teacher.total() + student.total())


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


_MEASURES = (
    *(mean_measure(name) for name in StepScores._fields),
    Measure("step_ratio", 3, lambda sums: ratio(sums[..., 2], sums[..., 1])),
)

"""The graph of quantities behind a worked solution: which result was computed from which numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kdscope.fidelity.equations import Equation

_GIVEN = 1
_ROUNDS = 2


class Edge(NamedTuple):
    """An operand of an equation: its value, and the earlier equation it is the result of; None for a given number."""

    source: int | None
    value: float
    target: int


def quantity_edges(equations: Sequence[Equation]) -> list[Edge]:
    """Edges of the directed acyclic graph with a node per equation's result and a leaf per given number.

    An operand belongs to the latest earlier equation whose stated result has its value; otherwise it is given. Values
    are compared as written: 26.7 is not the 26.67 it was rounded from.

    >>> from kdscope.fidelity.equations import parse_equations
    >>> [str(edge.source) for edge in quantity_edges(parse_equations("16 - 3 = 13, then 13 * 2 = 26"))]
    ['None', 'None', '0', 'None']
    """
    latest: dict[float, int] = {}
    edges = []
    for target, equation in enumerate(equations):
        edges += [Edge(latest.get(value), value, target) for value in equation.operands]
        latest[equation.result] = target
    return edges


def edge_labels(equations: Sequence[Equation], edges: Sequence[Edge]) -> list[tuple[float, bool, float]]:
    """Every edge as (operand, whether it was computed, result): what graphs with equal values share."""
    return [(value, source is not None, equations[target].result) for source, value, target in edges]


def shape_labels(equations: Sequence[Equation], edges: Sequence[Edge]) -> list[int]:
    """Labels of the graph's shape: equal for isomorphic graphs, whatever the numbers.

    Weisfeiler-Lehman relabelling (Shervashidze 2011, JMLR 12:2539, algorithm 1) of the result nodes, rounds 0, 1 and 2:
    first a node is the operators of its equation, then these with the sorted labels of its operands, given ones alike.
    """
    operands: list[list[int | None]] = [[] for _ in equations]
    for source, _, target in edges:
        operands[target].append(source)
    labels = own = [_label(sorted(map(ord, equation.operators))) for equation in equations]
    found = list(own)
    for _ in range(_ROUNDS):
        before = labels
        labels = [
            _label([mine, *sorted(_GIVEN if source is None else before[source] for source in sources)])
            for mine, sources in zip(own, operands, strict=True)
        ]
        found += labels
    return found


def _label(parts: Sequence[int]) -> int:
    """A hash of integers: the same in every process."""
    return hash(tuple(parts))

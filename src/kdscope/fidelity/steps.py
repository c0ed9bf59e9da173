"""A reasoning trace read as the steps of arithmetic it states."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from kdscope.fidelity.equations import Equation, parse_equations
from kdscope.fidelity.quantity_graph import edge_labels, quantity_edges, shape_labels


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
        edges=Counter(edge_labels(equations, edges)),
        shapes=Counter(shape_labels(equations, edges)),
    )

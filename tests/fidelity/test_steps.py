"""Traces and their quantity graphs, worked by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.fidelity.equations import parse_equations
from kdscope.fidelity.quantity_graph import edge_labels, quantity_edges, shape_labels
from kdscope.fidelity.steps import parse_trace

DUCKS = "She has 16 - 3 - 4 = <<16-3-4=9>>9 eggs.\nShe makes 9 * 2 = $<<9*2=18>>18."


def graph(text):
    equations = parse_equations(text)
    edges = quantity_edges(equations)
    return equations, edges


def shapes(text):
    return Counter(shape_labels(*graph(text)))


def test_a_trace():
    trace = parse_trace(DUCKS)
    assert [str(equation) for equation in trace.equations] == ["16-3-4=9", "9*2=18"]
    assert trace.operators == "--*"
    assert trace.values == {9: 1, 18: 1}
    assert trace.edges == {(16, False, 9): 1, (3, False, 9): 1, (4, False, 9): 1, (9, True, 18): 1, (2, False, 18): 1}
    assert trace.keys.total() == 2
    assert trace.shapes.total() == 3 * 2


def test_a_trace_without_equations():
    trace = parse_trace("I do not know, maybe 5.")
    assert (trace.equations, trace.operators) == ((), "")
    assert not trace.keys
    assert not trace.values
    assert not trace.edges
    assert not trace.shapes


def test_what_is_counted_is_counted_twice():
    assert parse_trace("3 + 3 = 6. And 3 + 3 = 6.").edges == {(3, False, 6): 4}


def test_an_operand_comes_from_the_latest_result_before_it():
    _, edges = graph("2 * 5 = 10. 7 + 3 = 10. 10 - 4 = 6. 6 + 10 = 16.")
    assert [(edge.source, edge.value) for edge in edges[4:]] == [(1, 10), (None, 4), (2, 6), (1, 10)]


def test_no_equation_is_its_own_source_and_none_a_later_one():
    _, edges = graph("5 * 1 = 5. 5 * 1 = 5. 8 - 3 = 5.")
    assert [edge.source for edge in edges] == [None, None, 0, None, None, None]


def test_a_wrong_result_is_the_quantity_that_goes_on():
    equations, edges = graph("8 + 7 = 16. 16 * 2 = 32.")
    assert edge_labels(equations, edges)[2:] == [(16, True, 32), (2, False, 32)]


def test_a_rounded_number_is_a_given_one():
    _, edges = graph("80 / 3 = 26.67. 26.7 * 2 = 53.4.")
    assert edges[2].source is None


def test_equal_plans_have_equal_shapes_whatever_the_numbers():
    assert shapes(DUCKS) == shapes("20 - 5 - 1 = 14, and then 14 * 10 = 140")


def test_shapes_see_where_a_result_goes():
    chain = shapes("3 + 4 = 7. 7 + 1 = 8. 8 * 2 = 16.")
    star = shapes("3 + 4 = 7. 7 + 1 = 8. 7 * 2 = 14.")
    apart = shapes("3 + 4 = 7. 5 + 1 = 6. 9 * 2 = 18.")
    assert len({frozenset(labels.items()) for labels in (chain, star, apart)}) == 3


def test_shapes_see_the_operators():
    assert shapes("3 + 4 = 7") != shapes("7 - 3 = 4")


@given(st.integers(1, 10**6), st.lists(st.sampled_from("+*"), min_size=1, max_size=6), st.randoms())
@settings(deadline=None)
def test_shapes_forget_numbers_and_the_order_of_operands(scale, signs, random):
    """A chain of steps, each on the last result and a new number; again with other numbers, operands in any order."""
    first, second = [], []
    for step, sign in enumerate(signs):
        pair = [f"{1000 + step}" if step else "7", f"{step + 1}.5"]
        first.append(f"{sign.join(pair)}={1001 + step}")
        other = [f"{scale}.{1000 + step}1" if step else "3.25", f"0.{scale}{step}9"]
        random.shuffle(other)
        second.append(f"{sign.join(other)}={scale}.{1001 + step}1")
    assert shapes("\n".join(first)) == shapes("\n".join(second))


def test_a_graph_does_not_depend_on_the_text_around_it():
    other = "Start: 16 − 3 − 4 = 9\n\nThen $9 × 2 = $18 (in dollars)."
    expected = parse_trace(DUCKS)
    assert replace(parse_trace(other), equations=()) == replace(expected, equations=())

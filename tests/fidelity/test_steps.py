"""Steps of arithmetic: parsed traces, quantity graphs, their likeness by hand, and pairings of them."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.controls import shuffled_orders
from kdscope.fidelity.equations import parse_equations
from kdscope.fidelity.measures import columns, values_of
from kdscope.fidelity.steps import StepScores, compare_steps, pair_steps, parse_trace, quantity_edges, shape_labels

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
    _, edges = graph("8 + 7 = 16. 16 * 2 = 32.")
    assert [(edge.value, edge.source is not None) for edge in edges][2:] == [(16, True), (2, False)]
    assert list(parse_trace("8 + 7 = 16. 16 * 2 = 32.").edges)[2:] == [(16, True, 32), (2, False, 32)]


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


SENTENCES = ["3 + 4 = 7.", "7 * 2 = 14.", "14 - 5 = 9.", "2 * 7 = 14.", "10 / 4 = 2.5.", "3 + 4 = 8.", "Nobody knows."]
traces = st.lists(st.sampled_from(SENTENCES), max_size=8).map(" ".join)


def scores(teacher, student):
    return compare_steps(parse_trace(teacher), parse_trace(student))


def test_worked_by_hand():
    """Teacher + * -, student + *: shared are one equation, two results, the edges of the first equation."""
    teacher = "3 + 4 = 7. 7 * 2 = 14. 14 - 5 = 9."
    student = "4 + 3 = 7. 7 * 3 = 14."
    found = scores(teacher, student)
    assert found.step_count == pytest.approx(2 / 3)
    assert found.equation_f1 == pytest.approx(2 * 1 / (3 + 2))
    assert found.value_f1 == pytest.approx(2 * 2 / (3 + 2))
    assert found.operator_similarity == pytest.approx(1 - 1 / 3)
    assert found.graph_f1 == pytest.approx(2 * 3 / (6 + 4))  # 3 -> 7, 4 -> 7 and the computed 7 -> 14
    assert found.shape_f1 == pytest.approx(2 * 6 / (9 + 6))  # the first two steps look alike in all three rounds


def test_multisets_count_repetitions():
    found = scores("3 + 4 = 7. 3 + 4 = 7. 3 + 4 = 7.", "3 + 4 = 7.")
    assert found.equation_f1 == pytest.approx(2 * 1 / (3 + 1))


@given(traces)
@settings(deadline=None)
def test_a_trace_against_itself_is_perfect(trace):
    assume("=" in trace)
    assert scores(trace, trace) == StepScores(1, 1, 1, 1, 1, 1)


@given(traces, traces)
@settings(deadline=None)
def test_scores_are_symmetric_and_between_0_and_1(teacher, student):
    found, turned = scores(teacher, student), scores(student, teacher)
    assert found == pytest.approx(turned, nan_ok=True)
    assert all(math.isnan(score) or 0 <= score <= 1 for score in found)


@given(traces, traces)
@settings(deadline=None)
def test_all_scores_are_undefined_together(teacher, student):
    empty = "=" not in teacher + student
    assert [math.isnan(score) for score in scores(teacher, student)] == [empty] * 6


@pytest.mark.parametrize(("teacher", "student"), [("3 + 4 = 7", "no idea"), ("", "3 + 4 = 7")])
def test_steps_against_none_score_0(teacher, student):
    assert scores(teacher, student) == StepScores(0, 0, 0, 0, 0, 0)


@given(st.text("+-*/^", max_size=40), st.text("+-*/^", max_size=40))
@settings(deadline=None)
def test_operator_similarity_is_levenshteins(first, second):
    """Against the table of Wagner & Fischer 1974."""
    assume(first or second)
    row = list(range(len(second) + 1))
    for i, sign in enumerate(first, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(second, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (sign != other))
    expected = 1 - row[-1] / max(len(first), len(second))
    teacher, student = parse_trace("3 + 4 = 7"), parse_trace("3 + 4 = 7")
    found = compare_steps(replace(teacher, operators=first), replace(student, operators=second))
    assert found.operator_similarity == pytest.approx(expected)


def parsed(texts):
    return [parse_trace(text) for text in texts]


def step_fidelity(teacher, student):
    """The step measures of texts paired by position."""
    return values_of(pair_steps(parsed(teacher), parsed(student)))


def test_means_are_over_items_where_one_of_the_two_has_a_step():
    teacher = ["3 + 4 = 7", "3 + 4 = 7. 7 * 2 = 14.", "nothing", "5 - 1 = 3"]
    student = ["3 + 4 = 7", "3 + 4 = 8", "neither", "no"]
    found = step_fidelity(teacher, student)
    assert found["step_ratio"] == 2 / 4
    assert found["step_count"] == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert found["equation_f1"] == pytest.approx((1 + 0 + 0) / 3)


@given(st.lists(st.tuples(traces, traces), min_size=1, max_size=8), st.randoms())
@settings(deadline=None)
def test_the_order_of_items_changes_nothing(pairs, rng):
    mixed = rng.sample(pairs, len(pairs))
    one, other = (step_fidelity([t for t, _ in side], [s for _, s in side]) for side in (pairs, mixed))
    assert one == pytest.approx(other, nan_ok=True)


def test_more_of_the_teachers_steps_score_higher():
    """A student that takes each step of its teacher with probability p, else another: every overlap grows with p."""
    rng = random.Random(0)
    teacher = [
        [f"{rng.randint(2, 99)} {rng.choice('+-*/')} {i + 2} = {rng.randint(2, 999)}" for i in range(4)]
        for _ in range(150)
    ]
    other = [
        [f"{rng.randint(2, 99)} {rng.choice('+-*/')} {i + 2} = {rng.randint(2, 999)}" for i in range(4)]
        for _ in range(150)
    ]
    means = []
    for p in (0.1, 0.5, 0.9):
        student = [
            [t if rng.random() < p else o for t, o in zip(*pair, strict=True)]
            for pair in zip(teacher, other, strict=True)
        ]
        means.append(step_fidelity(["\n".join(t) for t in teacher], ["\n".join(s) for s in student]))
    for name in ("equation_f1", "value_f1", "operator_similarity", "graph_f1", "shape_f1"):
        low, middle, high = (mean[name] for mean in means)
        assert low < middle < high
    assert [mean["equation_f1"] for mean in means] == pytest.approx([0.1, 0.5, 0.9], abs=0.06)


def test_real_solutions_lie_above_their_shuffled_floor(shared_data):
    """OpenAI's GSM8K solutions, the 6B model as a student of the 175B: shuffled pairs share operators, .29, no more."""
    lines = (shared_data / "outputs" / "gsm8k_solutions.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    teacher, student = (
        [parse_trace(record[f"{size}_finetuning"]["solution"]) for record in records] for size in ("175b", "6b")
    )
    paired = values_of(pair_steps(teacher, student))
    orders = shuffled_orders([str(i) for i in range(len(teacher))], 5, seed=0)
    floors = [values_of(pair_steps(teacher, [student[i] for i in order])) for order in orders]
    floor = {name: np.mean([one[name] for one in floors]) for name in StepScores._fields}
    assert floor["operator_similarity"] == pytest.approx(0.29, abs=0.02)
    assert max(floor["equation_f1"], floor["value_f1"], floor["graph_f1"]) < 0.05
    assert all(paired[name] > floor[name] + 0.1 for name in floor)
    holds = [equation.holds for trace in teacher for equation in trace.equations]
    assert 0.98 < sum(holds) / len(holds) < 1


TEACHER = ["3 + 4 = 7, 7 * 2 = 14", "I do not know", "10 / 2 = 5", "6 * 6 = 36 and 36 - 1 = 35"]
STUDENT = ["4 + 3 = 7", "Nor do I", "I cannot say", "6 * 6 = 36, 36 - 1 = 35"]


def test_an_item_without_steps_does_not_enter() -> None:
    pairing = pair_steps(*([parse_trace(text) for text in side] for side in (TEACHER, STUDENT)))
    entered = [np.count_nonzero(pairing.paired()[:, cut.start]) for cut in columns(pairing.measures)]
    assert entered == [3] * len(pairing.measures)


def test_in_another_order_the_traces_meet_others() -> None:
    teacher, student = ([parse_trace(text) for text in side] for side in (TEACHER, STUDENT))
    order = np.array([3, 2, 0, 1])
    pairing = pair_steps(teacher, student)
    sums = pairing.contributions(order).sum(axis=0)
    expected = values_of(pair_steps(teacher, [student[i] for i in order]))
    for measure, cut in zip(pairing.measures, columns(pairing.measures), strict=True):
        value = float(measure.score(sums[cut]))
        assert value == pytest.approx(expected[measure.name]), measure.name


def test_without_any_step_nothing_is_defined() -> None:
    found = values_of(pair_steps([parse_trace("no")], [parse_trace("none")]))
    assert all(math.isnan(value) for value in found.values())


def test_steps_need_as_many_traces_of_both() -> None:
    with pytest.raises(StatisticsError):
        pair_steps([], [])
    with pytest.raises(StatisticsError):
        pair_steps([parse_trace("1 + 1 = 2")], [])

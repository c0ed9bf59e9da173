"""Step fidelity: worked by hand, at its limits, its identities, and on real solutions with their floors."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.controls import shuffled_orders
from kdscope.fidelity.step_measures import StepScores, compare_steps, step_fidelity
from kdscope.fidelity.steps import parse_trace

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


def test_means_and_counts():
    teacher = ["3 + 4 = 7", "3 + 4 = 7. 7 * 2 = 14.", "nothing", "5 - 1 = 3"]
    student = ["3 + 4 = 7", "3 + 4 = 8", "neither", "no"]
    found = step_fidelity(teacher, student)
    assert (found.items, found.counted) == (4, 3)
    assert (found.teacher_steps, found.student_steps, found.step_ratio) == (4 / 4, 2 / 4, 2 / 4)
    assert (found.teacher_holds, found.student_holds) == (3 / 4, 1 / 2)
    assert found.means.step_count == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert found.means.equation_f1 == pytest.approx((1 + 0 + 0) / 3)
    assert found.scores.shape == (4, 6)
    assert np.isnan(found.scores).all(axis=1).tolist() == [False, False, True, False]
    assert found.scores[1] == pytest.approx(scores(teacher[1], student[1]))


def test_nothing_to_count():
    found = step_fidelity(["no", "idea"], ["", "none"])
    assert (found.items, found.counted, found.teacher_steps) == (2, 0, 0)
    assert all(math.isnan(value) for value in (*found.means, found.step_ratio, found.teacher_holds))


@given(st.lists(st.tuples(traces, traces), min_size=1, max_size=8), st.randoms())
@settings(deadline=None)
def test_the_order_of_items_changes_nothing(pairs, rng):
    mixed = rng.sample(pairs, len(pairs))
    one, other = (step_fidelity([t for t, _ in side], [s for _, s in side]) for side in (pairs, mixed))
    assert one.means == pytest.approx(other.means, nan_ok=True)
    assert (one.counted, one.teacher_steps) == (other.counted, other.teacher_steps)


def test_parsed_traces_and_texts_give_the_same():
    teacher, student = ["3 + 4 = 7", "5 - 1 = 4"], ["4 + 3 = 7", "5 - 2 = 3"]
    parsed = step_fidelity([parse_trace(text) for text in teacher], [parse_trace(text) for text in student])
    assert parsed.means == step_fidelity(teacher, student).means


@pytest.mark.parametrize(("teacher", "student"), [([], []), (["3 + 4 = 7"], [])])
def test_traces_must_pair_up(teacher, student):
    with pytest.raises(StatisticsError):
        step_fidelity(teacher, student)


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
        means.append(step_fidelity(["\n".join(t) for t in teacher], ["\n".join(s) for s in student]).means)
    for name in ("equation_f1", "value_f1", "operator_similarity", "graph_f1", "shape_f1"):
        low, middle, high = (getattr(mean, name) for mean in means)
        assert low < middle < high
    assert [mean.equation_f1 for mean in means] == pytest.approx([0.1, 0.5, 0.9], abs=0.06)


def test_real_solutions_lie_above_their_shuffled_floor(shared_data):
    """OpenAI's GSM8K solutions, the 6B model as a student of the 175B: shuffled pairs share operators, .29, no more."""
    lines = (shared_data / "outputs" / "gsm8k_solutions.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    teacher, student = (
        [parse_trace(record[f"{size}_finetuning"]["solution"]) for record in records] for size in ("175b", "6b")
    )
    paired = step_fidelity(teacher, student)
    orders = shuffled_orders([str(i) for i in range(len(teacher))], 5, seed=0)
    floors = [step_fidelity(teacher, [student[i] for i in order]).means for order in orders]
    floor = StepScores(*np.mean(floors, axis=0))
    assert paired.counted == len(records)
    assert floor.operator_similarity == pytest.approx(0.29, abs=0.02)
    assert max(floor.equation_f1, floor.value_f1, floor.graph_f1) < 0.05
    assert all(above > below + 0.1 for above, below in zip(paired.means, floor, strict=True))
    assert 0.98 < paired.teacher_holds < 1

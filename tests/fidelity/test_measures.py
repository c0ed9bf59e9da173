"""Measures as sums over items: joined, restricted, and the same in any order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.agreement import encode_answers, pair_answers
from kdscope.fidelity.measures import (
    ItemMeasure,
    ItemResponse,
    Pairing,
    columns,
    joined,
    mean_measure,
    numbered_clusters,
    pair_responses,
    ratio,
    values_of,
    with_both_right,
)
from kdscope.results.measures import BOTH_RIGHT


def constant(values: list[float], name: str = "mean") -> Pairing:
    """A pairing whose only measure is the mean of these values, whatever the order."""
    rows = np.stack([np.ones(len(values)), values], axis=1)
    return Pairing(len(values), (mean_measure(name),), lambda order: rows[order])


def test_joined_measures_stand_side_by_side() -> None:
    both = joined([constant([1.0, 2.0, 6.0], "first"), constant([0.5, 0.5, 0.8], "second")])
    assert values_of(both) == {"first": 3.0, "second": pytest.approx(0.6)}
    assert columns(both.measures) == [slice(0, 2), slice(2, 4)]


@pytest.mark.parametrize("parts", [[], [constant([1.0]), constant([1.0, 2.0])]])
def test_other_numbers_of_items_are_refused(parts: list[Pairing]) -> None:
    with pytest.raises(StatisticsError, match="same number of items"):
        joined(parts)


@given(st.lists(st.tuples(st.floats(-5, 5), st.booleans(), st.booleans()), min_size=1, max_size=20))
def test_both_right_is_the_mean_over_those_items(items: list[tuple[float, bool, bool]]) -> None:
    values, teacher, student = (list(side) for side in zip(*items, strict=True))
    found = values_of(with_both_right(constant(values), teacher, student))
    chosen = [value for value, t, s in items if t and s]
    assert found["mean"] == pytest.approx(np.mean(values))
    expected = np.mean(chosen) if chosen else math.nan
    assert found["mean" + BOTH_RIGHT] == pytest.approx(expected, nan_ok=True)


def test_both_right_moves_with_the_student() -> None:
    """In another order it is the student's other answer that is right."""
    teacher, student = encode_answers([["a", "b", "c"], ["a", "x", "c"]])
    pairing = with_both_right(
        pair_answers(teacher, student, [True, False, False], [True, False, True]),
        [True, False, False],
        [True, False, True],
    )
    names = [measure.name for measure in pairing.measures]
    place = columns(pairing.measures)[names.index("agreement" + BOTH_RIGHT)]
    assert pairing.paired()[:, place].sum(axis=0).tolist() == [1, 1]
    assert pairing.contributions(np.array([2, 1, 0]))[:, place].sum(axis=0).tolist() == [1, 0]
    assert pairing.contributions(np.array([1, 0, 2]))[:, place].sum(axis=0).tolist() == [0, 0]


def test_a_ratio_over_nothing_is_nan() -> None:
    assert ratio([1.0, 0.0, 3.0], [2.0, 0.0, 0.0]).tolist() == pytest.approx([0.5, math.nan, math.nan], nan_ok=True)


def test_clusters_are_numbered_by_name() -> None:
    assert numbered_clusters(["pears", "apples", "pears"]).tolist() == [1, 0, 1]


SAME_LENGTH = ItemMeasure("same_length", lambda t, s: float(len(t.text) == len(s.text)) if s.answer else math.nan)


def test_item_measure_is_the_mean_of_its_function_over_items_where_it_is_defined() -> None:
    teacher = [ItemResponse("1", "one", True), ItemResponse("2", "two", False), ItemResponse("3", "three", True)]
    student = [ItemResponse("1", "uno", True), ItemResponse(None, "who", False), ItemResponse("3", "tre", True)]
    pairing = pair_responses(teacher, student, [SAME_LENGTH, ItemMeasure("right", lambda t, s: s.correct)])
    assert values_of(pairing) == {"same_length": 1 / 2, "right": 2 / 3}
    turned = pairing.contributions(np.array([2, 0, 1])).sum(axis=0)
    assert turned.tolist() == [2.0, 2.0, 3.0, 2.0]


def test_responses_must_pair_up() -> None:
    with pytest.raises(StatisticsError):
        pair_responses([], [], [SAME_LENGTH])
    with pytest.raises(StatisticsError):
        pair_responses([ItemResponse("1", "one", True)], [], [SAME_LENGTH])

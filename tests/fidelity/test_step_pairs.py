"""Steps item by item: the same numbers as the comparison of whole sets of traces."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kdscope.core.errors import StatisticsError
from kdscope.fidelity import pair_steps, parse_trace, step_fidelity, values_of
from kdscope.fidelity.measures import columns

TEACHER = ["3 + 4 = 7, 7 * 2 = 14", "I do not know", "10 / 2 = 5", "6 * 6 = 36 and 36 - 1 = 35"]
STUDENT = ["4 + 3 = 7", "Nor do I", "I cannot say", "6 * 6 = 36, 36 - 1 = 35"]


def test_means_are_those_of_step_fidelity() -> None:
    expected = step_fidelity(TEACHER, STUDENT)
    found = values_of(pair_steps(*([parse_trace(text) for text in side] for side in (TEACHER, STUDENT))))
    assert found.pop("step_ratio") == pytest.approx(expected.step_ratio)
    assert found == pytest.approx(expected.means._asdict())


def test_an_item_without_steps_does_not_enter() -> None:
    pairing = pair_steps(*([parse_trace(text) for text in side] for side in (TEACHER, STUDENT)))
    entered = [np.count_nonzero(pairing.paired()[:, cut.start]) for cut in columns(pairing.measures)]
    assert entered == [3] * len(pairing.measures)


def test_in_another_order_the_traces_meet_others() -> None:
    teacher, student = ([parse_trace(text) for text in side] for side in (TEACHER, STUDENT))
    order = np.array([3, 2, 0, 1])
    pairing = pair_steps(teacher, student)
    sums = pairing.contributions(order).sum(axis=0)
    expected = step_fidelity(teacher, [student[i] for i in order])
    for measure, cut in zip(pairing.measures, columns(pairing.measures), strict=True):
        value = float(measure.score(sums[cut]))
        assert value == pytest.approx(expected.means._asdict().get(measure.name, expected.step_ratio)), measure.name


def test_without_any_step_nothing_is_defined() -> None:
    found = values_of(pair_steps([parse_trace("no")], [parse_trace("none")]))
    assert all(math.isnan(value) for value in found.values())


def test_traces_must_pair_up() -> None:
    with pytest.raises(StatisticsError):
        pair_steps([], [])
    with pytest.raises(StatisticsError):
        pair_steps([parse_trace("1 + 1 = 2")], [])

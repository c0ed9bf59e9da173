"""The shuffled floor against enumeration of all derangements."""

from __future__ import annotations

import itertools
import math
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdscope.errors import StatisticsError
from kdscope.fidelity import shuffled_floor


def agreement(teacher, student):
    return fmean(t == s for t, s in zip(teacher, student, strict=True))


@given(st.integers(2, 30), st.integers(0, 2**32))
def test_no_item_meets_itself(n, seed):
    items = list(range(n))
    assert shuffled_floor(agreement, items, items, seed, repeats=3) == 0.0


@given(st.lists(st.sampled_from("ABC"), min_size=2, max_size=20), st.integers(0, 100))
def test_every_pairing_is_a_permutation_and_leaves_the_teacher_alone(student, seed):
    teacher = [f"item {i}" for i in range(len(student))]
    seen = []

    def record(teacher_list, student_list):
        seen.append((teacher_list, student_list))
        return 0.0

    shuffled_floor(record, teacher, student, seed, repeats=4)
    assert len(seen) == 4
    assert all(pair[0] == teacher and sorted(pair[1]) == sorted(student) for pair in seen)


def test_the_mean_converges_to_that_of_all_derangements():
    teacher, student = list("AABBC"), list("ABBCA")
    orders = [o for o in itertools.permutations(range(5)) if all(i != place for place, i in enumerate(o))]
    assert len(orders) == 44
    exact = fmean(agreement(teacher, [student[i] for i in order]) for order in orders)
    assert shuffled_floor(agreement, teacher, student, seed=1, repeats=4000) == pytest.approx(exact, abs=0.015)


def test_the_seed_decides():
    teacher, student = list("ABCABCAB"), list("AACBBCBA")
    one = shuffled_floor(agreement, teacher, student, seed=3, repeats=5)
    assert one == shuffled_floor(agreement, teacher, student, seed=3, repeats=5)
    assert len({shuffled_floor(agreement, teacher, student, seed=seed, repeats=5) for seed in range(20)}) > 1


def test_a_single_item_has_no_floor():
    assert math.isnan(shuffled_floor(agreement, ["A"], ["A"], seed=0, repeats=2))


@pytest.mark.parametrize(("teacher", "student", "repeats"), [([], [], 1), ([1, 2], [1], 1), ([1, 2], [1, 2], 0)])
def test_what_has_no_pairs_is_refused(teacher, student, repeats):
    with pytest.raises(StatisticsError):
        shuffled_floor(agreement, teacher, student, seed=0, repeats=repeats)


def test_groups_keep_every_item_among_its_own() -> None:
    groups = [name for name in ("a", "b", "c") for _ in range(7)]
    met: list[tuple[str, str]] = []

    def measure(teacher: list[tuple[str, int]], student: list[tuple[str, int]]) -> float:
        met.extend((t[0], s[0]) for t, s in zip(teacher, student, strict=True))
        return float(any(t == s for t, s in zip(teacher, student, strict=True)))

    items = [(group, index) for index, group in enumerate(groups)]
    assert shuffled_floor(measure, items, items, 0, 20, groups) == 0.0
    assert all(t == s for t, s in met)
    assert math.isnan(shuffled_floor(measure, items[:8], items[:8], 0, 1, groups[:8])), "one item of 'b' has no other"

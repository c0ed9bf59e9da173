"""Contrasts within students against complete enumeration and statsmodels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from kdscope.core.errors import StatisticsError
from kdscope.statistics.blocks import blocked_permutation, teacher_effects


def brute_force(values):
    """F of every permutation within every row, by statsmodels' sums of squares written out."""

    def f(table):
        columns, rows = table.mean(axis=0), table.mean(axis=1, keepdims=True)
        residual = table - columns - rows + table.mean()
        between = len(table) * np.sum((columns - table.mean()) ** 2)
        return (len(table) - 1) * between / np.sum(residual**2)

    ways = itertools.product(*(list(itertools.permutations(row)) for row in values))
    found = np.array([f(np.array(way)) for way in ways])
    return f(values), float(np.mean(found >= f(values) * (1 - 1e-9)))


@pytest.mark.parametrize("shape", [(3, 3), (5, 2), (2, 4)])
def test_all_permutations(shape):
    values = np.random.default_rng(3).normal(size=shape)
    assert blocked_permutation(values) == pytest.approx(brute_force(values))


def test_f_is_that_of_two_way_anova():
    values = np.random.default_rng(1).normal(size=(5, 3))
    rows = pd.DataFrame([(i, j, values[i, j]) for i in range(5) for j in range(3)], columns=["b", "m", "y"])
    expected = anova_lm(ols("y ~ C(b) + C(m)", rows).fit()).loc["C(m)", "F"]
    assert blocked_permutation(values)[0] == pytest.approx(expected)


def test_drawn_permutations_are_close_to_all_of_them():
    values = np.random.default_rng(7).normal(size=(6, 3)) + np.array([0, 0.4, 0.8])
    exact, drawn = blocked_permutation(values)[1], blocked_permutation(values, draws=7000, seed=1)[1]
    assert drawn != exact
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 7000))


def test_what_blocks_differ_by_makes_no_difference():
    values = np.random.default_rng(2).normal(size=(4, 3))
    shifted = values + np.array([[100.0], [-50.0], [3.0], [0.0]])
    assert blocked_permutation(shifted) == pytest.approx(blocked_permutation(values))


def test_incomplete_blocks_are_left_out_and_nothing_to_vary_is_no_test():
    values = np.array([[1.0, 2], [3, 5], [2, math.nan]])
    assert blocked_permutation(values) == blocked_permutation(values[:2])
    assert all(map(math.isnan, blocked_permutation([[1.0, 1.0], [2.0, 2.0]])))
    assert all(map(math.isnan, blocked_permutation([[1.0, 2.0]])))


def test_teachers_are_compared_within_students():
    students, teachers = ["a", "a", "a", "b", "b", "b", "c", "c", "d", "e"], [*"xyzxyzyzwz"]
    effect, level = {"x": -2.0, "y": 0.5, "z": 1.5, "w": 9.0}, {"a": 50, "b": 60, "c": 70, "d": 10, "e": 80}
    values = [level[s] + effect[t] for s, t in zip(students, teachers, strict=True)]
    assert teacher_effects(values, students, teachers) == pytest.approx({"x": -2.0, "y": 0.5, "z": 1.5})


def test_teachers_without_common_students_cannot_be_compared():
    assert teacher_effects([1.0, 2.0], "ab", "xy") == {}


def test_no_matrix_is_refused():
    with pytest.raises(StatisticsError, match="matrix"):
        blocked_permutation([1.0, 2.0])

"""Means over tasks against survey formulas written out, and against Student's t where they must be it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from kdscope.errors import StatisticsError
from kdscope.statistics.grid import grid_effect
from kdscope.statistics.macro import gain_over_seeds, macro_mean


def test_one_task_is_students_t():
    values = np.array([0.0, 1.0, 1.0, 0.0, 1.0, -1.0])
    expected = stats.ttest_1samp(values, 0)
    found = macro_mean(values, np.zeros(6))
    assert (found.statistic, found.p_value) == pytest.approx((expected.statistic, expected.pvalue))


def test_two_tasks_of_different_size_are_welchs_test_of_a_sum():
    a, b = np.array([1.0, 0, 1, 1, 0, 1, 0]), np.array([0.0, 1, -1, 0])
    found = macro_mean([*a, *b], [0] * 7 + [1] * 4)
    expected = stats.ttest_ind(a, -b, equal_var=False)  # a minus (-b) is the sum: twice the mean
    assert found.value == pytest.approx((a.mean() + b.mean()) / 2)
    assert (found.statistic, found.df) == pytest.approx((expected.statistic, expected.df))


def test_copies_are_one_item():
    values, tasks = np.array([1.0, 0, 1, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 1])
    once = macro_mean(values, tasks)
    twice = macro_mean(np.repeat(values, 2), np.repeat(tasks, 2), np.repeat(np.arange(6), 2))
    assert (twice.value, twice.stderr, twice.df) == pytest.approx((once.value, once.stderr, once.df))


def test_items_that_were_not_measured_are_left_out():
    assert macro_mean([1.0, math.nan, 0.0, 1.0], [0, 0, 0, 0]).value == pytest.approx(2 / 3)


def test_seeds_and_items_are_a_crossed_layout():
    grid = np.random.default_rng(2).normal(size=(4, 9)) + np.array([[0.0], [2.0], [-1.0], [3.0]])
    found, expected = gain_over_seeds(grid, np.zeros(9)), grid_effect(grid).mean
    assert (found.value, found.stderr) == pytest.approx((expected.value, expected.stderr))
    assert found.df == pytest.approx(expected.df)


def test_runs_that_differ_widen_the_interval():
    generator = np.random.default_rng(0)
    values = generator.integers(-1, 2, (3, 200)) + np.array([[-0.3], [0.0], [0.3]])
    tasks = np.repeat([0, 1], 100)
    assert gain_over_seeds(values, tasks).stderr > 2 * macro_mean(values.mean(axis=0), tasks).stderr


def test_bad_input_is_refused():
    with pytest.raises(StatisticsError, match="task"):
        macro_mean([1.0, 2.0], [0])
    with pytest.raises(StatisticsError, match="two or more runs"):
        gain_over_seeds([[1.0, 2.0]], [0, 0])

"""Means over tasks against survey formulas written out, and against Student's t where they must be it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from kdscope.core.errors import StatisticsError
from kdscope.statistics.macro import macro_covariance, macro_mean


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


def test_macro_covariance_gives_the_error_of_every_contrast():
    generator = np.random.default_rng(2)
    values, tasks = generator.normal(size=(4, 60)), np.repeat([0, 1, 2], [10, 20, 30])
    clusters, weights = np.arange(60) // 2, generator.normal(size=4)
    for ids in (None, clusters):
        covariance = macro_covariance(values, tasks, ids)
        expected = macro_mean(weights @ values, tasks, ids).stderr ** 2
        assert weights @ covariance @ weights == pytest.approx(expected)


def test_bad_input_is_refused():
    with pytest.raises(StatisticsError, match="task"):
        macro_mean([1.0, 2.0], [0])

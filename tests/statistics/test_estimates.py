"""Estimates over units against scipy, and what they do when there is nothing to vary."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kdscope.core.errors import StatisticsError
from kdscope.statistics.estimates import mean_over_units, sign_flips, t_estimate
from kdscope.statistics.slopes import slope_over_units

NUMBERS = st.lists(st.integers(-1000, 1000).map(lambda i: i / 7), min_size=3, max_size=9, unique=True)


@settings(deadline=None)
@given(NUMBERS, st.sampled_from([0.8, 0.95, 0.99]))
def test_the_mean_is_scipys_t_test_and_interval(values, level):
    found, expected = mean_over_units(values, level), stats.ttest_1samp(values, 0.0)
    limits = expected.confidence_interval(level)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-9, abs=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((limits.low, limits.high), rel=1e-9)
    assert (found.n, found.df) == (len(values), len(values) - 1)


def test_the_slope_is_that_of_least_squares_by_hand():
    x, y = np.array([0.0, 1.0, 3.0, 4.0]), np.array([1.0, 2.0, 2.0, 5.0])
    slope = np.sum((x - 2) * (y - 2.5)) / 10.0
    residual = y - 2.5 - slope * (x - 2)
    error = math.sqrt(np.sum(residual**2) / 2 / 10)
    found = slope_over_units([*x, 9.0], [*y, math.nan])
    assert (found.value, found.stderr, found.df, found.n) == pytest.approx((slope, error, 2, 4))


@pytest.mark.parametrize("values", [[], [1.0], [0.1, 0.1, 0.1], [math.nan, 2.0]])
def test_without_variance_there_is_no_test(values):
    found = mean_over_units(values)
    assert math.isnan(found.p_value)
    assert math.isnan(found.low)


def test_a_constant_explains_nothing():
    assert math.isnan(slope_over_units([2.0, 2.0, 2.0], [1.0, 2.0, 3.0]).value)


def test_a_level_outside_its_range_is_refused():
    with pytest.raises(StatisticsError, match="confidence"):
        t_estimate(1.0, 1.0, 5, 6, 1.0)


def test_sign_flips_are_scipys_exact_permutation_test():
    for n in (2, 5, 9):
        x = np.random.default_rng(n).normal(0.5, 1, n)
        expected = stats.permutation_test((x,), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert sign_flips(x) == pytest.approx(expected.pvalue)
    assert math.isnan(sign_flips([1.0]))
    assert math.isnan(sign_flips(np.ones(20)))

"""Analysis of covariance: that of statsmodels without error, and the truth where the baseline has one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm

from kdscope.core.errors import StatisticsError
from kdscope.statistics.ancova import ancova_slope


def made(n, error_sd, effect=0.0, seed=0):
    """Size goes with the true level; what is measured of it has an error, distilled accuracy one of its own."""
    generator = np.random.default_rng(seed)
    size = generator.normal(0, 1, n)
    level = 50 + 4 * size + generator.normal(0, 3, n)
    measured = level + generator.normal(0, error_sd, n)
    return size, measured, level + effect * size + generator.normal(0, 1, n)


def test_without_error_it_is_ordinary():
    size, baseline, outcome = made(9, 2.0)
    expected = sm.OLS(outcome, sm.add_constant(np.column_stack([baseline, size]))).fit()
    found = ancova_slope(size, baseline, outcome)
    assert (found.value, found.stderr, found.p_value) == pytest.approx(
        (expected.params[2], expected.bse[2], expected.pvalues[2])
    )
    assert found.df == 6


def test_the_error_makes_size_look_effective_and_is_taken_out():
    size, baseline, outcome = made(20_000, 2.0)
    naive, found = ancova_slope(size, baseline, outcome), ancova_slope(size, baseline, outcome, 4.0)
    assert naive.value > 1.0
    assert naive.p_value < 1e-6
    assert abs(found.value) < 3 * found.stderr
    assert ancova_slope(*made(20_000, 2.0, effect=0.7), 4.0).value == pytest.approx(0.7, abs=0.15)


def test_its_error_is_the_spread_of_its_slopes():
    found = [ancova_slope(*made(60, 1.5, seed=seed), 1.5**2) for seed in range(600)]
    assert np.std([one.value for one in found]) == pytest.approx(np.mean([one.stderr for one in found]), rel=0.1)
    assert 0.92 < np.mean([one.low <= 0 <= one.high for one in found]) < 0.98


def test_missing_units_are_left_out():
    size, baseline, outcome = made(9, 2.0)
    outcome[3] = math.nan
    kept = np.arange(9) != 3
    assert ancova_slope(size, baseline, outcome) == ancova_slope(size[kept], baseline[kept], outcome[kept])


@pytest.mark.parametrize(
    ("size", "baseline", "error"),
    [([1, 2, 3], [1, 2, 4], 0.0), ([1, 1, 1, 1, 1], [1, 2, 4, 3, 5], 0.0), ([1, 2, 3, 4, 5], [2, 4, 6, 8, 10], 0.0),
     ([1, 2, 3, 4, 5], [1, 2, 4, 3, 5], 3.0)],
)  # fmt: skip
def test_no_slope_where_nothing_is_left_to_vary(size, baseline, error):
    assert math.isnan(ancova_slope(size, baseline, np.arange(len(size)) ** 1.5, error).value)


def test_a_negative_variance_is_refused():
    with pytest.raises(StatisticsError, match="not negative"):
        ancova_slope([1, 2], [1, 2], [1, 2], -1.0)

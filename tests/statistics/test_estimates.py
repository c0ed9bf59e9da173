"""Means and slopes over units, against scipy, statsmodels and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

from kdscope.core.errors import StatisticsError
from kdscope.protocols.fidelity_gains import chance_corrected
from kdscope.statistics.estimates import (
    ancova_slope,
    corrected_slope,
    instrument_slope,
    mean_over_units,
    sign_flips,
    slope_over_units,
    t_estimate,
)

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


def test_blomqvists_slope_by_hand():
    baseline, outcome = np.array([40.0, 50.0, 60.0, 70.0]), np.array([46.0, 54.0, 65.0, 73.0])
    naive = stats.linregress(baseline, outcome - baseline)
    k = 25.0 / baseline.var(ddof=1)
    found = corrected_slope(baseline, outcome, 25.0)
    assert found.value == pytest.approx((naive.slope + k) / (1 - k))
    assert found.stderr == pytest.approx(naive.stderr / (1 - k))
    # An analysis of covariance of the outcome has the same slope plus 1.
    assert stats.linregress(baseline, outcome).slope == pytest.approx(naive.slope + 1)


def test_of_many_students_the_correction_finds_the_truth_and_the_naive_slope_does_not():
    generator = np.random.default_rng(5)
    true = generator.normal(60, 6, 20_000)
    baseline = true + generator.normal(0, 3, true.size)
    outcome = true - 0.1 * (true - 60) + generator.normal(0, 3, true.size)
    assert stats.linregress(baseline, outcome - baseline).slope < -0.25
    assert corrected_slope(baseline, outcome, 9.0).value == pytest.approx(-0.1, abs=0.02)


def test_halves_of_items_find_the_truth_without_knowing_the_error():
    generator = np.random.default_rng(6)
    true = generator.normal(60, 6, 20_000)
    first, second, outcome = (true + generator.normal(0, 3, true.size) for _ in range(3))
    assert instrument_slope(first, second, outcome - 0.1 * (true - 60)).value == pytest.approx(-0.1, abs=0.02)


def test_halves_are_two_stage_least_squares():
    first, second, outcome = np.array([1.0, 2, 4, 7]), np.array([2.0, 1, 5, 8]), np.array([3.0, 3, 4, 9])
    expected = np.cov(second, outcome - first)[0, 1] / np.cov(second, first)[0, 1]
    assert instrument_slope(first, second, outcome).value == pytest.approx(expected)


def test_baselines_that_are_noise_answer_nothing():
    assert math.isnan(corrected_slope([50.0, 51.0, 52.0], [60.0, 61.0, 59.0], 4.0).value)
    assert math.isnan(instrument_slope([1.0, 2, 3], [3.0, 2, 1], [1.0, 2, 4]).value)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=30))
def test_with_one_wrong_answer_it_is_cohens_kappa(answers):
    first, second = np.array(answers).T
    assume(np.unique(first).size == 2 or np.unique(second).size == 2)
    found = chance_corrected((first == second).mean(), first.mean(), second.mean(), same_wrong=1.0)
    table = [[np.sum((first == a) & (second == b)) for b in (0, 1)] for a in (0, 1)]
    assert float(found) == pytest.approx(cohens_kappa(table, return_results=False), abs=1e-12)


def test_free_answers_agree_by_chance_only_where_both_are_right():
    assert chance_corrected([0.42, 1.0], [0.6, 0.6], [0.7, 0.7]) == pytest.approx([0.0, 1.0])
    assert math.isnan(float(chance_corrected(1.0, 1.0, 1.0)))


def test_bad_values_are_refused():
    with pytest.raises(StatisticsError, match="fractions"):
        chance_corrected(55.0, 0.5, 0.5)
    with pytest.raises(StatisticsError, match="variance"):
        corrected_slope([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], -1.0)

"""Run noise against statsmodels' analysis of variance, gains against the textbook's two-sample test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.power import TTestPower

from kdscope.core.errors import StatisticsError
from kdscope.statistics.run_noise import RunNoise, detectable_gain, gain_over_runs, largest_of, run_noise


def test_noise_is_the_residual_mean_square_of_two_way_anova():
    rows = pd.DataFrame(
        {
            "y": [50.0, 53, 49, 61, 66, 60, 70, 71, 55, 58],
            "student": list("aaabbbccab"),
            "method": list("xyzxyzxyxy"),
        }
    )
    expected = ols("y ~ C(student) + C(method)", rows).fit()
    found = run_noise(rows["y"], rows["student"].tolist(), rows["method"].tolist())
    assert found.df == expected.df_resid
    assert found.variance == pytest.approx(expected.mse_resid, rel=1e-10)


def test_a_single_student_is_the_two_sample_t_test():
    distilled, control = [50.0, 52.0, 57.0], [44.0, 49.0]
    pooled = run_noise([*distilled, *control], [*"aaa", *"bb"], "x" * 5)
    expected = stats.ttest_ind(distilled, control)
    found = gain_over_runs(distilled, control, pooled)
    assert (found.statistic, found.p_value) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-10)
    limits = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((limits.low, limits.high), rel=1e-10)


def test_the_shared_control_bounds_the_error_from_below():
    noise = RunNoise(4.0, 20)
    assert gain_over_runs(np.full(10_000, 60.0), [50.0], noise).stderr == pytest.approx(2.0, rel=1e-3)


def test_the_largest_gain_is_paid_for():
    noise = RunNoise(4.0, 25)
    alone, among = largest_of(1, 9.0, noise), largest_of(198, 9.0, noise)
    assert among.p_value == pytest.approx(198 * alone.p_value)
    assert among.low == pytest.approx(9.0 - stats.t.isf(0.025 / 198, 25) * np.sqrt(8.0))
    assert among.low < alone.low


@pytest.mark.parametrize(("n", "alpha"), [(3, 0.05), (6, 0.05), (6, 0.05 / 12), (31, 0.01)])
def test_the_detectable_gain_is_statsmodels_power_solved(n, alpha):
    effect = TTestPower().solve_power(nobs=n, alpha=alpha, power=0.8)
    if effect < 9.9:  # its search stops at 10
        assert detectable_gain(1.0, n - 1, alpha) == pytest.approx(effect * np.sqrt(n), rel=1e-3)


def test_no_repetition_no_noise():
    assert np.isnan(run_noise([1.0, 2.0], "ab", "xx").variance)
    assert np.isnan(gain_over_runs([1.0], [2.0], run_noise([1.0, 2.0], "ab", "xx")).p_value)


def test_bad_runs_are_refused():
    with pytest.raises(StatisticsError, match="every run"):
        run_noise([1.0, np.nan], "ab", "xy")
    with pytest.raises(StatisticsError, match="control"):
        gain_over_runs([1.0], [], RunNoise(1.0, 3))
    with pytest.raises(StatisticsError, match="largest"):
        largest_of(0, 1.0, RunNoise(1.0, 3))

"""Effect sizes and equivalence, against scipy and statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq
from statsmodels.stats.weightstats import DescrStatsW

from kdscope.core.errors import StatisticsError
from kdscope.statistics.effects import (
    cliffs_delta,
    hedges_g,
    matched_odds_ratio,
    noninferiority_of_estimate,
    tost_of_items,
    tost_of_units,
)
from kdscope.statistics.estimates import mean_over_units
from kdscope.statistics.paired import tango_interval


@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_noninferiority_is_the_one_sided_t_test_of_scipy(margin):
    gains = np.array([1.0, -0.5, 0.8, 0.2, 1.4])
    found = noninferiority_of_estimate(mean_over_units(gains), margin)
    assert found.p_value == pytest.approx(stats.ttest_1samp(gains, -margin, alternative="greater").pvalue)


def test_hedges_g_by_hand_and_its_limits_by_the_noncentral_t():
    gains = np.array([1.0, 2.0, 4.0, 0.5, 3.0, 2.5])
    found = hedges_g(gains)
    correction = math.gamma(2.5) / (math.sqrt(2.5) * math.gamma(2.0))
    assert found.value == pytest.approx(correction * gains.mean() / gains.std(ddof=1))
    statistic = stats.ttest_1samp(gains, 0).statistic
    for limit, tail in ((found.low, 0.025), (found.high, 0.975)):
        assert stats.nct.sf(statistic, 5, limit * math.sqrt(6)) == pytest.approx(tail, abs=1e-6)
    assert (found.low > 0) == (stats.ttest_1samp(gains, 0).pvalue < 0.05)


def test_the_odds_ratio_excludes_one_where_the_exact_test_rejects():
    for b, c in ((20, 10), (21, 9), (22, 8), (5, 0), (6, 0), (0, 6)):
        found = matched_odds_ratio(b, c)
        assert (found.low > 1 or found.high < 1) == (stats.binomtest(b, b + c).pvalue < 0.05)
    assert matched_odds_ratio(3, 0).value == math.inf
    assert matched_odds_ratio(3, 0).high == math.inf
    limits = stats.binomtest(20, 30).proportion_ci()
    assert matched_odds_ratio(20, 10).low == pytest.approx(limits.low / (1 - limits.low))


def test_cliffs_delta_is_the_scaled_mann_whitney_count():
    x, y = np.array([3.0, 4.0, 5.0, 5.0, 1.0]), np.array([1.0, 2.0, 4.5, 5.0])
    found = cliffs_delta(x, y)
    assert found.value == pytest.approx(2 * stats.mannwhitneyu(x, y).statistic / 20 - 1)
    assert -1 < found.low < found.value < found.high < 1
    mirrored = cliffs_delta(y, x)
    assert (mirrored.value, mirrored.low, mirrored.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_its_error_and_degrees_of_freedom_are_brunner_and_munzels():
    generator = np.random.default_rng(3)
    x, y = generator.normal(0.6, 2, 12), generator.normal(0, 1, 20)
    found, expected = cliffs_delta(x, y), stats.brunnermunzel(y, x)
    df = brentq(lambda v: 2 * stats.t.sf(abs(expected.statistic), v) - expected.pvalue, 1.1, 1000)
    delta, reach = found.value, stats.t.isf(0.025, df) * found.value / expected.statistic
    denominator = 1 - delta**2 + reach**2
    half = reach * math.sqrt((1 - delta**2) ** 2 + reach**2) / denominator
    middle = (delta - delta**3) / denominator
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half), rel=1e-6)


def test_apart_altogether_has_no_limits():
    found = cliffs_delta([5.0, 6.0], [1.0, 2.0])
    assert found.value == 1
    assert math.isnan(found.low)


def test_nothing_to_measure_is_refused():
    with pytest.raises(StatisticsError, match="differ"):
        hedges_g([0.1, 0.1, 0.1])
    with pytest.raises(StatisticsError, match="discordant"):
        matched_odds_ratio(0, 0)
    with pytest.raises(StatisticsError, match="two values"):
        cliffs_delta([1.0], [1.0, 2.0])
    with pytest.raises(StatisticsError, match="finite"):
        hedges_g([1.0, math.inf])


@pytest.mark.parametrize("margin", [0.2, 0.5, 2.0])
def test_of_units_is_statsmodels(margin):
    differences = np.array([0.3, -0.1, 0.4, 0.2, -0.3, 0.5])
    p_value, _, _ = DescrStatsW(differences).ttost_mean(-margin, margin)
    found = tost_of_units(differences, margin)
    assert found.p_value == pytest.approx(p_value, rel=1e-9)
    assert found.equivalent == (p_value <= 0.05)
    assert found.equivalent == (-margin < found.low and found.high < margin)


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(50, 400), st.sampled_from([0.03, 0.08, 0.2]))
def test_of_items_equals_its_interval(b, c, concordant, margin):
    first = np.repeat([1, 0, 1], [b, c, concordant])
    second = np.repeat([0, 1, 1], [b, c, concordant])
    found = tost_of_items(first, second, margin)
    assert (found.low, found.high) == tango_interval(b, c, first.size, 0.9)
    if abs(found.p_value - 0.05) > 1e-6:
        assert found.equivalent == (-margin < found.low and found.high < margin)


def test_not_different_is_not_the_same():
    few = tost_of_items([1, 0, 1, 1], [1, 0, 0, 1], 0.05)
    assert not few.equivalent


@pytest.mark.parametrize(("margin", "alpha"), [(0.0, 0.05), (-1.0, 0.05), (0.1, 0.5)])
def test_bad_settings_are_refused(margin, alpha):
    with pytest.raises(StatisticsError, match="margin"):
        tost_of_units([1.0, 2.0], margin, alpha)


def test_bad_items_are_refused():
    with pytest.raises(StatisticsError, match="items"):
        tost_of_items([1, 0], [1, 2], 0.1)
    with pytest.raises(StatisticsError, match="items"):
        tost_of_items([1, 0], [1], 0.1)

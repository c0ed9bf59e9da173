"""Effect sizes against scipy's tests and noncentral distributions, and hand-worked values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

from kdscope.core.errors import StatisticsError
from kdscope.statistics.effects import cliffs_delta, hedges_g, matched_odds_ratio


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

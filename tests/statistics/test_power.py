"""Plans: what each comparison could see, before anything runs."""

from __future__ import annotations

import pytest
from statsmodels.stats.power import TTestPower

from kdscope.errors import StatisticsError
from kdscope.statistics.mcnemar import detectable_difference
from kdscope.statistics.power import detectable_mean_gain, plan_comparisons


def test_a_plan_is_the_exact_power_at_holms_first_step():
    plan = plan_comparisons({"a": 500, "b": 1319, "c": 500}, discordance={"a": 0.2, "b": 0.3, "c": 0.2})
    expected = [100 * detectable_difference(n, p, 0.05 / 3) for n, p in ((500, 0.2), (1319, 0.3), (500, 0.2))]
    assert plan["detectable"].tolist() == pytest.approx(expected)
    assert plan["comparisons"].tolist() == [3, 3, 3]


def test_what_is_exploratory_is_not_adjusted():
    plan = plan_comparisons({"a": 500, "b": 500}, confirmatory=["a"]).set_index("name")
    assert plan.loc["a", "comparisons"] == plan.loc["b", "comparisons"] == 1
    assert plan_comparisons({"a": 500, "b": 500})["detectable"].iloc[0] > plan.loc["a", "detectable"]


def test_more_items_see_more():
    plan = plan_comparisons({"few": 200, "many": 2000})
    assert plan["detectable"].is_monotonic_decreasing


def test_a_mean_over_students_is_statsmodels_power():
    effect = TTestPower().solve_power(nobs=6, alpha=0.05, power=0.8)
    assert detectable_mean_gain(6, 2.0) == pytest.approx(2 * effect, rel=1e-3)


def test_what_is_missing_is_named():
    with pytest.raises(StatisticsError, match="b"):
        plan_comparisons({"a": 10, "b": 10}, discordance={"a": 0.2})
    with pytest.raises(StatisticsError, match="two"):
        detectable_mean_gain(1, 2.0)

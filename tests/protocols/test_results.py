"""Effect sizes beside the tests: those of their functions on what the tests are about."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kdscope.protocols.published import load_published
from kdscope.protocols.results import effect_of_pair, effects_over_students
from kdscope.protocols.rigorous import rigorous_protocol
from kdscope.protocols.sentences import sentence
from kdscope.statistics.effects import cliffs_delta, hedges_g, matched_odds_ratio


def test_students():
    distilled, control = [40.0, 52, math.nan, 61], [35.0, 51, 50, 57]
    g, delta = effects_over_students("math", "Average", distilled, control)
    assert (g.test, g.estimate, g.low) == ("hedges_g", hedges_g([5, 1, 4]).value, hedges_g([5, 1, 4]).low)
    assert delta.estimate == cliffs_delta([40, 52, 61], [35, 51, 57]).value
    assert (g.n, g.role, math.isnan(g.p_value)) == (3, "detail", True)
    assert [row.test for row in effects_over_students("d", "t", [3.0, 4.0], [1.0, 2.0])] == ["cliffs_delta"]
    assert list(effects_over_students("d", "t", [3.0], [1.0])) == []


def test_pairs():
    first, second = np.array([1, 1, 1, 0, 1, np.nan]), np.array([0, 0, 1, 1, 1, 1.0])
    (row,) = effect_of_pair("d", "t", "gkd at 1, T to S", first, second)
    expected = matched_odds_ratio(2, 1)
    assert (row.estimate, row.low, row.high, row.n) == (2.0, expected.low, expected.high, 5)
    assert sentence(row) == (
        f"GKD at 1, T to S: right where SFT is wrong 2.00 times as often as the reverse (matched odds ratio, 95% CI "
        f"{expected.low:.2f} to {expected.high:.2f}, over 5 items) (d, t)."
    )
    assert list(effect_of_pair("d", "t", "g", first, first)) == []
    assert list(effect_of_pair("d", "t", "g", first / 2, second)) == []
    (certain,) = effect_of_pair("d", "t", "g", np.ones(3), np.zeros(3))
    assert "infinite times" in sentence(certain)


def test_those_of_the_published_study_are_said():
    found = rigorous_protocol(load_published())
    rows = found[found["hypothesis"] == "effect_size"]
    assert rows.groupby("domain")["test"].agg(list).tolist() == [["hedges_g", "cliffs_delta"]] * 2
    assert rows["p_adjusted"].isna().all()
    math_gain = found[(found["hypothesis"] == "H1") & (found["group"] == "all") & (found["task"] == "Average")]
    row = math_gain[(math_gain["domain"] == "math") & (math_gain["role"] == "exploratory")].iloc[0]
    # g is the t statistic over the root of the number of students, times Hedges' correction for 5 degrees of freedom.
    correction = math.gamma(2.5) / (math.sqrt(2.5) * math.gamma(2.0))
    g = rows[(rows["domain"] == "math") & (rows["test"] == "hedges_g")].iloc[0]
    assert g["estimate"] == pytest.approx(correction * row["statistic"] / math.sqrt(6))
    assert sentence(g.to_dict()).startswith(f"The mean gain over SFT is {g['estimate']:.2f} standard deviations")

"""Equivalence against statsmodels, and the one rule: equivalent where the 90% interval lies inside the margins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.weightstats import DescrStatsW

from kdscope.core.errors import StatisticsError
from kdscope.statistics.equivalence import tost_of_items, tost_of_units
from kdscope.statistics.paired import tango_interval


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

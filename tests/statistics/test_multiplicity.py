"""Holm's correction against the closed testing procedure it abbreviates; both corrections against statsmodels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from kdscope.core.errors import StatisticsError
from kdscope.statistics.multiplicity import benjamini_yekutieli, holm


def closed_bonferroni(p):
    """A hypothesis is rejected if Bonferroni rejects every intersection that contains it."""
    indices = range(len(p))
    subsets = [s for size in range(1, len(p) + 1) for s in itertools.combinations(indices, size)]
    return [max(min(1.0, len(s) * min(p[j] for j in s)) for s in subsets if i in s) for i in indices]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_holm_is_closed_bonferroni(p):
    assert holm(p) == pytest.approx(closed_bonferroni(p), rel=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
@settings(max_examples=10, deadline=None)  # statsmodels collects garbage at every call, a tenth of a second each
def test_both_are_those_of_statsmodels(p):
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], rel=1e-12)
    assert benjamini_yekutieli(p) == pytest.approx(multipletests(p, method="fdr_by")[1], rel=1e-12)


def test_a_screen_leaves_out_what_was_not_tested():
    adjusted = benjamini_yekutieli([0.01, math.nan, 0.04])
    assert adjusted[[0, 2]] == pytest.approx([0.03, 0.06])
    assert np.isnan(adjusted[1])
    assert benjamini_yekutieli([]).size == 0


def test_tests_that_could_not_be_made_do_not_count():
    adjusted = holm([0.01, math.nan, 0.04])
    assert adjusted[[0, 2]] == pytest.approx([0.02, 0.04])
    assert np.isnan(adjusted[1])


def test_empty_family():
    assert holm([]).size == 0
    assert np.isnan(holm([math.nan])).all()


@pytest.mark.parametrize("p", [[0.5, 1.2], [-0.1], [[0.1, 0.2]]])
def test_what_is_no_p_value_is_refused(p):
    for adjust in (holm, benjamini_yekutieli):
        with pytest.raises(StatisticsError):
            adjust(p)

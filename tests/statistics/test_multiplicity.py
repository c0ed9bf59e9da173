"""Corrections for many tests against statsmodels and full enumeration, and the best of several settings."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from kdscope.core.errors import StatisticsError
from kdscope.statistics.multiplicity import benjamini_yekutieli, holm, max_t, select_then_test
from kdscope.statistics.paired import sign_flip_p_value


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


def step_down(table):
    """The algorithm on all sign vectors, one column and one vector at a time."""
    scale = np.sqrt((table**2).sum(axis=0))
    observed = np.abs(table.sum(axis=0)) / scale
    order = np.argsort(-observed)
    flips = np.array(list(itertools.product((-1, 1), repeat=len(table))))
    result, running = np.empty(len(order)), 0.0
    for rank, column in enumerate(order):
        left = order[rank:]
        largest = np.array([max(abs(signs @ table[:, j]) / scale[j] for j in left) for signs in flips])
        running = max(running, float(np.mean(largest >= observed[column] * (1 - 1e-9))))
        result[column] = running
    return result


def test_all_sign_vectors():
    table = np.random.default_rng(4).normal(size=(8, 3)) + np.array([0.9, 0.3, 0.0])
    draws = 40_000
    found, expected = max_t(table, draws=draws, seed=1), step_down(table)
    assert found == pytest.approx(expected, abs=4 * np.sqrt(0.25 / draws) + 1 / draws)
    assert list(np.argsort(found)) == list(np.argsort(expected))


def test_one_comparison_is_the_sign_flip_test():
    differences = np.random.default_rng(0).integers(-1, 2, 60)
    found = max_t(differences[:, None], draws=20_000)[0]
    assert found == pytest.approx(sign_flip_p_value(differences), abs=0.015)


def test_copies_of_a_comparison_cost_nothing_unlike_under_holm():
    column = np.random.default_rng(3).normal(0.35, 1, 50)
    one = max_t(column[:, None], draws=9999)[0]
    many = max_t(np.repeat(column[:, None], 20, axis=1), draws=9999)
    assert many == pytest.approx([one] * 20, abs=0.01)
    assert holm([one] * 20)[0] == pytest.approx(min(1.0, 20 * one))


def test_copies_of_items_count_once_as_clusters():
    table = np.random.default_rng(8).normal(0.3, 1, (40, 2))
    doubled = np.repeat(table, 2, axis=0)
    ids = np.repeat(np.arange(40), 2).tolist()
    assert max_t(doubled, ids, seed=2) == pytest.approx(max_t(table, seed=2))
    assert max_t(doubled, seed=2)[0] < max_t(table, seed=2)[0]


def test_columns_are_on_their_own_items():
    table = np.full((30, 2), np.nan)
    table[:15, 0], table[15:, 1] = 1.0, 0.0
    found = max_t(table, draws=999)
    assert found[0] < 0.01
    assert found[1] == 1.0


def test_the_family_wise_error_on_a_shared_control():
    generator, rejected, studies = np.random.default_rng(12), 0, 400
    for study in range(studies):
        control = generator.normal(size=60)
        table = generator.normal(size=(60, 6)) - control[:, None]
        rejected += bool(max_t(table, draws=199, seed=study).min() <= 0.05)
    # Three standard errors of 400 simulations above 5%.
    assert rejected / studies <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)
    assert rejected > 0


@pytest.mark.parametrize(
    ("table", "clusters"), [([1.0, 2.0], None), ([[np.inf]], None), ([[1.0], [2.0]], ["a"]), (np.empty((0, 2)), None)]
)
def test_bad_tables_are_refused(table, clusters):
    with pytest.raises(StatisticsError):
        max_t(table, clusters)


def test_one_setting_is_a_paired_t_test():
    generator = np.random.default_rng(1)
    distilled, control = generator.integers(0, 2, (2, 80))
    choosing = np.arange(80) < 20
    expected = stats.ttest_rel(distilled[20:], control[20:])
    found = select_then_test(distilled, control, validation=choosing)
    assert (found.gain.statistic, found.gain.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.maximum == pytest.approx(distilled.mean() - control.mean())


def test_the_choice_is_judged_on_other_items():
    # Setting 0 is right on the first half only, setting 1 on the second: whichever half decides, the choice fails.
    distilled = np.array([[1] * 10 + [0] * 10, [0] * 10 + [1] * 10])
    found = select_then_test(distilled, np.zeros(20), validation=np.arange(20) < 10)
    assert (found.gain.value, found.chosen, found.choosing) == (0.0, 0, 10)
    assert found.maximum == 0.5


def test_copies_of_an_item_stay_together():
    values, ids = np.repeat(np.eye(12), 2, axis=1), np.repeat(np.arange(12), 2).tolist()
    found = select_then_test(values, np.zeros(24), ids, share=0.25)
    assert found.choosing == 6
    assert found.gain.n == 9


def test_a_setting_that_is_better_is_found():
    generator = np.random.default_rng(2)
    settings = (generator.random((3, 400)) < np.array([[0.4], [0.7], [0.4]])).astype(int)
    found = select_then_test(settings, generator.integers(0, 2, 400))
    assert found.chosen == 1
    assert found.gain.low > 0


def test_noise_alone_concludes_nothing_though_its_maximum_would():
    selected = maximum = 0
    for study in range(200):
        generator = np.random.default_rng([7, study])
        settings, control = generator.integers(0, 2, (9, 200)), generator.integers(0, 2, 200)
        selected += select_then_test(settings, control, seed=study).gain.p_value <= 0.05
        best = settings[settings.sum(axis=1).argmax()]
        maximum += stats.ttest_rel(best, control).pvalue <= 0.05
    assert selected <= 10 + 3 * np.sqrt(200 * 0.05 * 0.95)
    assert maximum > 19


def test_the_control_may_choose_as_well():
    generator = np.random.default_rng(3)
    values = generator.integers(0, 2, (4, 100))
    assert select_then_test(values, values).gain.value == 0.0


@pytest.mark.parametrize(
    ("distilled", "control", "settings"),
    [
        ([[1, 0]], [1], {}),
        ([[1, np.nan]], [1, 0], {}),
        ([[1, 0]], [1, 0], {"share": 1.0}),
        ([[1, 0]], [1, 0], {"clusters": ["a", "a"]}),
        ([[1, 0]], [1, 0], {"clusters": ["a"]}),
        ([[1, 0]], [1, 0], {"validation": [True, True]}),
        ([[1, 0]], [1, 0], {"validation": [True]}),
    ],
)
def test_bad_input_is_refused(distilled, control, settings):
    with pytest.raises(StatisticsError):
        select_then_test(distilled, control, **settings)

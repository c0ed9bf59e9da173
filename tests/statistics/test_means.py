"""Means over items and over tasks, against statsmodels and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from kdscope.core.errors import StatisticsError
from kdscope.statistics.means import (
    estimate_mean,
    estimate_share,
    limits_of_mean,
    macro_covariance,
    macro_mean,
    newcombe_difference,
)
from kdscope.statistics.paired import wilson_interval


def repeated(seed: int, clusters: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Values and ids of items that repeat one to four times, copies alike but not equal."""
    generator = np.random.default_rng(seed)
    ids = np.repeat(np.arange(clusters), generator.integers(1, 5, clusters))
    return generator.random(clusters)[ids] + 0.1 * generator.random(ids.size), ids


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=30).filter(lambda values: np.ptp(values) > 1e-3))
def test_without_clusters_it_is_students_interval(values: list[float]) -> None:
    found = estimate_mean(values, confidence=0.9)
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9, abs=1e-12)
    assert found.stderr == pytest.approx(stats.sem(values), rel=1e-9)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_with_clusters_it_is_the_interval_of_statsmodels(seed: int) -> None:
    values, ids = repeated(seed)
    fit = sm.OLS(values, np.ones(ids.size)).fit(cov_type="cluster", cov_kwds={"groups": ids}, use_t=True)
    found = estimate_mean(values, [f"question {i}" for i in ids])
    assert found.stderr == pytest.approx(float(fit.bse[0]), rel=1e-10)
    assert (found.low, found.high) == pytest.approx(tuple(fit.conf_int()[0]), rel=1e-10)
    assert (found.items, found.clusters) == (ids.size, 40)


@pytest.mark.parametrize(("values", "ids"), [([0.3], None), ([0.3, 0.4], ["q", "q"]), ([0.1, 0.1, 0.1], None)])
def test_where_nothing_varies_there_is_no_interval(values: list[float], ids: list[str] | None) -> None:
    found = estimate_mean(values, ids)
    assert found.mean == pytest.approx(np.mean(values))
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert math.isnan(found.stderr) == (len(set(ids or range(len(values)))) == 1)


@pytest.mark.parametrize(
    ("correct", "n", "limits"),
    # Newcombe 1998, Stat Med 17:857, Table I, method 3.
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_single_questions_give_wilsons_interval(correct: int, n: int, limits: tuple[float, float]) -> None:
    found = estimate_share([1] * correct + [0] * (n - correct), [str(i) for i in range(n)])
    assert (round(found.low, 4), round(found.high, 4)) == limits


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.integers(2, 5))
def test_exact_copies_count_once(correct: list[bool], copies: int) -> None:
    once = estimate_share(correct)
    copied = estimate_share(correct * copies, list(range(len(correct))) * copies)
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high), abs=1e-12)
    assert copied.clusters == once.items


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=30))
def test_repeats_never_narrow_the_interval(items: list[tuple[bool, int]]) -> None:
    correct, ids = zip(*items, strict=True)
    clustered, plain = estimate_share(correct, ids), estimate_share(correct)
    assert 0 <= clustered.low <= plain.low + 1e-12
    assert plain.high - 1e-12 <= clustered.high <= 1
    assert clustered.low - 1e-12 <= clustered.mean <= clustered.high + 1e-12


def test_the_design_effect_by_hand() -> None:
    # Clusters of sizes 2, 2, 1, 1 with sums 2, 0, 1, 0; mean 1/2, residuals 1, -1, 1/2, -1/2: squares add up to 5/2.
    # Independent items: 6 * 1/4 = 3/2. So 6 items count as 6 * (3/2) / (5/2) = 3.6.
    found = estimate_share([1, 1, 0, 0, 1, 0], ["a", "a", "b", "b", "c", "d"])
    assert (found.low, found.high) == pytest.approx(proportion_confint(1.8, 3.6, method="wilson"))


def test_coverage_with_copies_in_part_of_the_items() -> None:
    """As in MultiArith: a third of the questions occur twice and are answered alike."""
    generator = np.random.default_rng(0)
    ids = [*range(60), *range(20)]
    covered, believed = 0, 0
    for _ in range(400):
        right = generator.random(60) < 0.8
        correct = [bool(right[i]) for i in ids]
        found, plain = estimate_share(correct, ids), estimate_share(correct)
        covered += found.low <= 0.8 <= found.high
        believed += plain.low <= 0.8 <= plain.high
    assert 0.92 <= covered / 400 <= 0.98
    assert believed < covered


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "at least one item"),
        (([math.nan],), "finite"),
        (([1.0, 0.0], ["a"]), "one cluster id each"),
        (([1.0], None, 1.5), "between 0 and 1"),
    ],
)
def test_undefined_means_are_refused(arguments: tuple[object, ...], message: str) -> None:
    for estimate in (estimate_mean, estimate_share):
        with pytest.raises(StatisticsError, match=message):
            estimate(*arguments)  # type: ignore[arg-type]


def test_a_share_is_between_nothing_and_everything() -> None:
    with pytest.raises(StatisticsError, match="between 0 and 1"):
        estimate_share([0.5, 1.5])


def test_one_task_is_students_t():
    values = np.array([0.0, 1.0, 1.0, 0.0, 1.0, -1.0])
    expected = stats.ttest_1samp(values, 0)
    found = macro_mean(values, np.zeros(6))
    assert (found.statistic, found.p_value) == pytest.approx((expected.statistic, expected.pvalue))


def test_two_tasks_of_different_size_are_welchs_test_of_a_sum():
    a, b = np.array([1.0, 0, 1, 1, 0, 1, 0]), np.array([0.0, 1, -1, 0])
    found = macro_mean([*a, *b], [0] * 7 + [1] * 4)
    expected = stats.ttest_ind(a, -b, equal_var=False)  # a minus (-b) is the sum: twice the mean
    assert found.value == pytest.approx((a.mean() + b.mean()) / 2)
    assert (found.statistic, found.df) == pytest.approx((expected.statistic, expected.df))


def test_copies_are_one_item():
    values, tasks = np.array([1.0, 0, 1, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 1])
    once = macro_mean(values, tasks)
    twice = macro_mean(np.repeat(values, 2), np.repeat(tasks, 2), np.repeat(np.arange(6), 2))
    assert (twice.value, twice.stderr, twice.df) == pytest.approx((once.value, once.stderr, once.df))


def test_items_that_were_not_measured_are_left_out():
    assert macro_mean([1.0, math.nan, 0.0, 1.0], [0, 0, 0, 0]).value == pytest.approx(2 / 3)


def test_macro_covariance_gives_the_error_of_every_contrast():
    generator = np.random.default_rng(2)
    values, tasks = generator.normal(size=(4, 60)), np.repeat([0, 1, 2], [10, 20, 30])
    clusters, weights = np.arange(60) // 2, generator.normal(size=4)
    for ids in (None, clusters):
        covariance = macro_covariance(values, tasks, ids)
        expected = macro_mean(weights @ values, tasks, ids).stderr ** 2
        assert weights @ covariance @ weights == pytest.approx(expected)


def test_bad_input_is_refused():
    with pytest.raises(StatisticsError, match="task"):
        macro_mean([1.0, 2.0], [0])


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # Newcombe 1998, Stat Med 17:873, table II, method 10: 56/70 - 48/80, 9/10 - 3/10, 10/10 - 0/10.
        (((56, 70), (48, 80)), (0.0524, 0.3339)),
        (((9, 10), (3, 10)), (0.1705, 0.8090)),
        (((10, 10), (0, 10)), (0.6075, 1.0)),
    ],
)
def test_newcombe_difference_equals_the_published_table(counts, expected):
    shares = [(correct / items, *wilson_interval(correct, items)) for correct, items in counts]
    difference, low, high = newcombe_difference(*shares)
    assert difference == pytest.approx(shares[0][0] - shares[1][0])
    assert (low, high) == pytest.approx(expected, abs=1e-4)


def test_limits_of_a_mean_of_equal_intervals_shrink_with_the_square_root():
    low, high = limits_of_mean([0.5, 0.5, 0.5, 0.5], [0.4] * 4, [0.62] * 4, 0.5)
    assert (low, high) == pytest.approx((0.5 - 0.1 / 2, 0.5 + 0.12 / 2))

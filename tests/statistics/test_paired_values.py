"""Paired differences of values against scipy's tests, statsmodels and full enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kdscope.core.errors import StatisticsError
from kdscope.statistics.paired import compare_paired
from kdscope.statistics.paired_values import compare_paired_values


def two_models(seed: int, items: int = 60) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    base = generator.random(items)
    return 0.7 * base + 0.3 * generator.random(items), 0.7 * base + 0.25 * generator.random(items)


@pytest.mark.parametrize("seed", range(4))
def test_the_interval_is_that_of_the_paired_t_test(seed: int) -> None:
    first, second = two_models(seed)
    found = compare_paired_values(first, second, confidence=0.9)
    expected = stats.ttest_rel(first, second)
    low, high = expected.confidence_interval(0.9)
    assert found.difference == pytest.approx(first.mean() - second.mean())
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.difference / found.stderr == pytest.approx(expected.statistic)
    # Many items of moderate spread: the two tests agree within the noise of the draws.
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.02)


@pytest.mark.parametrize(("seed", "items"), [(0, 3), (1, 7), (2, 11)])
def test_few_items_are_enumerated_as_scipy_does(seed: int, items: int) -> None:
    first, second = two_models(seed, items)
    found = compare_paired_values(first, second)
    expected = stats.permutation_test((first - second,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert "(all)" in found.method


def test_many_items_are_drawn_as_scipy_draws_them() -> None:
    first, second = two_models(5, 40)
    found = compare_paired_values(first, second)
    expected = stats.permutation_test(
        (first - second,), np.mean, permutation_type="samples", n_resamples=9999, rng=np.random.default_rng(1)
    )
    spread = math.sqrt(expected.pvalue * (1 - expected.pvalue) / 1e4)
    assert found.p_value == pytest.approx(expected.pvalue, abs=6 * spread)
    assert "(10,000)" in found.method
    assert found.p_value * 10_000 == pytest.approx(round(found.p_value * 10_000))


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4)), min_size=1, max_size=12))
def test_whole_clusters_are_flipped(items: list[tuple[int, int]]) -> None:
    """Against every pattern of signs, one for each cluster."""
    differences, ids = np.array([d for d, _ in items]) / 10, [i for _, i in items]
    sums = [sum(d for d, i in zip(differences, ids, strict=True) if i == one) for one in dict.fromkeys(ids)]
    totals = np.array([np.dot(signs, sums) for signs in itertools.product((-1, 1), repeat=len(sums))])
    expected = np.mean(np.abs(totals) >= abs(sum(sums)) - 1e-9)
    found = compare_paired_values(differences, np.zeros(len(items)), ids)
    assert found.p_value == pytest.approx(expected)


def test_right_and_wrong_answers_give_mcnemars_p_value() -> None:
    first, second = np.array([1] * 9 + [0] * 3 + [1] * 20), np.array([0] * 9 + [1] * 3 + [1] * 20)
    assert compare_paired_values(first, second).p_value == pytest.approx(compare_paired(first, second).p_value)


def test_clusters_give_the_interval_of_statsmodels() -> None:
    generator = np.random.default_rng(4)
    ids = np.repeat(np.arange(30), generator.integers(1, 4, 30))
    first, second = generator.random(30)[ids], generator.random(ids.size)
    fit = sm.OLS(first - second, np.ones(ids.size)).fit(cov_type="cluster", cov_kwds={"groups": ids}, use_t=True)
    found = compare_paired_values(first, second, [f"q{i}" for i in ids])
    assert (found.low, found.high) == pytest.approx(tuple(fit.conf_int()[0]), rel=1e-10)
    assert (found.items, found.clusters) == (ids.size, 30)
    assert "cluster" in found.method


def test_copies_add_no_evidence() -> None:
    first, second = two_models(7, 10)
    once = compare_paired_values(first, second)
    copied = compare_paired_values(np.tile(first, 5), np.tile(second, 5), list(range(10)) * 5)
    assert copied.p_value == once.p_value
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))


@pytest.mark.parametrize("seed", [0, 3])
def test_swapping_the_models_mirrors_the_result(seed: int) -> None:
    first, second = two_models(seed, 25)
    one, other = compare_paired_values(first, second), compare_paired_values(second, first)
    assert (one.low, one.high, one.p_value) == pytest.approx((-other.high, -other.low, other.p_value))


def test_the_same_seed_gives_the_same_p_value_and_another_one_another() -> None:
    first, second = two_models(8, 30)
    values = {seed: compare_paired_values(first, second, seed=seed).p_value for seed in range(4)}
    assert values[0] == compare_paired_values(first, second).p_value
    assert len(set(values.values())) > 1


def test_the_level_holds_where_there_is_no_difference() -> None:
    generator = np.random.default_rng(2)
    rejected = 0
    for _ in range(200):
        skewed = generator.exponential(size=(2, 15)).round(1)
        rejected += compare_paired_values(*skewed, draws=199).p_value <= 0.05
    assert rejected / 200 <= 0.09


def test_equal_models() -> None:
    found = compare_paired_values([0.1, 0.5, 0.9], [0.1, 0.5, 0.9])
    assert (found.difference, found.p_value, found.stderr) == (0.0, 1.0, 0.0)
    assert math.isnan(found.low)


def test_one_cluster_is_one_observation() -> None:
    found = compare_paired_values([1.0, 0.9, 0.8], [0.0, 0.0, 0.0], ["q", "q", "q"])
    assert found.p_value == 1.0
    assert math.isnan(found.stderr)
    assert math.isnan(found.high)


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        (([], []), {}, "at least one item"),
        (([1.0], [1.0, 0.0]), {}, "different numbers of items"),
        (([math.inf], [0.0]), {}, "finite"),
        (([1.0, 0.0], [1.0, 0.0], ["a"]), {}, "one cluster id each"),
        (([1.0], [0.0]), {"confidence": 0.0}, "between 0 and 1"),
        (([1.0], [0.0]), {"draws": 0}, "at least one draw"),
    ],
)
def test_undefined_comparisons_are_refused(arguments: tuple, keywords: dict, message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        compare_paired_values(*arguments, **keywords)

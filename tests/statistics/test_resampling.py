"""Sign flips and the paired bootstrap, against scipy and full enumeration."""

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
from kdscope.statistics.resampling import compare_paired_values, paired_bca


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


def scipys(samples, statistic, **options):
    found = stats.bootstrap(
        samples, statistic, method="BCa", n_resamples=100_000, rng=np.random.default_rng(5), batch=500, **options
    )
    return (found.confidence_interval.low, found.confidence_interval.high), found.standard_error


@pytest.mark.parametrize("shape", ["answers", "skewed", "small"])
def test_one_sample_has_scipys_limits(shape):
    generator = np.random.default_rng(1)
    values = {
        "answers": generator.choice([-1, 0, 1], 200, p=[0.1, 0.6, 0.3]).astype(float),
        "skewed": generator.exponential(1.0, 40),
        "small": generator.normal(0.5, 1, 8),
    }[shape]
    expected, error = scipys((values,), np.mean)
    assert paired_bca(values, draws=100_000) == pytest.approx(expected, abs=0.06 * error)


def test_tasks_are_samples_of_their_own():
    generator = np.random.default_rng(2)
    parts = [generator.exponential(size, n) for size, n in ((1.0, 12), (2.0, 30), (0.5, 60))]
    expected, error = scipys(parts, lambda *s, axis: sum(x.mean(axis=axis) for x in s) / 3, paired=False)
    found = paired_bca(np.concatenate(parts), tasks=np.repeat([0, 1, 2], [12, 30, 60]), draws=100_000)
    assert found == pytest.approx(expected, abs=0.06 * error)


def test_clusters_are_drawn_whole():
    generator = np.random.default_rng(3)
    sizes = generator.integers(1, 5, 40)
    values = np.repeat(generator.exponential(1.0, 40), sizes) + generator.normal(0, 0.1, sizes.sum())
    sums = np.array([part.sum() for part in np.split(values, np.cumsum(sizes)[:-1])])
    expected, error = scipys((sums, sizes), lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis), paired=True)
    order = generator.permutation(values.size)
    found = paired_bca(values[order], np.repeat(np.arange(40), sizes)[order], draws=100_000)
    assert found == pytest.approx(expected, abs=0.06 * error)


def test_copies_add_nothing():
    values = np.random.default_rng(4).choice([-1.0, 0, 1], 60)
    twice, ids = np.tile(values, 2), np.tile(np.arange(60), 2)
    assert paired_bca(twice, ids, seed=1) == pytest.approx(paired_bca(values, seed=1))
    low, high = paired_bca(values, seed=1)
    naive_low, naive_high = paired_bca(twice, seed=1)
    assert naive_high - naive_low < 0.8 * (high - low)


def test_it_turns_with_the_sign_and_the_unit():
    values = np.random.default_rng(6).exponential(1.0, 200)
    low, high = paired_bca(values, draws=50_000)
    turned = paired_bca(-10 * values, draws=50_000)
    assert turned == pytest.approx((-10 * high, -10 * low), rel=0.01)


def test_a_draw_or_two_have_no_limits_or_some():
    for seed in range(20):
        low, high = paired_bca([0.0, 1.0, 3.0], draws=2, seed=seed)
        assert math.isnan(low) == math.isnan(high)
        assert not low > high


def test_missing_items_are_left_out():
    values = np.array([0.3, np.nan, 0.1, 0.9, 0.4, np.nan, -0.2])
    assert paired_bca(values) == paired_bca(values[~np.isnan(values)])


@pytest.mark.parametrize(
    ("values", "clusters", "tasks"),
    [([0.0, 0.0, 0.0], None, None), ([0.1, 0.1, 0.1], None, None), ([1.0, 0.0], [3, 3], None),
     ([1.0, 0.0, 1.0], None, [0, 0, 1])],
)  # fmt: skip
def test_no_limits_where_nothing_varies_or_a_task_has_one_cluster(values, clusters, tasks):
    assert all(math.isnan(limit) for limit in paired_bca(values, clusters, tasks))


@pytest.mark.parametrize(
    ("values", "options"),
    [([], {}), ([np.nan], {}), ([np.inf, 1], {}), ([1.0, 2.0], {"clusters": [1]}), ([1.0, 2.0], {"tasks": [1]}),
     ([1.0, 2.0], {"confidence": 1.0}), ([1.0, 2.0], {"draws": 0})],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(values, options):
    with pytest.raises(StatisticsError):
        paired_bca(values, **options)


def test_coverage():
    """600 samples of 80 skewed differences: 95% limits hold the true mean in 92 to 97%."""
    generator, held = np.random.default_rng(7), 0
    for number in range(600):
        low, high = paired_bca(generator.exponential(1.0, 80), draws=999, seed=number)
        held += low <= 1.0 <= high
    assert 0.92 <= held / 600 <= 0.97

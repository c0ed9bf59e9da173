"""The paired bootstrap: scipy's limits without clusters, its own with them, and how often they hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from kdscope.core.errors import StatisticsError
from kdscope.statistics.paired_bootstrap import paired_bca


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

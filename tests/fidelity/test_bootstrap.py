"""Resampling and intervals against scipy, closed forms and counting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.bootstrap import (
    ResampledSums,
    ResampledValue,
    combine,
    estimate,
    limits,
    resample,
    select_columns,
)
from kdscope.fidelity.measures import mean_measure

MEAN = mean_measure("mean")


def rows(values: np.ndarray) -> np.ndarray:
    return np.stack([np.ones(len(values)), values], axis=1)


def names(n: int) -> list[str]:
    return [str(i) for i in range(n)]


def mean_of(values: np.ndarray, clusters: list[str] | None = None, draws: int = 4000, seed: int = 0) -> ResampledValue:
    return estimate([MEAN], [resample(rows(values), clusters or names(len(values)), draws, seed)])


def test_limits_are_those_of_scipys_bca() -> None:
    values = np.random.default_rng(1).lognormal(size=60)
    found = limits(mean_of(values, draws=40_000))
    expected = stats.bootstrap((values,), np.mean, n_resamples=40_000, method="BCa", rng=np.random.default_rng(2))
    assert found == pytest.approx(expected.confidence_interval, abs=0.02)
    plain = np.quantile(mean_of(values, draws=40_000).draws, [0.025, 0.975])
    assert abs(found[1] - plain[1]) > 0.05, "the percentile interval of a skewed mean lies lower"


def test_a_ratio_is_resampled_with_its_denominator() -> None:
    rng = np.random.default_rng(3)
    weight, value = rng.integers(0, 2, 80), rng.normal(size=80)
    found = estimate([MEAN], [resample(np.stack([weight, weight * value], 1), names(80), 20_000, 0)])

    def mean(w: np.ndarray, v: np.ndarray, axis: int = -1) -> np.ndarray:
        return (w * v).sum(axis=axis) / w.sum(axis=axis)

    expected = stats.bootstrap((weight, value), mean, paired=True, n_resamples=20_000, method="BCa", rng=rng)
    assert found.value == pytest.approx(mean(weight, value))
    assert limits(found) == pytest.approx(expected.confidence_interval, abs=0.02)


def test_draws_of_a_mean_have_its_standard_error() -> None:
    values = np.random.default_rng(4).normal(size=300)
    assert mean_of(values).draws.std() == pytest.approx(values.std() / math.sqrt(300), rel=0.05)


def test_copies_are_drawn_together() -> None:
    values = np.random.default_rng(5).normal(size=50)
    once, thrice = mean_of(values), mean_of(np.repeat(values, 3), [name for name in names(50) for _ in range(3)])
    assert thrice.draws == pytest.approx(once.draws)
    assert limits(thrice) == pytest.approx(limits(once))
    assert mean_of(np.repeat(values, 3)).draws.std() < 0.7 * once.draws.std()


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(-9, 9)), min_size=1, max_size=12), st.randoms())
def test_the_order_of_items_does_not_matter(items: list[tuple[str, int]], random) -> None:
    def sums(pairs: list[tuple[str, int]]) -> ResampledSums:
        clusters, values = zip(*pairs, strict=True)
        return resample(rows(np.array(values, float)), clusters, 20, 7)

    one, other = sums(items), sums(random.sample(items, len(items)))
    for field in ("total", "draws", "left_out"):
        assert np.array_equal(getattr(one, field), getattr(other, field))


def test_left_out_are_all_clusters_but_one() -> None:
    found = resample(rows(np.array([1.0, 2.0, 4.0])), ["b", "a", "b"], 5, 0)
    assert found.total.tolist() == [3, 7]
    assert found.left_out.tolist() == [[2, 5], [1, 2]]


def test_every_draw_is_made_of_as_many_clusters() -> None:
    found = resample(rows(np.zeros(30)), names(30), 600, 0)
    assert (found.draws[:, 0] == 30).all()


def test_tasks_are_strata() -> None:
    """A task that always gives 1 and one that always gives 0: which items are drawn changes nothing."""
    sums = [resample(rows(np.full(size, value)), names(size), 100, 0) for size, value in ((10, 1.0), (30, 0.0))]
    pooled = estimate([MEAN, MEAN], sums)
    assert pooled.value == 0.25
    assert set(pooled.draws.tolist()) == {0.25}
    assert pooled.left_out == pytest.approx([9 / 39] * 10 + [10 / 39] * 30)
    assert all(math.isnan(limit) for limit in limits(pooled)), "where nothing varies there is no interval"


def test_pooled_values_are_those_of_all_items() -> None:
    rng = np.random.default_rng(6)
    parts = [rng.normal(size=size) for size in (20, 50)]
    pooled = estimate([MEAN, MEAN], [resample(rows(part), names(len(part)), 4000, i) for i, part in enumerate(parts)])
    assert pooled.value == pytest.approx(np.concatenate(parts).mean())
    variance = sum(part.var() * len(part) for part in parts) / 70**2
    assert pooled.draws.std() == pytest.approx(math.sqrt(variance), rel=0.05)
    assert len(pooled.left_out) == 70


def test_columns_of_models_see_the_same_draws() -> None:
    values = np.random.default_rng(8).normal(size=40)
    together = resample(np.hstack([rows(values), rows(values + 1)]), names(40), 50, 0)
    one, other = (estimate([MEAN], [select_columns(together, slice(at, at + 2))]) for at in (0, 2))
    difference = combine(lambda a, b: a - b, other, one)
    assert difference.draws == pytest.approx(np.ones(50))
    assert difference.left_out == pytest.approx(np.ones(40))


def test_draws_without_a_value_are_left_out_until_they_are_too_many() -> None:
    draws = np.concatenate([np.linspace(0, 1, 96), np.full(4, np.nan)])
    assert all(math.isfinite(limit) for limit in limits(ResampledValue(0.5, draws, np.linspace(0, 1, 9))))
    many = np.concatenate([np.linspace(0, 1, 90), np.full(10, np.nan)])
    assert all(math.isnan(limit) for limit in limits(ResampledValue(0.5, many, np.linspace(0, 1, 9))))


@pytest.mark.parametrize(
    ("value", "left_out"), [(2.0, np.linspace(0, 1, 9)), (0.4, np.array([0.1, np.nan])), (0.4, np.full(9, 0.4))]
)
def test_percentiles_where_there_is_no_correction(value: float, left_out: np.ndarray) -> None:
    draws = np.linspace(0, 1, 1001)
    assert limits(ResampledValue(value, draws, left_out)) == pytest.approx((0.025, 0.975))


def test_what_cannot_be_resampled_is_refused() -> None:
    for values, clusters, draws in (([], [], 5), ([1.0], ["a", "b"], 5), ([1.0], ["a"], 0)):
        with pytest.raises(StatisticsError, match="resampling"):
            resample(rows(np.array(values)), clusters, draws, 0)
    with pytest.raises(StatisticsError, match="confidence"):
        limits(mean_of(np.arange(5.0)), 1.0)
    with pytest.raises(StatisticsError, match="each task"):
        estimate([], [])

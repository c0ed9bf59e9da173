"""Components of the variance between runs: unbiased in any layout, equal to known tests in those that have one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from kdscope.core.errors import StatisticsError
from kdscope.statistics.degrees_of_freedom import combined_df, combined_p
from kdscope.statistics.estimates import t_estimate
from kdscope.statistics.run_variance import CONTROL, OTHERS, RunDesign, RunShare, with_runs


def layout(students=2, methods=3, seeds=3, control_seeds=None):
    """A design with its rows as (student, method number, seed); 0 is the control."""
    rows = [
        (s, m, k)
        for s in range(students)
        for m in range(methods + 1)
        for k in range(seeds if m or control_seeds is None else control_seeds[s])
    ]
    s, m, k = (list(column) for column in zip(*rows, strict=True))
    return RunDesign(s, m, np.array(m) == 0, k), np.array(rows)


def gain(rows, student=0, methods=3):
    """Weights of the mean over methods minus the control, of one student."""
    weights = np.zeros(len(rows))
    for m in range(methods + 1):
        own = (rows[:, 0] == student) & (rows[:, 1] == m)
        weights[own] = (1 / methods if m else -1) / own.sum()
    return weights


def test_one_student_with_shared_seeds_is_the_paired_t_test():
    design, rows = layout(students=1, methods=1, seeds=5)
    y = np.random.default_rng(0).normal(size=10)
    share = design.components(y, split=False).share(gain(rows, methods=1))
    expected = stats.ttest_rel(y[rows[:, 1] == 1], y[rows[:, 1] == 0])
    assert gain(rows, methods=1) @ y / math.sqrt(share.variance) == pytest.approx(expected.statistic)
    assert share.df == pytest.approx(4)


def test_seeds_that_are_not_shared_are_two_independent_samples():
    first, second = np.random.default_rng(1).normal(size=(2, 6)) * [[1.0], [3.0]]
    y = np.concatenate([first, second[:4]])
    design = RunDesign(["s"] * 10, ["sft"] * 6 + ["kd"] * 4, [True] * 6 + [False] * 4, range(10))
    weights = np.concatenate([np.full(6, -1 / 6), np.full(4, 1 / 4)])
    share = design.components(y, split=False).share(weights)
    expected = stats.ttest_ind(second[:4], first, equal_var=False)
    assert weights @ y / math.sqrt(share.variance) == pytest.approx(expected.statistic)
    assert 3 < share.df < expected.df, "Welch's are too many where the noisier sample is the smaller one"


@pytest.mark.parametrize("control_seeds", [None, (3, 2), (1, 3)])
def test_the_variance_of_a_gain_is_unbiased_in_any_layout(control_seeds):
    """Control noisier than methods, all runs of one student and seed correlated: 4,000 studies."""
    design, rows = layout(control_seeds=control_seeds)
    weights, generator = gain(rows), np.random.default_rng(2)
    shared = {key: number for number, key in enumerate(dict.fromkeys(map(tuple, rows[:, [0, 2]])))}
    place = np.array([shared[tuple(row)] for row in rows[:, [0, 2]]])
    noise = generator.normal(size=(4000, len(rows))) * np.where(rows[:, 1] == 0, 2.0, 1.0)
    y = noise + 0.8 * generator.normal(size=(4000, len(shared)))[:, place]
    found = [design.components(one, split=False).share(weights).variance for one in y]
    assert np.mean(found) == pytest.approx(np.var(y @ weights), rel=0.06)


def test_the_residual_part_is_that_of_the_items():
    """Runs that differ only by how they answered each item: the whole run variance is residual, on average."""
    design, rows = layout(students=1)
    generator, items = np.random.default_rng(3), 400
    variances, residuals = [], []
    for _ in range(300):
        values = (generator.random((len(rows), items)) < 0.6).astype(float)
        covariance = np.cov(values) / items
        share = design.components(values.mean(axis=1), {0: covariance}, split=False).share(gain(rows))
        variances.append(share.variance)
        residuals.append(share.residual)
    truth = 0.24 / items * np.sum(gain(rows) ** 2)
    assert np.mean(residuals) == pytest.approx(truth, rel=0.05)
    assert np.mean(variances) == pytest.approx(truth, rel=0.15)


def test_a_group_without_repetition_is_unknown():
    design, rows = layout(students=1, control_seeds=(1,))
    components = design.components(np.random.default_rng(4).normal(size=len(rows)))
    assert math.isnan(components.share(gain(rows)).variance)
    assert components.unknown(gain(rows)) == [CONTROL]
    assert components.of_group(OTHERS)[1] == pytest.approx(6)
    between = np.where(rows[:, 1] == 1, 1 / 3, 0) - np.where(rows[:, 1] == 2, 1 / 3, 0)
    assert components.share(between).variance > 0


def test_runs_beside_the_design_have_the_variance_of_their_group():
    design, rows = layout()
    components = design.components(np.random.default_rng(8).normal(size=len(rows)), split=False)
    weights = gain(rows)
    alone, more = components.share(weights), components.share(weights, {CONTROL: 0.25, OTHERS: 0.0})
    assert more.variance == pytest.approx(alone.variance + 0.25 * components.of_group(CONTROL)[0])
    single = layout(students=1, control_seeds=(1,))[0]
    assert single.components(np.arange(10.0)).unknown(np.zeros(10), {CONTROL: 1.0, OTHERS: 1.0}) == [CONTROL]


def test_p_values_are_those_of_the_critical_value_at_their_own_level():
    assert combined_p(2.0, [1.0], [10]) == pytest.approx(2 * stats.t.sf(2.0, 10))
    parts, dfs = [1.0, 3.0], [600, 2]
    limit = stats.t.isf(0.025, combined_df(parts, dfs))
    assert combined_p(limit, parts, dfs) == pytest.approx(0.05, rel=1e-3)
    deep = stats.t.isf(0.0005, combined_df(parts, dfs))
    assert combined_p(deep, parts, dfs) > 0.001, "the parts have heavier tails than one t distribution"


def test_a_method_that_collapses_leaves_the_pool():
    design, rows = layout(students=2, methods=4, seeds=5)
    y = np.random.default_rng(5).normal(size=len(rows))
    quiet = design.components(y)
    y[(rows[:, 1] == 2)] += 15 * (rows[rows[:, 1] == 2, 2] == 3)
    loud = design.components(y)
    weights = np.where((rows[:, 0] == 0) & (rows[:, 1] == 1), 0.2, 0) + np.where(
        (rows[:, 0] == 0) & (rows[:, 1] == 0), -0.2, 0
    )
    assert loud.share(weights).variance < 2 * quiet.share(weights).variance
    collapsed = np.where((rows[:, 0] == 0) & (rows[:, 1] == 2), 0.2, 0)
    assert loud.largest_variance(collapsed) > 10 * loud.of_group(OTHERS)[0]
    assert design.components(y, split=False).share(weights).variance > 2 * loud.share(weights).variance


def test_equal_differences_have_no_variance():
    design, rows = layout()
    y = rows[:, 1] * 1.1 + rows[:, 2] * 0.1
    assert design.components(y).share(gain(rows)).variance == 0


def test_items_and_runs_are_added_once():
    items = t_estimate(0.05, 0.02, 599, 600)
    assert with_runs(items, RunShare(0.0, 0.0, math.inf)).stderr == pytest.approx(0.02)
    assert with_runs(items, RunShare(0.0004, 0.0004, 4)).stderr == pytest.approx(0.02)
    assert with_runs(items, RunShare(0.0009, 0.0004, 4)).stderr == pytest.approx(0.03)
    assert math.isnan(with_runs(items, RunShare(math.nan, math.nan, 0)).p_value)


def test_few_degrees_of_freedom_dominate():
    assert combined_df([1.0], [7]) == pytest.approx(7)
    assert combined_df([1.0, 0.0], [2, 600]) == pytest.approx(2)
    assert 2 < combined_df([1.0, 1.0], [2, 600]) < 8, "below Satterthwaite's 8"
    assert combined_df([1e-9, 1.0], [1, 600]) == pytest.approx(600, rel=0.01)
    assert math.isnan(combined_df([0.0], [3]))


@pytest.mark.parametrize("seeds", [2, 3])
def test_the_level_holds_with_few_seeds(seeds):
    """No gain, runs vary by two points, 2,000 studies of one student: at most 6% are significant."""
    design, rows = layout(students=1, methods=4, seeds=seeds)
    weights, generator = gain(rows, methods=4), np.random.default_rng(6)
    rejected = 0
    for _ in range(2000):
        y = generator.normal(0, 2, len(rows))
        error = 1.5  # of items, in points
        items = t_estimate(float(weights @ y + generator.normal(0, error)), error, 599, 600)
        rejected += with_runs(items, design.components(y).share(weights)).p_value < 0.05
    assert rejected / 2000 < 0.06 + 2 * math.sqrt(0.06 * 0.94 / 2000)


def test_bad_input_is_refused():
    with pytest.raises(StatisticsError, match="one run of each setting and seed"):
        RunDesign("ss", "aa", [True, True], [0, 0])
    with pytest.raises(StatisticsError, match="for every run"):
        RunDesign("ss", "a", [True, True], [0, 0])
    with pytest.raises(StatisticsError, match="finite"):
        RunDesign("ss", "ab", [True, False], [0, 0]).components([1.0, math.nan])

"""Differences of models on items: what is random, and how runs and items are weighted."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from kdscope.statistics.means import macro_mean
from kdscope.statistics.run_contrasts import CHECKPOINTS, RUNS, RunContrasts, spreads

TASKS = np.repeat([0, 1], [30, 50])


def runs_of(*arms, seeds=2, student="s"):
    rows = [(student, arm, arm == "sft", seed) for arm in arms for seed in range(seeds)]
    return pd.DataFrame(rows, columns=["student", "arm", "control", "seed"])


def contrasts(runs, seed=0, spread=0.0, **more):
    generator = np.random.default_rng(seed)
    shares = 0.5 + generator.normal(0, spread, (len(runs), 1))
    values = (generator.random((len(runs), len(TASKS))) < shares).astype(float)
    return RunContrasts(values, runs, TASKS, np.arange(len(TASKS)), **more)


def test_settings_count_the_same_whatever_runs_they_have():
    runs = pd.concat([runs_of("sft", "a", seeds=3), runs_of("b", seeds=1)], ignore_index=True)
    found = contrasts(runs)
    weights = found.weights([3, 4, 5, 6])
    assert weights[3:].tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])
    assert found.mean_of([3, 4, 5, 6]) == pytest.approx(found.values[3:6].mean(axis=0) / 2 + found.values[6] / 2)


def test_one_seed_has_items_alone():
    found = contrasts(runs_of("sft", "a", seeds=1))
    one = found.difference([1], [0])
    expected = macro_mean(found.values[1] - found.values[0], TASKS)
    assert (one.scope, one.found.p_value) == (CHECKPOINTS, expected.p_value)
    assert spreads(found) == {}


def test_repeated_runs_widen_the_interval_by_what_they_vary():
    quiet = contrasts(runs_of("sft", "a", seeds=5)).difference(range(5, 10), range(5))
    loud = contrasts(runs_of("sft", "a", seeds=5), spread=0.1).difference(range(5, 10), range(5))
    assert quiet.scope == loud.scope == RUNS
    assert loud.found.stderr > 1.5 * loud.items.stderr
    assert loud.item_stderr < loud.items.stderr
    assert loud.found.df < 20


def test_the_same_setting_twice_with_one_seed_is_two_settings():
    runs = pd.concat([runs_of("sft", "a"), runs_of("a")], ignore_index=True)
    found = contrasts(runs)
    assert found.runs["arm"].nunique() == 3
    assert found.weights([2, 3, 4, 5])[2:].tolist() == [0.25] * 4


def test_the_index_of_runs_is_their_row():
    runs = runs_of("sft", "a", seeds=3)
    runs.index = [7, 1, 3, 0, 4, 6]
    generator = np.random.default_rng(1)
    values = np.full((9, len(TASKS)), np.nan)
    values[runs.index] = generator.random((6, len(TASKS)))
    found = RunContrasts(values, runs, TASKS, np.arange(len(TASKS)))
    again = RunContrasts(values[runs.index], runs.reset_index(drop=True), TASKS, np.arange(len(TASKS)))
    first, second = found.difference([0, 4, 6], [7, 1, 3]), again.difference([3, 4, 5], [0, 1, 2])
    assert (first.found.value, first.found.stderr) == pytest.approx((second.found.value, second.found.stderr))


def test_a_run_that_was_not_measured_leaves_the_pool():
    runs = runs_of("sft", "a", "b", seeds=3)
    found = contrasts(runs)
    found.values[8] = math.nan
    one = found.difference([3, 4, 5], [0, 1, 2])
    assert one.found.stderr > 0
    assert math.isnan(found.mean_of([6, 7, 8]).sum())


def test_a_noisier_student_is_told_beside_the_whole_study():
    quiet, loud = (runs_of("sft", "a", "b", seeds=5, student=name) for name in ("quiet", "loud"))
    runs, generator = pd.concat([quiet, loud], ignore_index=True), np.random.default_rng(3)
    level = np.where(runs["student"] == "loud", generator.normal(0, 0.2, len(runs)), 0.0)
    values = (generator.random((len(runs), len(TASKS))) < 0.5 + level[:, None]).astype(float)
    found = spreads(RunContrasts(values, runs, TASKS, np.arange(len(TASKS))))
    assert list(found)[:2] == ["SFT", "the other methods"]
    own = [name for name in found if name.endswith(("loud", "quiet"))]
    assert own
    assert found["the other methods"][1] == pytest.approx(16)


def test_a_known_run_variance_stands_in_where_runs_do_not_tell():
    single = contrasts(runs_of("sft", "a", seeds=1), run_sd=(0.03, math.inf)).difference([1], [0])
    assert single.scope == RUNS
    assert single.found.stderr == pytest.approx(math.hypot(single.items.stderr, 0.03 * math.sqrt(2)))
    few = contrasts(runs_of("sft", "a", seeds=1), run_sd=(0.03, 2.0)).difference([1], [0])
    assert few.found.df < single.found.df, "a pilot's standard deviation is not known exactly"
    runs = runs_of("sft", "a", seeds=5)
    own, told = contrasts(runs), contrasts(runs, run_sd=(0.5, math.inf))
    assert [c.difference(range(5, 10), range(5)).found.stderr for c in (own, told)] == pytest.approx(
        [own.difference(range(5, 10), range(5)).found.stderr] * 2
    )


def test_a_run_measured_on_few_items_does_not_take_the_error_of_items_away():
    runs = pd.concat([runs_of("sft", "a", seeds=5), runs_of("b", seeds=1)], ignore_index=True)
    found = contrasts(runs)
    before = found.difference(range(5, 10), range(5))
    found = contrasts(runs)
    found.values[10, 12:] = math.nan
    after = found.difference(range(5, 10), range(5))
    assert (after.found.stderr, after.item_stderr) == pytest.approx((before.found.stderr, before.item_stderr), rel=0.2)
    found = contrasts(runs)
    found.values[10] = np.where(TASKS == 0, math.nan, found.values[10])
    one = found.difference([10], range(5))
    assert one.scope == RUNS
    assert one.found.stderr > 0, "a run on one task only has the variance of its group"


def test_runs_without_a_seed_are_repetitions():
    found = contrasts(runs_of("sft", "a", seeds=4).assign(seed=""))
    one = found.difference(range(4, 8), range(4))
    assert (one.scope, found.runs["arm"].nunique()) == (RUNS, 2)
    assert one.found.df < 60


def test_a_task_of_one_item_has_an_unknown_error():
    runs = runs_of("sft", "a", seeds=3)
    values = np.random.default_rng(0).integers(0, 2, (6, 31)).astype(float)
    tasks = np.array([0] * 30 + [1])
    one = RunContrasts(values, runs, tasks, np.arange(31)).difference([3, 4, 5], [0, 1, 2])
    assert math.isnan(one.found.p_value)
    assert "one independent item" in one.reason
    same = RunContrasts(np.ones((6, 30)), runs, np.zeros(30), np.arange(30)).difference([3, 4, 5], [0, 1, 2])
    assert (same.reason, same.found.value) == ("", pytest.approx(0.0))

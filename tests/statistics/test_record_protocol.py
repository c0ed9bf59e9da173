"""The rigorous protocol on item records: each row against the test it is made of, and a million of them in time."""

from __future__ import annotations

import math
import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kdscope.errors import StatisticsError
from kdscope.statistics.grid import grid_effect
from kdscope.statistics.multiplicity import holm
from kdscope.statistics.record_protocol import rigorous_records

STUDENTS = ("S-0.5B", "S-1B", "S-3B")


def made(gain=0.0, seeds=(0,), temperatures=(1.0,), tasks=("x", "y", "z"), items=60, seed=0, methods=("gkd", "jsd")):
    """Records of three students, one teacher."""
    generator = np.random.default_rng(seed)
    share = generator.random((len(tasks), items)) * 0.5 + 0.2
    settings = [("sft", "", math.nan), *((m, "T-7B", t) for m in methods for t in temperatures)]
    parts = []
    for student in STUDENTS:
        for method, teacher, temperature in settings:
            for run in seeds:
                right = generator.random(share.shape) < share + (method != "sft") * gain
                place = {"task": np.repeat(tasks, items), "item": np.tile(np.arange(items), len(tasks))}
                parts.append(
                    pd.DataFrame({**place, "correct": right.ravel()}).assign(
                        model=f"{student} {method} {temperature} {run}", student=student, teacher=teacher,
                        method=method, temperature=temperature, seed=run,
                    )
                )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def wide(records, student, method):
    rows = records[(records["student"] == student) & (records["method"] == method)]
    return rows.groupby(["task", "item"], sort=False)["correct"].mean().to_numpy()


def one(frame, hypothesis, group):
    rows = frame[(frame["hypothesis"] == hypothesis) & (frame["group"] == group)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_a_single_task_and_method_is_the_paired_t_test():
    records = made(gain=0.1, tasks=("x",), methods=("gkd",))
    found = rigorous_records(records, draws=99)
    for student in STUDENTS:
        expected = stats.ttest_rel(wide(records, student, "gkd"), wide(records, student, "sft"))
        row = one(found, "H1-student", student)
        assert (row["statistic"], row["p_value"]) == pytest.approx((expected.statistic, expected.pvalue))
        assert row["n"] == 60
        assert "checkpoints" in row["note"]
    primary = found[found["role"] == "confirmatory"]
    assert primary["p_adjusted"].to_numpy() == pytest.approx(holm(primary["p_value"]))


def test_the_mean_gain_is_the_grid_of_students_and_tasks():
    records = made(gain=0.05)
    gains = np.stack(
        [(wide(records, s, "gkd") + wide(records, s, "jsd")) / 2 - wide(records, s, "sft") for s in STUDENTS]
    )
    expected = grid_effect(100 * gains.reshape(3, 3, 60).mean(axis=2)).mean
    row = one(rigorous_records(records, draws=99), "H1-grid", "all")
    assert (row["estimate"], row["p_value"]) == pytest.approx((expected.value, expected.p_value))


def test_methods_are_compared_and_found_equal():
    found = rigorous_records(made(items=400), draws=99, margin=10.0)
    difference, same = one(found, "method", "gkd - jsd"), one(found, "equivalence", "gkd - jsd")
    assert difference["estimate"] == same["estimate"]
    assert same["p_adjusted"] <= 0.05
    assert same["high"] - same["low"] < difference["high"] - difference["low"]


def test_seeds_widen_the_interval_to_runs():
    found = rigorous_records(made(seeds=(0, 1, 2)), draws=99)
    row = one(found, "H1-student", "S-1B")
    assert row["test"] == "items and runs"
    assert "3 training runs" in row["note"]


def test_a_real_gain_is_found_in_every_cell_and_the_primary_question():
    found = rigorous_records(made(gain=0.25, items=150, temperatures=(1.0, 2.0)), draws=999)
    assert (found.loc[found["role"] == "confirmatory", "p_adjusted"] <= 0.05).all()
    cells = found[found["hypothesis"] == "cell"]
    assert len(cells) == 3 * 2 * 2
    assert (cells["p_adjusted"] <= 0.05).all()
    best = found[found["hypothesis"] == "best_temperature"]
    assert len(best) == 3 * 2
    assert (best["estimate"] > 10).all()


def test_noise_concludes_nothing():
    wrong = 0
    for study in range(60):
        found = rigorous_records(made(temperatures=(1.0, 2.0, 5.0), items=30, seed=study), draws=199)
        wrong += bool((found.loc[found["role"] == "confirmatory", "p_adjusted"] <= 0.05).any())
    assert wrong <= 3 + 3 * math.sqrt(60 * 0.05 * 0.95)


def test_warnings_go_with_the_results():
    records = made(gain=-0.15, tasks=("boolq",)).assign(contaminated=lambda r: r["item"] < 5)
    notes = rigorous_records(records, draws=99)["note"]
    assert notes.str.contains("5 of 60 items are in training data").any()
    assert notes.str.contains("Below guessing on boolq").any()


def test_domains_are_apart_but_one_confirmatory_family():
    records = pd.concat([made().assign(domain="a"), made(seed=1).assign(domain="b")])
    found = rigorous_records(records, draws=99)
    primary = found[found["role"] == "confirmatory"]
    assert len(primary) == 6
    assert primary["p_adjusted"].to_numpy() == pytest.approx(holm(primary["p_value"]))


def test_no_control_is_refused():
    records = made()
    with pytest.raises(StatisticsError, match="control"):
        rigorous_records(records[records["method"] != "sft"])
    with pytest.raises(StatisticsError, match="temperature 7"):
        rigorous_records(records, temperature=7.0)


@pytest.mark.slow
def test_a_million_records_take_less_than_a_minute():
    methods = tuple(f"m{i}" for i in range(20))
    records = made(items=1150, tasks=tuple(f"t{i}" for i in range(14)), methods=methods)
    assert len(records) > 1_000_000
    start = time.process_time()
    rigorous_records(records)
    assert time.process_time() - start < 60

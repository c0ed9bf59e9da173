"""H2, H4 and H5 on item records: worked by hand, silent where nothing is, and telling where something is."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from kdscope.core.errors import StatisticsError
from kdscope.protocols.item_matrix import item_matrix
from kdscope.protocols.record_sample import RecordSample
from kdscope.protocols.relations import likeness_of_records
from kdscope.protocols.rigorous import rigorous_records
from kdscope.protocols.sentences import sentence
from kdscope.statistics.estimates import slope_over_units, slope_within

METHODS = ("gkd", "jsd", "forward_kl", "reverse_kl")


def model(name, answers, right, **facts):
    """Records of one model on one task: answers are numbers, ``right`` the right one of each item."""
    settings = {"student": "", "teacher": "", "method": "sft", "temperature": math.nan, "seed": 0} | facts
    frame = pd.DataFrame({"item": np.arange(len(right)), "correct": answers == right, "answer": answers})
    return frame.assign(model=name, task="x", **settings)


def grid(seed=0, students=4, teachers=1, items=300, copied=0.0, method_noise=0.0):
    """Models that answer right with their own probability and else wrongly at random, or copy their teacher."""
    generator, right = np.random.default_rng(seed), np.zeros(items)

    def answers(accuracy):
        return np.where(generator.random(items) < accuracy, right, generator.integers(1, 1000, items))

    own = {f"T{t}-7B": answers(0.85 - 0.08 * t) for t in range(teachers)}
    parts = [model(name, told, right, teacher=name, method="teacher") for name, told in own.items()]
    for s in range(students):
        level = generator.uniform(0.25, 0.5)
        parts.append(model(f"S{s} sft", answers(level), right, student=f"S{s}-{s + 1}B"))
        for name, its in own.items():
            for k, method in enumerate(METHODS):
                told = answers(level + generator.normal(0, method_noise))
                told = np.where(generator.random(items) < copied * (k + s), its, told)
                rows = model(f"S{s} {method} {name}", told, right, student=f"S{s}-{s + 1}B", teacher=name,
                             method=method, temperature=1.0)  # fmt: skip
                parts.append(rows.assign(agreement=(told == its).astype(float)))
    return pd.concat(parts, ignore_index=True)


def pairs_of(records):
    """Every student beside its teacher, controls beside every teacher, from the answers in the records."""
    own = records[records["method"] == "teacher"]
    parts = []
    for name, rows in records[records["method"] != "teacher"].groupby("model", sort=False):
        for teacher, its in own.groupby("model", sort=False):
            if rows["method"].iloc[0] != "sft" and rows["teacher"].iloc[0] != teacher:
                continue
            right, its_right = rows["correct"].to_numpy(), its["correct"].to_numpy()
            same = rows["answer"].to_numpy() == its["answer"].to_numpy()
            shares = {
                "own_right": right, "teacher_right": its_right, "own_wrong": ~right, "teacher_wrong": ~its_right,
                "both_right": right & its_right, "both_wrong": ~right & ~its_right,
                "same_wrong": ~right & ~its_right & same,
            }  # fmt: skip
            frame = pd.DataFrame(shares).astype(float)
            parts.append(frame.assign(model=name, teacher_model=teacher, task="x", item=rows["item"].to_numpy()))
    return pd.concat(parts, ignore_index=True)


def asked(records, **more):
    return rigorous_records(records, pairs=pairs_of(records), draws=99, **more)


def rows_of(frame, hypothesis):
    return frame[frame["hypothesis"] == hypothesis].set_index("group")


def test_slopes_within_groups_are_those_of_dummies():
    generator = np.random.default_rng(0)
    groups = np.repeat(list("abcd"), [5, 3, 1, 4])
    x, y = generator.normal(size=13), generator.normal(size=13)
    design = np.column_stack([x, *(groups == name for name in "abcd")]).astype(float)
    expected = sm.OLS(y, design).fit()
    found = slope_within(x, y, groups)
    assert (found.value, found.stderr, found.p_value) == pytest.approx(
        (expected.params[0], expected.bse[0], expected.pvalues[0])
    )
    assert found.n == 12
    assert math.isnan(slope_within([1.0, 1, 2, 2], [1.0, 2, 3, 4], "aabb").value)


def test_the_agreement_of_a_half_meets_the_gain_of_the_other():
    records = grid(copied=0.1, students=5)
    found = rows_of(asked(records), "H4")
    assert list(found.index) == ["all", "within students"]
    # By hand, with the halves the protocol draws.
    first = np.random.default_rng(0).permutation(300) % 2 == 0
    wide = records.pivot(index="model", columns="item", values="correct").astype(float)
    answers = records.pivot(index="model", columns="item", values="answer")

    def beyond(name, half):
        same = (answers.loc[name, half] == answers.loc["T0-7B", half]).mean()
        return same - wide.loc[name, half].mean() * wide.loc["T0-7B", half].mean()

    expected = []
    for half in (first, ~first):
        x, y = [], []
        for s in range(5):
            names = [f"S{s} {method} T0-7B" for method in METHODS]
            x.append([beyond(name, half) - beyond(f"S{s} sft", half) for name in names])
            y.append([wide.loc[n, ~half].mean() - wide.loc[f"S{s} sft", ~half].mean() for n in names])
        x, y = 100 * np.array(x), 100 * np.array(y)
        expected.append((slope_over_units(x.mean(axis=1), y.mean(axis=1)),
                         slope_within(x.ravel(), y.ravel(), np.repeat(range(5), 4))))  # fmt: skip
    for number, group in enumerate(found.index):
        weaker = max((pair[number] for pair in expected), key=lambda one: one.p_value)
        assert (found.loc[group, "estimate"], found.loc[group, "p_value"]) == pytest.approx(
            (weaker.value, weaker.p_value)
        )


def test_who_copies_the_teacher_gains_by_it():
    found = rows_of(asked(grid(copied=0.1, students=6, items=600)), "H4")
    assert (found["p_adjusted"] < 0.05).all()
    assert (found["estimate"] > 0).all()
    said = sentence({**found.loc["within students"].to_dict(), "group": "within students", "hypothesis": "H4"})
    assert said.startswith("The gain goes with agreement with the teacher within students")
    assert "per point of agreement beyond accuracy" in said


@pytest.mark.slow
def test_agreement_that_only_accuracy_makes_is_no_relation():
    """Settings differ in accuracy and copy nobody: raw agreement goes with the gain, what is tested does not."""
    wrong, naive = np.zeros(2), 0
    for seed in range(30):
        records = grid(seed, students=5, items=200, method_noise=0.06)
        sample = RecordSample("all", item_matrix(records), pairs=pairs_of(records))
        wrong += [row.p_value <= 0.05 for row in likeness_of_records(sample) if row.hypothesis == "H4"]
        cells = records[records["method"].isin(METHODS)].groupby(["student", "method"])
        both = cells[["correct", "agreement"]].mean()
        students = both.index.get_level_values("student").to_numpy()
        naive += slope_within(both["agreement"], both["correct"], students).p_value <= 0.05
    assert (wrong <= 30 * 0.05 + 3 * math.sqrt(30 * 0.05 * 0.95)).all()
    assert naive > 22


def test_fidelity_of_a_half_meets_the_gain_of_the_other():
    records = grid(students=5, method_noise=0.1)
    likeness = np.random.default_rng(1).random(len(records)) * 0.2
    told = records.assign(fidelity=likeness + 0.5 * records.groupby("model")["correct"].transform("mean"))
    found = rows_of(rigorous_records(told, draws=99), "H5")
    assert set(found["per"]) == {"point of fidelity"}
    assert found.loc["within students", "p_value"] < 0.001
    assert found.loc["within students", "estimate"] == pytest.approx(2.0, rel=0.5)
    assert found.loc["within students", "unit"] == "cells"


def test_gains_from_better_teachers():
    records = grid(students=3, teachers=4)
    row = rows_of(rigorous_records(records, draws=99), "H2").loc["all"]
    own = records[records["method"] == "teacher"].groupby("teacher")["correct"].mean()
    kd = records[records["method"].isin(METHODS)].groupby("teacher")["correct"].mean()
    expected = slope_over_units(100 * own, 100 * (kd - kd.mean()))
    assert (row["estimate"], row["p_value"]) == pytest.approx((expected.value, expected.p_value))
    assert (row["n"], row["unit"], row["role"]) == (4, "teachers", "exploratory")
    assert "Only 4 teachers with common students" in row["note"]


def test_a_teacher_that_is_a_student_too_has_its_accuracy_under_sft():
    records = grid(students=3, teachers=3)
    as_students = records.assign(
        student=records["student"].where(records["method"] != "teacher", records["teacher"]),
        teacher=records["teacher"].where(records["method"] != "teacher", ""),
        method=records["method"].replace("teacher", "sft"),
    )
    first, second = (rows_of(rigorous_records(r, draws=99), "H2").loc["all"] for r in (records, as_students))
    assert first["estimate"] == second["estimate"]


def test_one_teacher_says_nothing_about_teachers():
    row = rows_of(rigorous_records(grid(students=3), draws=99), "H2").loc["all"]
    assert math.isnan(row["p_value"])
    assert "One teacher" in row["note"] or "No teacher" in row["note"]
    assert sentence({**row.to_dict(), "hypothesis": "H2", "group": "all"}).startswith(
        "Whether the gain goes with the teacher's accuracy: these results cannot tell."
    )


def test_no_rows_without_what_they_need():
    records = grid(students=3)
    assert rows_of(rigorous_records(records, draws=99), "H4").empty
    assert rows_of(rigorous_records(records, pairs=pairs_of(records).iloc[:0], draws=99), "H4").empty
    assert rows_of(rigorous_records(records.assign(teacher=""), draws=99), "H2").empty


def test_a_teacher_is_no_student():
    records = grid(students=2).assign(student=lambda r: r["student"].where(r["method"] != "teacher", "S0-1B"))
    groups = rigorous_records(records, draws=99)["group"]
    assert not groups.str.contains("teacher").any()


def test_values_outside_their_range_are_refused():
    records = grid(students=2)
    with pytest.raises(StatisticsError, match="the column fidelity of records is between 0 and 1"):
        rigorous_records(records.assign(fidelity=2.0))
    with pytest.raises(StatisticsError, match="the column same_wrong of pairs is between 0 and 1"):
        rigorous_records(records, pairs=pairs_of(records).assign(same_wrong=2.0))
    with pytest.raises(StatisticsError, match="records of pairs lack the column both_wrong"):
        rigorous_records(records, pairs=pairs_of(records).drop(columns="both_wrong"))

"""Likeness to the teacher beyond the control's, item by item and as questions."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kdscope.fidelity.agreement import encode_answers, pair_answers
from kdscope.fidelity.measures import values_of
from kdscope.protocols.fidelity_gains import inherited_errors, shared_right, shared_wrong
from kdscope.protocols.item_matrix import item_matrix, teacher_pairs
from kdscope.protocols.rigorous import rigorous_records

ITEMS = 800


def records_and_pairs(copied=0.0, better=0.0, seeds=3, seed=0, methods=("gkd", "jsd"), copies=None):
    """One student, a teacher at 81%, free answers, item difficulty shared with a logit SD of 1."""
    generator = np.random.default_rng(seed)
    hard = generator.normal(size=ITEMS)

    def answered(accuracy):
        chance = 1 / (1 + np.exp(-(1.2 * np.log(accuracy / (1 - accuracy)) - hard)))
        return np.where(generator.random(ITEMS) < chance, 0, generator.integers(1, 10**6, ITEMS))

    teacher = answered(0.81)
    arms = {("sft", k): answered(0.6) for k in range(seeds)}
    for method in methods:
        rate = copied if copies is None else copies[method]
        for k in range(seeds):
            copy = generator.random(ITEMS) < rate
            arms[method, k] = np.where(copy, teacher, answered(0.6 + better))
    records, pairs = [], []
    for (method, k), own in arms.items():
        name = f"{method} {k}"
        facts = {"student": "s", "teacher": "" if method == "sft" else "t", "method": method, "seed": k}
        facts |= {"temperature": math.nan if method == "sft" else 1.0, "model": name, "task": "x"}
        records.append(pd.DataFrame({"item": range(ITEMS), "correct": own == 0}).assign(**facts))
        right, its = own == 0, teacher == 0
        frame = pd.DataFrame(
            {
                "own_right": right, "teacher_right": its, "own_wrong": ~right, "teacher_wrong": ~its,
                "both_right": right & its, "both_wrong": ~right & ~its,
                "same_wrong": ~right & ~its & (own == teacher),
            }
        ).astype(float)  # fmt: skip
        pairs.append(frame.assign(model=name, teacher_model="teacher/t", task="x", item=range(ITEMS)))
    return pd.concat(records, ignore_index=True), pd.concat(pairs, ignore_index=True)


def asked(**how):
    records, pairs = records_and_pairs(**how)
    return rigorous_records(records, pairs=pairs, draws=99)


def rows_of(found, hypothesis):
    return found[found["hypothesis"] == hypothesis]


def test_a_copier_is_found_and_its_parts_add_up():
    found = asked(copied=0.3)
    fidelity = rows_of(found, "fidelity").set_index("method")
    assert (fidelity["p_adjusted"] < 0.02).all()
    assert (fidelity["estimate"] > 3).all()
    parts = [rows_of(found, name).set_index("method")["estimate"] for name in ("shared_right", "shared_wrong")]
    assert fidelity["estimate"].to_numpy() == pytest.approx((parts[0] + parts[1]).to_numpy())
    inherited = rows_of(found, "inherited_errors")
    assert (inherited["p_adjusted"] < 0.02).all()
    assert inherited["estimate"].to_numpy() == pytest.approx(40, abs=8)
    assert set(fidelity["scope"]) == {"runs"}


def test_a_better_student_that_copies_nobody_is_not_more_faithful():
    """Fifteen points better, difficulty shared: in 20 studies at most a few lie above 0."""
    above = [
        (rows_of(asked(better=0.15, seed=seed, methods=("gkd",)), "fidelity")["low"] > 0).sum() for seed in range(20)
    ]
    assert sum(above) <= stats.binom.ppf(0.999, 20, 0.05)


def test_two_methods_are_compared_in_fidelity():
    found = asked(copies={"gkd": 0.4, "jsd": 0.1})
    [row] = rows_of(found, "fidelity_method").to_dict("records")
    assert (row["method"], row["reference"]) == ("gkd", "jsd")
    assert row["p_value"] < 0.01
    shown = rows_of(found, "fidelity_noninferiority").set_index("method")
    assert shown.loc["gkd", "p_value"] < 0.01
    assert shown.loc["jsd", "p_value"] > 0.5
    expected = stats.t.sf((row["estimate"] + 1) / row["stderr"], row["df"])
    assert shown.loc["gkd", "p_value"] == pytest.approx(expected)


def test_a_control_far_below_its_student_is_warned_of():
    told = [rows_of(asked(better=better, seeds=2), "fidelity")["note"] for better in (0.05, 0.25)]
    assert not told[0].str.contains("agreement_beyond_matched_control").any()
    assert told[1].str.contains("agreement_beyond_matched_control").all()


def test_the_items_that_would_find_a_copier_are_named():
    """A fifth copied of a teacher at 81% is 6.9 points: with 800 items that is found, with 20 it is not."""
    records, pairs = records_and_pairs(seeds=2, methods=("gkd",))
    enough = rows_of(rigorous_records(records, pairs=pairs, draws=99), "fidelity")["note"].iloc[0]
    assert "items to find that" not in enough
    few = records["item"] < 20
    some = rigorous_records(records[few], pairs=pairs[pairs["item"] < 20], draws=99)
    [row] = rows_of(some, "fidelity").to_dict("records")
    right = pairs.loc[(pairs["item"] < 20) & (pairs["model"] == "sft 0"), "teacher_right"].mean()
    copier = 20 * (1 - right**2)
    assert f"exceeds its control by {copier:.1f} points" in row["note"]
    told = re.search(r"about ([\d,]+) items|more training runs", row["note"])
    assert told
    if told[1]:
        assert 20 < int(told[1].replace(",", "")) < 2000


def test_what_is_not_defined_has_a_row_that_says_so():
    records, pairs = records_and_pairs(seeds=2, methods=("gkd",))
    pairs = pairs.assign(both_wrong=pairs["both_wrong"].where(pairs["model"] != "gkd 1", 0.0))
    pairs = pairs.assign(same_wrong=pairs["same_wrong"].where(pairs["model"] != "gkd 1", 0.0))
    [row] = rows_of(rigorous_records(records, pairs=pairs, draws=99), "inherited_errors").to_dict("records")
    assert math.isnan(row["estimate"])
    assert "Not defined" in row["note"]


def test_one_seed_is_about_checkpoints():
    found = asked(copied=0.3, seeds=1)
    assert set(rows_of(found, "fidelity")["scope"]) == {"checkpoints"}


def test_the_study_varies_with_what_it_was_made_of():
    found = asked(copied=0.0, seeds=4)
    table = rows_of(found, "variance").set_index("group")
    assert {"runs of SFT", "runs of the other methods", "items", "methods"} <= set(table.index)
    assert table.loc["runs of SFT", "n"] == 3
    assert table.loc["runs of the other methods", "n"] == 6
    # Runs differ by how they answered single items alone: about sqrt(p (1 - p) / n), in points.
    assert 0.3 < table.loc["runs of the other methods", "estimate"] < 3.5


MODEL = {"student": "s", "teacher": "t", "method": "gkd", "temperature": 1.0, "seed": 0}


def answers(accuracy, items, generator, choices=0):
    right = generator.random(items) < accuracy
    wrong = generator.integers(1, choices if choices else 1000, items)
    return np.where(right, 0, wrong)


def pairs(first, second, task):
    right, its = first == 0, second == 0
    neither = ~right & ~its
    frame = pd.DataFrame(
        {
            "own_right": right, "teacher_right": its, "own_wrong": ~right, "teacher_wrong": ~its,
            "both_right": right & its, "both_wrong": neither, "same_wrong": neither & (first == second),
        }
    ).astype(float)  # fmt: skip
    return frame.assign(model="m", teacher_model="t", task=task, item=[f"{task}{i}" for i in range(len(first))])


@pytest.fixture
def two_tasks():
    """A student that copies a third of the answers, on a task of free answers and one of four choices."""
    generator, parts, told = np.random.default_rng(0), [], {}
    for task, choices in (("free", 0), ("choice", 4)):
        teacher, own = (answers(p, 300, generator, choices) for p in (0.7, 0.5))
        own = np.where(generator.random(300) < 0.3, teacher, own)
        parts.append(pairs(own, teacher, task))
        codes = encode_answers([teacher.tolist(), own.tolist()])
        told[task] = values_of(pair_answers(*codes, teacher == 0, own == 0, chance=1 / choices if choices else 0.0))
    frame = pd.concat(parts, ignore_index=True)
    records = frame[["model", "task", "item"]].assign(correct=frame["own_right"], **MODEL)
    matrix = item_matrix(records)
    [found] = teacher_pairs(frame, matrix)
    return found, pd.factorize(matrix.items["task"])[0], told


def test_the_mean_is_the_measure_of_the_pair(two_tasks):
    found, task_of, told = two_tasks
    right, wrong = shared_right(found, task_of), shared_wrong(found, task_of, np.array([0.0, 1 / 3]))
    for number, (task, measure) in enumerate(told.items()):
        inside = task_of == number
        both = right[0, inside].mean() + wrong[0, inside].mean()
        assert both == pytest.approx(measure["agreement_beyond_accuracy"], abs=1e-12), task
        expected = measure["both_right"] - (found.shares["own_right"][0, inside].mean()
                                         * found.shares["teacher_right"][0, inside].mean())  # fmt: skip
        assert right[0, inside].mean() == pytest.approx(expected)


def test_inherited_errors_are_those_of_all_tasks_together(two_tasks):
    found, task_of, _ = two_tasks
    shares = {name: values[0].reshape(2, -1).mean(axis=1).mean() for name, values in found.shares.items()}
    values = inherited_errors(found, task_of)
    assert values.mean() == pytest.approx(shares["same_wrong"] / shares["both_wrong"])


def test_the_error_is_that_of_the_bootstrap(two_tasks):
    """Items of each task drawn again 4,000 times: the standard deviation is the standard error of the item values."""
    found, task_of, _ = two_tasks
    generator, w = np.random.default_rng(1), np.array([0.0, 1 / 3])
    drawn = {"right": [], "wrong": [], "inherited": []}
    for _ in range(4000):
        chosen = np.concatenate([generator.choice(np.flatnonzero(task_of == t), 300) for t in (0, 1)])
        s = {name: values[0, chosen].reshape(2, 300).mean(axis=1) for name, values in found.shares.items()}
        drawn["right"].append((s["both_right"] - s["own_right"] * s["teacher_right"]).mean())
        drawn["wrong"].append((s["same_wrong"] - w * s["own_wrong"] * s["teacher_wrong"]).mean())
        drawn["inherited"].append(s["same_wrong"].mean() / s["both_wrong"].mean())
    values = {
        "right": shared_right(found, task_of), "wrong": shared_wrong(found, task_of, w),
        "inherited": inherited_errors(found, task_of),
    }  # fmt: skip
    for name, own in values.items():
        parts = own[0].reshape(2, 300)
        error = math.sqrt(float((parts.var(axis=1, ddof=1) / 300).sum())) / 2
        assert error == pytest.approx(np.std(drawn[name]), rel=0.05), name


def test_nothing_wrong_has_no_inherited_errors():
    right = np.zeros(5, dtype=int)
    frame = pairs(right, right, "x")
    records = frame[["model", "task", "item"]].assign(correct=frame["own_right"], **MODEL)
    [found] = teacher_pairs(frame, item_matrix(records))
    assert np.isnan(inherited_errors(found, np.zeros(5, dtype=int))).all()

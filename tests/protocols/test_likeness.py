"""Likeness as item values: their mean is the measure, their error that of resampling."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from kdscope.fidelity.agreement import encode_answers, pair_answers
from kdscope.fidelity.measures import values_of
from kdscope.protocols.item_matrix import item_matrix, teacher_pairs
from kdscope.protocols.likeness import inherited_errors, shared_right, shared_wrong

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

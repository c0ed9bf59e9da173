"""Warm starts, learning rates and what is kept: what a study may ask, and the words in which the rest is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kdscope.core.errors import StudyError
from kdscope.study.dump import study_yaml
from kdscope.study.load import load_study
from kdscope.study.schema import Study

Write = Any


def values(**changes: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "data": {"path": "train.jsonl", "validation_items": 4},
        "tasks": {"folder": "tasks", "names": "SVAMP"},
        "teachers": {"name": "big", "path": "teacher"},
        "students": {"name": "small", "path": "student"},
        "methods": ["sft", "reverse_kl"],
        **changes,
    }


def loaded(folder: Path, **changes: Any) -> Study:
    (folder / "study.yaml").write_text(yaml.safe_dump(values(**changes)))
    return load_study(folder / "study.yaml")


def student(rate: Any, **tuning: Any) -> dict[str, Any]:
    return {"name": "small", "path": "student", "tuning": {"kind": "full", "learning_rate": rate, **tuning}}


@pytest.mark.parametrize(
    ("written", "read"),
    [([0.002, 0.001], (0.002, 0.001)), ([0.001], 0.001), (0.001, 0.001), (None, None), ([1], 1.0)],
)
def test_a_list_of_one_learning_rate_is_that_rate(workspace: Path, written: Any, read: Any) -> None:
    study = loaded(workspace, students=student(written))
    assert study.students[0].tuning.learning_rate == read
    again = workspace / "again.yaml"
    again.write_text(study_yaml(study))
    assert load_study(again) == study


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_both_kinds_of_tuning_take_a_list(workspace: Path, kind: str) -> None:
    study = loaded(workspace, students=student([0.001, 0.002], kind=kind))
    assert study.students[0].tuning.learning_rate == (0.001, 0.002)


NO_ITEMS = {"path": "train.jsonl", "validation_items": 0}
TEACHER = {"name": "big", "path": "teacher"}


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"students": student([0.001, 0.002, 0.001])}, "students.tuning.learning_rate", "0.001 is listed twice"),
        ({"students": student([])}, "students.tuning.learning_rate", "given an empty list"),
        ({"students": student([0.001, 0])}, "students.tuning.learning_rate[1]", "more than 0"),
        (
            {"students": student([0.001, 0.002]), "data": NO_ITEMS},
            "data.validation_items",
            "learning rates is compared",
        ),
        ({"training": {"keep": "best_accuracy"}, "data": NO_ITEMS}, "training.keep", "'data.validation_items' is 0"),
        ({"training": {"keep": "best_loss"}, "data": NO_ITEMS}, "training.keep", "'data.validation_items' is 0"),
        ({"training": {"keep": "first"}}, "training.keep", "one of last, best_accuracy, best_loss"),
        (
            {"teacher_training": {"keep": "best_loss"}, "teachers": TEACHER | {"data": NO_ITEMS}},
            "teacher_training.keep",
            "big has no validation items",
        ),
        (
            {"teachers": TEACHER | {"tuning": {"kind": "full", "learning_rate": [0.001, 0.002]}}},
            "teachers.tuning.learning_rate",
            "one value for a teacher",
        ),
        (
            {"methods": ["sft", {"name": "gkd", "warm_start": "forward_kl"}]},
            "methods[1].warm_start",
            "give 'warm_start_steps'",
        ),
        (
            {"methods": ["sft", {"name": "seqkd", "warm_start": "forward_kl"}]},
            "methods[1].warm_start",
            "does not apply to method 'seqkd'",
        ),
        (
            {"methods": {"name": "sft", "warm_start": "forward_kl"}},
            "methods.warm_start",
            "does not apply to method 'sft'",
        ),
        (
            {"methods": ["sft", {"name": "forward_kl", "warm_start": "forward_kl", "warm_start_steps": 3}]},
            "methods[1].warm_start",
            "does not apply to method 'forward_kl'",
        ),
        (
            {"methods": ["sft", {"name": "jsd", "sampling_temperature": 2}]},
            "methods[1].sampling_temperature",
            "does not apply to method 'jsd'",
        ),
        (
            {"methods": ["sft", {"name": "seqkd", "on_policy_probability": 0.5}]},
            "methods[1].on_policy_probability",
            "does not apply to method 'seqkd'",
        ),
        (
            {"methods": ["sft", {"name": "jsd", "on_policy_probability": 0.5, "on_policy_divergence": "seqkd"}]},
            "methods[1].on_policy_divergence",
            "a method with a divergence, not seqkd",
        ),
        (
            {"methods": ["sft", {"name": "jsd", "on_policy_probability": 1, "kd_weight": [0.5, 1]}]},
            "methods[1].kd_weight",
            "does not apply to method 'jsd'",
        ),
        ({"methods": {"name": "sft", "text": "teacher"}}, "methods.text", "does not apply to method 'sft'"),
        (
            {"methods": ["sft", {"name": "seqkd", "text": "gold"}]},
            "methods[1].text",
            "'text' of method 'seqkd' is teacher or both, not gold",
        ),
        (
            {"methods": ["sft", {"name": "alpha_beta", "settings": {"alpha": 0.0, "beta": 0.0}}]},
            "methods[1]",
            "alpha and beta must not both be 0",
        ),
        (
            {"methods": ["sft", {"name": "concrete_score", "settings": {"first_weight": "gold"}}]},
            "methods[1]",
            "first_weight is student, teacher or uniform, not 'gold'",
        ),
    ],
)
def test_what_is_refused_and_where(workspace: Path, changes: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(StudyError) as caught:
        loaded(workspace, **changes)
    assert caught.value.key == key
    assert words in str(caught.value)


def test_teachers_follow_the_rule_of_training_unless_theirs_says_otherwise(workspace: Path) -> None:
    inherited = loaded(workspace, training={"keep": "best_loss"}, teacher_training={"epochs": 1})
    assert inherited.teacher_training is not None
    assert (inherited.training.keep, inherited.teacher_training.keep) == ("best_loss", "best_loss")
    own = loaded(workspace, training={"keep": "best_loss"}, teacher_training={"keep": "last"})
    assert own.teacher_training is not None
    assert own.teacher_training.keep == "last"
    assert loaded(workspace).training.keep == "last"


def test_a_warm_start_round_trips_and_is_left_out_where_there_is_none(workspace: Path) -> None:
    method = {"name": "jsd", "warm_start": "forward_kl", "warm_start_steps": 3}
    study = loaded(workspace, methods=["sft", method, "gkd"])
    told = yaml.safe_load(study_yaml(study))["methods"]
    assert [entry.get("warm_start") for entry in told] == [None, "forward_kl", None]
    again = workspace / "again.yaml"
    again.write_text(study_yaml(study))
    assert load_study(again) == study

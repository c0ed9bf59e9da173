"""The declarations of the built-in tasks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kdscope.tasks import Task, TrainingSet, list_tasks, list_training_sets, task_to_json
from kdscope.tasks.declaration import LIBRARY
from kdscope.tasks.definitions import read_yaml_task
from kdscope.tasks.task import fields_as_json

GOLDEN = json.loads((Path(__file__).parent / "golden_declarations.json").read_text(encoding="utf-8"))
"""Every built-in task and training set as the Python declarations gave it that the YAML files replaced."""


@pytest.mark.parametrize("task", list_tasks(), ids=lambda task: task.name)
def test_a_built_in_task_equals_its_former_python_declaration(task: Task) -> None:
    assert json.loads(json.dumps(task_to_json(task))) == GOLDEN["tasks"][task.name]


@pytest.mark.parametrize("training_set", list_training_sets(), ids=lambda training_set: training_set.name)
def test_a_training_set_equals_its_former_python_declaration(training_set: TrainingSet) -> None:
    assert json.loads(json.dumps(fields_as_json(training_set))) == GOLDEN["training_sets"][training_set.name]


def test_the_order_of_the_built_in_tasks_and_training_sets() -> None:
    assert [task.name for task in list_tasks()] == list(GOLDEN["tasks"])
    assert [training_set.name for training_set in list_training_sets()] == list(GOLDEN["training_sets"])


@pytest.mark.parametrize("task", [task for task in list_tasks() if not task.generated], ids=lambda task: task.name)
def test_a_built_in_task_is_declared_as_a_persons_own(task: Task) -> None:
    assert read_yaml_task(LIBRARY / f"{task.name}.yaml").task == task


def test_every_file_of_the_library_is_listed() -> None:
    files = {file.stem for file in LIBRARY.glob("*.yaml")} - {"training_sets"}
    assert files == {task.name for task in list_tasks() if not task.generated}

"""A person's own tasks, those of extensions too: told to stages in full, as a stage may only know its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdscope.pipeline.fingerprint import JSON
from kdscope.tasks import TaskRegistry, built_in_registry, task_from_json, task_to_json


def definitions_of(registry: TaskRegistry, names: Sequence[str]) -> dict[str, JSON]:
    """Stage parameters that tell a person's own tasks among these; none where all are built in."""
    built_in = built_in_registry()
    own = [registry.get(name) for name in names if registry.get(name).name not in built_in]
    # Where a task's file lies changes nothing; what stands in it is told apart.
    told: list[JSON] = [{key: value for key, value in task_to_json(task).items() if key != "file"} for task in own]
    return {"own_tasks": told} if told else {}


def registry_of(parameters: Mapping[str, Any]) -> TaskRegistry:
    """The built-in tasks, and those that the parameters tell."""
    return built_in_registry().extended(task_from_json(told) for told in parameters.get("own_tasks", ()))

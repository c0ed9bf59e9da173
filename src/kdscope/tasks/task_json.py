"""Tasks as plain JSON values and back, for the parameters of a stage."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from kdscope.core.errors import DataError
from kdscope.tasks.mapping import FieldMapping
from kdscope.tasks.sources import HubDataset, RepositoryFile, Source
from kdscope.tasks.task import Task

_Value = TypeVar("_Value")


def task_to_json(task: Task) -> dict[str, Any]:
    """A task as JSON values; what is at its default is left out, so a new attribute changes no old task.

    >>> from kdscope.tasks import get_task
    >>> task_from_json(task_to_json(get_task("gsm8k"))) == get_task("gsm8k")
    True
    """
    return _plain_fields(task)


def task_from_json(values: Mapping[str, Any]) -> Task:
    """The task of such values.

    Raises:
        DataError: A key is missing or unknown, or the task cannot be.
    """
    made = dict(values)
    for key in ("labels", "aliases"):
        made[key] = tuple(made.get(key, ()))
    for key in ("sources", "train_sources"):
        made[key] = tuple(_source(source) for source in made.get(key, ()))
    if made.get("file") is not None:
        made["file"] = Path(made["file"])
    if made.get("fields") is not None:
        made["fields"] = _mapping(made["fields"])
    return _make(Task, made)


def _plain_fields(value: Any) -> dict[str, Any]:
    return {
        field.name: _plain(getattr(value, field.name))
        for field in dataclasses.fields(value)
        if getattr(value, field.name) != field.default
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return _plain_fields(value)
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def _source(values: Mapping[str, Any]) -> Source:
    made = dict(values)
    if made.get("fields") is not None:
        made["fields"] = _mapping(made["fields"])
    return _make(RepositoryFile, made) if "repository" in made else _make(HubDataset, made)


def _mapping(values: Mapping[str, Any]) -> FieldMapping:
    made = dict(values)
    if "options" in made:
        made["options"] = tuple(made["options"])
    if "answers" in made:
        made["answers"] = tuple((found, meant) for found, meant in made["answers"])
    return _make(FieldMapping, made)


def _make(kind: type[_Value], values: Mapping[str, Any]) -> _Value:
    try:
        return kind(**values)
    except TypeError as error:
        raise DataError(f"these are not the values of a {kind.__name__}: {error}") from None

"""A person's own tasks: a folder of small YAML or Python files, each of which declares one task or several.

Planning imports this module, so what reads YAML is imported when there is YAML to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdscope.core.errors import DataError, StudyError
from kdscope.tasks.catalogue import default_registry
from kdscope.tasks.registry import TaskRegistry
from kdscope.tasks.task import Task
from kdscope.tasks.task_json import task_from_json, task_to_json

__all__ = ["Definition", "read_task_definitions", "registry_with", "task_from_json", "task_to_json"]


@dataclass(frozen=True, slots=True)
class Definition:
    """A task and where it was declared.

    Attributes:
        task: The task.
        file: The file that declares it.
        line: The line of its name; None in a Python file.
    """

    task: Task
    file: Path
    line: int | None = None


def read_task_definitions(folder: Path) -> tuple[Task, ...]:
    """The tasks that the files of a folder declare, by file name; names that begin with ``.`` or ``_`` are left out.

    A ``.yaml`` or ``.yml`` file declares one task, a ``.py`` file sets `TASK` or `TASKS`. Python files are run.

    Raises:
        StudyError: There is no such folder, it holds no such file, a file cannot be read, or a task is called as
            another one; the message names file, line and key.
    """
    registry, tasks = default_registry(), []
    for file in _files(Path(folder)):
        for definition in _read(file):
            registry = _extended(registry, definition)
            tasks.append(definition.task)
    return tuple(tasks)


def registry_with(folder: Path | None) -> TaskRegistry:
    """The built-in tasks and, after them, those that `folder` declares.

    Raises:
        StudyError: As `read_task_definitions`.

    >>> registry_with(None) == default_registry()
    True
    """
    return default_registry() if folder is None else default_registry().extended(read_task_definitions(folder))


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise StudyError("no such folder of task definitions", file=folder)
    suffixes = (".yaml", ".yml", ".py")
    files = [file for file in sorted(folder.iterdir()) if file.suffix in suffixes and file.name[0] not in "._"]
    if not files:
        raise StudyError("this folder declares no task: it has no *.yaml, *.yml or *.py file", file=folder)
    return files


def _read(file: Path) -> list[Definition]:
    if file.suffix == ".py":
        from kdscope.tasks.definition_python import read_python_tasks

        return [Definition(task, file) for task in read_python_tasks(file)]
    from kdscope.tasks.definition_yaml import read_yaml_task

    task, line = read_yaml_task(file)
    return [Definition(task, file, line)]


def _extended(registry: TaskRegistry, definition: Definition) -> TaskRegistry:
    try:
        return registry.extended([definition.task])
    except DataError as error:
        message = str(error).removeprefix(f"{error.key}: ")
        raise StudyError(message, file=definition.file, line=definition.line, key="name") from None

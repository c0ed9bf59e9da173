"""A person's own tasks: a folder of small YAML or Python files, each of which declares one task or several.

Planning imports this module, so what reads YAML is imported when there is YAML to read.
"""

from __future__ import annotations

import dataclasses
import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdscope.core.errors import DataError, StudyError
from kdscope.core.extensions import failure_of
from kdscope.core.files import path_trouble, why_no_file
from kdscope.tasks.declaration import Declaration
from kdscope.tasks.registry import TaskRegistry, default_registry
from kdscope.tasks.task import Task

if TYPE_CHECKING:
    from kdscope.study.source import Document


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
    if path_trouble(folder) is not None or not folder.is_dir():
        raise StudyError("no such folder of task definitions", file=folder)
    suffixes = (".yaml", ".yml", ".py")
    files = [file for file in sorted(folder.iterdir()) if file.suffix in suffixes and file.name[0] not in "._"]
    if not files:
        raise StudyError("this folder declares no task: it has no *.yaml, *.yml or *.py file", file=folder)
    return files


def _read(file: Path) -> list[Definition]:
    if file.suffix == ".py":
        return [Definition(task, file) for task in read_python_tasks(file)]
    return [read_yaml_task(file)]


def _extended(registry: TaskRegistry, definition: Definition) -> TaskRegistry:
    try:
        return registry.extended([definition.task])
    except DataError as error:
        message = str(error).removeprefix(f"{error.key}: ")
        raise StudyError(message, file=definition.file, line=definition.line, key="name") from None


def read_yaml_task(file: Path) -> Definition:
    """The task of a YAML file.

    Raises:
        StudyError: The file cannot be read or declares no possible task; all problems, one a line.
    """
    from kdscope.study.source import Problem

    document = _document(file)
    declaration = Declaration(document.values, file.resolve().parent)
    task = declaration.task()
    problems = [*document.problems, *(Problem(place, message) for place, message in declaration.problems)]
    if task is None or problems:
        raise document.source.error(problems)
    return Definition(task, file, document.source.line(("name",)))


def _document(file: Path) -> Document:
    import yaml

    from kdscope.study.source import compose, deep_nesting_refused, parse_document, read_text

    text = read_text(file)
    with deep_nesting_refused(file):
        node = compose(text, file)
    if node is None:
        raise StudyError("the file is empty; a task is a mapping of 'key: value' lines", file=file)
    if not isinstance(node, yaml.MappingNode):
        line = node.start_mark.line + 1
        raise StudyError("a task is a mapping of 'key: value' lines, nothing else", file=file, line=line)
    return parse_document(text, file)


def read_python_tasks(file: Path) -> list[Task]:
    """The tasks that a Python file sets as `TASK` (one) or `TASKS` (several); the file is run.

    A relative path to rows is one beside the file.

    Raises:
        StudyError: The file fails, sets neither or both, or sets something else; the message names file and line.
    """
    names = _run(file)
    given = [name for name in ("TASK", "TASKS") if name in names]
    if len(given) != 1:
        raise StudyError("sets both TASK and TASKS" if given else "sets neither TASK nor TASKS", file=file)
    value = names[given[0]]
    tasks = [value] if given == ["TASK"] else list(value) if isinstance(value, (list, tuple)) else []
    if not tasks or not all(isinstance(task, Task) for task in tasks):
        expected = "a Task" if given == ["TASK"] else "a list of Task, at least one"
        raise StudyError(f"expected {expected}", file=file, key=given[0])
    return [located_task(task, file) for task in tasks]


def _run(file: Path) -> dict[str, Any]:
    if (reason := path_trouble(file) or why_no_file(file)) is not None:
        raise StudyError(reason, file=file)
    try:
        return runpy.run_path(str(file))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise failure_of(file, error) from error


def located_task(task: Task, file: Path) -> Task:
    """The task that a Python file declares, whose rows lie beside that file.

    Raises:
        StudyError: It names neither a file nor a number of items, or a file that does not exist.
    """
    if task.generated:
        raise StudyError("needs a file, or test_items if its rows are in the data folder", file=file, key=task.name)
    if task.file is None:
        return task
    rows = file.parent.resolve() / task.file
    if not rows.is_file():
        raise StudyError(f"no such file: {rows}", file=file, key=task.name)
    return dataclasses.replace(task, file=rows)

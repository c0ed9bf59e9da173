"""Tasks declared in a Python file."""

from __future__ import annotations

import dataclasses
import runpy
import traceback
from pathlib import Path
from typing import Any

from kdscope.core.errors import StudyError
from kdscope.tasks.task import Task


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
    return [_located(task, file) for task in tasks]


def _run(file: Path) -> dict[str, Any]:
    try:
        return runpy.run_path(str(file))
    except SyntaxError as error:
        raise StudyError(f"not valid Python: {error.msg}", file=file, line=error.lineno) from None
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(file)]
        message = f"fails with {type(error).__name__}: {error}"
        raise StudyError(message, file=file, line=lines[-1] if lines else None) from error


def _located(task: Task, file: Path) -> Task:
    if task.generated:
        raise StudyError("needs a file, or test_items if its rows are in the data folder", file=file, key=task.name)
    if task.file is None:
        return task
    rows = file.parent.resolve() / task.file
    if not rows.is_file():
        raise StudyError(f"no such file: {rows}", file=file, key=task.name)
    return dataclasses.replace(task, file=rows)

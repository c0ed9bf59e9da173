"""Where on this machine the rows of a task or a training set lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kdscope.core.errors import DataError
from kdscope.tasks.registry import Split, Task
from kdscope.tasks.training_sets import TrainingSet


def find_task_file(task: Task, folder: Path | None, split: Split = "test") -> Path:
    """The file with a task's rows: its own, or the first of its locations that exists below `folder`.

    Raises:
        DataError: There is none, or the task is generated; the message names what was tried.
    """
    if task.generated:
        raise DataError("its items are generated; there is no file", key=task.name)
    if task.file is not None:
        return _own_file(task, task.file, split)
    return _first(task.name, folder, task.locations(split))


def find_training_file(training_set: TrainingSet, folder: Path) -> Path:
    """The file with a training set's rows, below `folder`.

    Raises:
        DataError: There is none; the message names what was tried.
    """
    return _first(training_set.name, folder, training_set.locations())


def _own_file(task: Task, file: Path, split: Split) -> Path:
    if split != "test":
        raise DataError(f"has test items only, in {file}", key=task.name)
    if not file.is_file():
        raise DataError("no such file", file=file, key=task.name)
    return file


def _first(name: str, folder: Path | None, locations: Sequence[str]) -> Path:
    if folder is None:
        advice = f"`kdscope data fetch {name}` brings its file into ./data; give that folder with --data-dir"
        raise DataError(f"no data folder is given, and it has no file of its own; {advice}", key=name)
    for location in locations:
        file = Path(folder) / location
        if file.is_file():
            return file
    advice = f"`kdscope data fetch {name} --data-dir {folder}` brings it"
    raise DataError(f"no such file; looked for {', '.join(locations)}; {advice}", file=folder, key=name)

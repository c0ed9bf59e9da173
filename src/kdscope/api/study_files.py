"""Checks of the files and folders that a study names: data, tasks, models. No weights are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from kdscope.core.errors import KdscopeError, ModelError
from kdscope.models.configuration import read_config, text_config
from kdscope.models.files import check_model
from kdscope.study.arms import DataSource, Student, Teacher
from kdscope.study.load import LoadedStudy
from kdscope.study.schema import Study
from kdscope.study.source import Location, Problem
from kdscope.tasks import Task

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
_LAYER_KEYS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


def check_files(loaded: LoadedStudy, find_task: Callable[[str], Task]) -> None:
    """Check the data file, the tasks and the model folders of a study. Hub models are not looked up.

    Args:
        loaded: From `read_study`.
        find_task: The task of a name or alias; raises a `KdscopeError` that says what is known.

    Raises:
        StudyError: All problems, one a line, with file, line and key.
    """
    study = loaded.study
    problems = [*_data_problems(("data",), study.data, find_task), *_task_problems(study, find_task)]
    if study.data.unlabelled is not None:
        problems += _data_problems(("data", "unlabelled"), study.data.unlabelled, find_task)
    for index, teacher in enumerate(study.teachers):
        problems += _model_problems(("teachers", index), teacher)
        if teacher.data is not None:
            problems += _data_problems(("teachers", index, "data"), teacher.data, find_task)
    for index, student in enumerate(study.students):
        problems += _model_problems(("students", index), student)
    if problems:
        raise loaded.source.error(problems)


def count_layers(folder: Path) -> int | None:
    """The number of layers that a model folder's config.json gives; None where it has no such entry.

    Raises:
        ModelError: config.json is not a JSON object.
    """
    config = read_config(folder)
    for part in (config, text_config(config)):
        for key in _LAYER_KEYS:
            if isinstance(part.get(key), int):
                return int(part[key])
    return None


def _data_problems(location: Location, data: DataSource, find_task: Callable[[str], Task]) -> Iterator[Problem]:
    if data.mini is not None:
        yield from _mini_problems((*location, "mini", "tasks"), data.mini.tasks, find_task)
    elif data.path is not None and data.path.is_dir():
        yield Problem((*location, "path"), f"{data.path} is a folder, not a file")
    elif data.path is not None and not data.path.is_file():
        yield Problem((*location, "path"), f"no file {data.path}")


def _mini_problems(location: Location, names: Sequence[str], find_task: Callable[[str], Task]) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for index, written in enumerate(names):
        try:
            task = find_task(written)
        except KdscopeError as error:
            yield Problem((*location, index), str(error))
            continue
        if not task.generated:
            yield Problem((*location, index), f"{written} is not a mini task, its problems come from a file")
        if task.name in seen:
            yield Problem((*location, index), f"'{written}' and '{seen[task.name]}' are the same task")
        seen[task.name] = written


def _task_problems(study: Study, find_task: Callable[[str], Task]) -> Iterator[Problem]:
    folder = study.tasks.folder
    if folder is not None and not folder.is_dir():
        yield Problem(("tasks", "folder"), f"no folder {folder}")
    definitions = study.tasks.definitions
    if definitions is not None and not definitions.is_dir():
        yield Problem(("tasks", "definitions"), f"no folder {definitions}")
    seen: dict[str, str] = {}
    for index, written in enumerate(study.tasks.names):
        location = ("tasks", "names", index)
        try:
            task = find_task(written)
        except KdscopeError as error:
            yield Problem(location, str(error))
            continue
        if task.name in seen:
            yield Problem(location, f"'{written}' and '{seen[task.name]}' are the same task")
        seen[task.name] = written
        if not task.generated and (message := _task_file_problem(folder, task)) is not None:
            yield Problem(location, message)


def _task_file_problem(folder: Path | None, task: Task) -> str | None:
    if task.file is not None:
        return None if task.file.is_file() else f"no file {task.file}"
    first = task.locations()[0]
    if folder is None:
        return f"the items of {task.name} come from a file: give 'folder', with {first} in it"
    if folder.is_dir() and not any((folder / place).is_file() for place in task.locations()):
        return f"no file {folder / first}"
    return None


def _model_problems(location: Location, model: Teacher | Student) -> Iterator[Problem]:
    if model.path is None:
        return
    if (message := _folder_problem(model.path)) is not None:
        yield Problem((*location, "path"), message)
        return
    try:
        check_model(model.path, trusted=model.trust_remote_code)
        layers = count_layers(model.path)
    except ModelError as error:
        yield Problem((*location, "path"), str(error))
        return
    if isinstance(model, Student) and layers is not None and (message := _depth_problem(model, layers)) is not None:
        yield Problem((*location, "keep_layers"), message)


def _folder_problem(folder: Path) -> str | None:
    """Why a folder cannot be a model, in the order in which a person would find out."""
    if not folder.is_dir():
        return f"no folder {folder}"
    if not (folder / "config.json").is_file():
        adapter = (folder / "adapter_config.json").is_file()
        return f"{folder} {'is an adapter; merge it into its model first' if adapter else 'has no config.json'}"
    names = {path.name for path in folder.iterdir()}
    if not names.intersection(_TOKENIZER_FILES) and not any(name.endswith(".tiktoken") for name in names):
        return f"{folder} has no tokenizer (none of {', '.join(_TOKENIZER_FILES)})"
    if any(name.endswith(".safetensors") for name in names):
        return None
    if any(name.endswith((".bin", ".pt", ".pth")) for name in names):
        return (
            f"{folder} has only pickled weights, which can run code when loaded; convert them to safetensors "
            "(load the model where you trust it and save it with save_pretrained)"
        )
    return f"{folder} has no weights (*.safetensors)"


def _depth_problem(student: Student, layers: int) -> str | None:
    keep = student.keep_layers
    if isinstance(keep, int) and keep > layers:
        return f"keeps {keep} layers of a model that has {layers}"
    if isinstance(keep, tuple) and keep[-1] >= layers:
        return f"layer {keep[-1]} does not exist: the model has {layers}, numbered from 0"
    return None

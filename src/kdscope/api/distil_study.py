"""From the few things that a single distillation is asked with to the study that does it."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from kdscope.api.study import check_vocabularies
from kdscope.core.errors import KdscopeError, StudyError
from kdscope.data.rows import read_rows
from kdscope.models.hub import resolve_revision
from kdscope.results.methods import SFT
from kdscope.study.files import check_files
from kdscope.study.load import LoadedStudy
from kdscope.study.paths import EMBEDDED, resolve_paths
from kdscope.study.problems import find_problems
from kdscope.study.schema import Study
from kdscope.study.source import Location, Problem, StudySource
from kdscope.tasks import registry_with

FULL_LEARNING_RATE = 2e-5
"""Where every weight trains; adapters stand the study's own, which is higher."""
_VALIDATION_SHARE, _VALIDATION_ITEMS = 10, 100

_ARGUMENTS: Mapping[str, str] = MappingProxyType(
    {
        **{f"{place}.{key}": place[:-1] for place in ("teachers", "students") for key in ("path", "hub", "revision")},
        "teachers.condition": "teacher_condition",
        "teachers": "teacher",
        "students.tuning.learning_rate": "learning_rate",
        "students": "student",
        "methods.kd_temperature": "temperature",
        "methods.kd_weight": "kd_weight",
        "methods": "method",
        "data": "data",
        "tasks.folder": "data_dir",
        "tasks.definitions": "tasks_dir",
        "tasks.limit": "limit",
        "tasks": "tasks",
        "seeds": "seed",
        "name": "name",
        "training.epochs": "epochs",
        "training.max_steps": "max_steps",
        "training.max_length_tokens": "max_length",
        "evaluation.max_new_tokens": "max_new_tokens",
        "runtime.device": "device",
        "runtime.dtype": "dtype",
        "runtime.workers": "workers",
        "runtime.trackers": "trackers",
    }
)
"""Keys of a study and the arguments they come from; the longest that fits counts."""


@dataclass(frozen=True)
class Asked:
    """What a single distillation is asked with; None takes the default of a study.

    Attributes:
        teacher: A Hugging Face folder, a hub repository (`name@revision` for one that is not the newest), or an
            embedded model (`kdscope:tiny-l`).
        student: Likewise.
        method: How the student learns; any method of a study that has a teacher.
        data: The training set: JSON, JSONL or parquet.
        tasks: What teacher, student and controls are evaluated on; nothing is where there are none.
        data_dir: Folder with the tasks' files.
        tasks_dir: Folder with a person's own tasks.
        limit: Use the first this many items of each task.
        teacher_condition: adapted: the teacher is fine-tuned on the data first (LoRA), as a teacher that never saw the
            format can ruin its student; base: it teaches as it comes.
        temperature: T of the divergence.
        kd_weight: Weight of the divergence against cross-entropy.
        epochs: Passes over the data.
        max_steps: Optimiser steps, instead of epochs.
        learning_rate: The student's, and its control's; where absent 3e-4 for LoRA and 2e-5 in full.
        tuning: lora: the student's adapter trains; full: every weight.
        seed: Of the training.
        control: Whether the same student is fine-tuned without the teacher and evaluated too, where there are tasks.
        max_length: Tokens of prompt and response together.
        max_new_tokens: Tokens, at most, of an answer.
        device: auto, cpu, cuda or mps.
        dtype: auto, float32 or bfloat16.
        workers: Processes that work side by side.
        trackers: Who else is told of the training.
        name: Of the study.
    """

    teacher: str | Path
    student: str | Path
    method: str
    data: str | Path
    tasks: Sequence[str] = ()
    data_dir: Path | None = None
    tasks_dir: Path | None = None
    limit: int | None = None
    teacher_condition: str = "adapted"
    temperature: float | None = None
    kd_weight: float | None = None
    epochs: int | None = None
    max_steps: int | None = None
    learning_rate: float | None = None
    tuning: str = "lora"
    seed: int = 0
    control: bool = True
    max_length: int | None = None
    max_new_tokens: int | None = None
    device: str = "auto"
    dtype: str = "auto"
    workers: int | None = None
    trackers: Sequence[str] = ()
    name: str | None = None


ARGUMENTS = tuple(field.name for field in fields(Asked))


class _Arguments(StudySource):
    """Where the values of this study were written: in arguments."""

    def error(self, problems: Sequence[Problem]) -> StudyError:
        """All problems as one error, each with its argument; the first one gives the error its key."""
        told = [(_argument(problem.location), problem.message) for problem in problems]
        rest = "".join(f"\n{argument}: {message}" for argument, message in told[1:])
        return StudyError(told[0][1] + rest, key=told[0][0])


def study_values(asked: Asked) -> dict[str, Any]:
    """The study as a person would write it.

    Raises:
        StudyError: A model is not there, or the method has no teacher; names the argument.
        DataError: The data cannot be read.
    """
    if asked.method == SFT:
        message = "sft is fine-tuning without a teacher: the control, which comes along where there are tasks"
        raise StudyError(message, key="method")
    teacher, student = _model("teacher", asked.teacher), _model("student", asked.student)
    method = {"name": asked.method, "kd_temperature": asked.temperature, "kd_weight": asked.kd_weight}
    rate = asked.learning_rate or (FULL_LEARNING_RATE if asked.tuning == "full" else None)
    names = list(asked.tasks)
    values = {
        "name": asked.name or _name(f"{student['name']}-{asked.method}-{teacher['name']}"),
        "data": _data(asked.data),
        "tasks": {
            "folder": _written(asked.data_dir),
            "definitions": _written(asked.tasks_dir),
            "names": names,
            "limit": asked.limit,
        },
        "teachers": [{**teacher, "condition": asked.teacher_condition}],
        "students": [{**student, "tuning": {"kind": asked.tuning, "learning_rate": rate}}],
        "methods": [*([SFT] if asked.control and names else []), method],
        "seeds": [asked.seed],
        "training": {"epochs": asked.epochs, "max_steps": asked.max_steps, "max_length_tokens": asked.max_length},
        "evaluation": {"max_new_tokens": asked.max_new_tokens, "base_models": bool(names) or None},
        "runtime": {
            "device": asked.device,
            "dtype": asked.dtype,
            "workers": asked.workers,
            "trackers": list(asked.trackers) or None,
        },
    }
    found: dict[str, Any] = _without_nothing(values)
    return found


def checked_study(values: Mapping[str, Any]) -> Study:
    """The study of these values, with everything it points to looked at.

    Raises:
        StudyError: All problems, one a line, each with its argument.
    """
    own, source = copy.deepcopy(dict(values)), _Arguments(Path("study.yaml"))
    problems = resolve_paths(own, Path.cwd(), {})
    try:
        study = Study.model_validate(own)
    except ValidationError as error:
        raise source.error([*problems, *find_problems(error, own)]) from None
    if problems:
        raise source.error(problems)
    definitions = study.tasks.definitions
    registry = registry_with(definitions if definitions is not None and definitions.is_dir() else None)
    loaded = LoadedStudy(study, source)
    check_files(loaded, registry.get)
    check_vocabularies(loaded)
    names = tuple(registry.get(name).name for name in study.tasks.names)
    return study.model_copy(update={"tasks": study.tasks.model_copy(update={"names": names})})


def _argument(location: Location) -> str:
    key = ".".join(part for part in location if isinstance(part, str))
    fitting = [known for known in _ARGUMENTS if key == known or key.startswith(f"{known}.")]
    return _ARGUMENTS[max(fitting, key=len)] if fitting else key


def _model(argument: str, model: str | Path) -> dict[str, Any]:
    """Where a model comes from, and a name for it."""
    text = str(model)
    if text.startswith(EMBEDDED):
        return {"name": text.removeprefix(EMBEDDED), "path": text}
    folder = Path(text).expanduser()
    if folder.is_dir():
        return {"name": _name(folder.resolve().name), "path": _written(folder)}
    if folder.is_absolute() or text.startswith((".", "~")) or not text:
        raise StudyError(f"no folder {text or 'without a name'}", key=argument)
    repository, _, revision = text.partition("@")
    try:
        commit = resolve_revision(repository, revision or None)
    except KdscopeError as error:
        raise StudyError(str(error), key=argument) from error
    return {"name": _name(repository.split("/")[-1]), "hub": repository, "revision": commit}


def _data(data: str | Path) -> dict[str, Any]:
    """The training set, and how many of its rows are held out: a tenth of a small one."""
    file = Path(data).expanduser()
    if not file.is_file():
        return {"path": _written(file)}  # what is wrong is said where everything is checked
    held_out = min(_VALIDATION_ITEMS, len(read_rows(file)) // _VALIDATION_SHARE)
    return {"path": _written(file), "validation_items": held_out}


def _written(path: Path | None) -> str | None:
    """A path as a study has it: from the root, dollar signs doubled."""
    return None if path is None else str(path.expanduser().absolute()).replace("$", "$$")


def _name(text: str) -> str:
    """A name made of a text: what a name cannot have becomes a dash."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("._-")
    return plain[:64] or "model"


def _without_nothing(value: Any) -> Any:
    """Mappings without the keys that say nothing; whole sections too, unless they are asked for."""
    if isinstance(value, list):
        return [_without_nothing(part) for part in value]
    if not isinstance(value, dict):
        return value
    inner = {key: _without_nothing(part) for key, part in value.items()}
    return {key: part for key, part in inner.items() if part is not None and part != {}}

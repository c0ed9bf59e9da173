"""One student from one teacher, without a study file: a study is made, run like any other, its student exported."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kdscope.api.distillation_arguments import ARGUMENTS
from kdscope.api.export import Exported, check_free, export_models
from kdscope.api.study import StudyResult, check_vocabularies, run_study
from kdscope.api.study_files import check_files
from kdscope.core.errors import KdscopeError, StudyError
from kdscope.core.extensions import load_extensions
from kdscope.data.rows import read_rows
from kdscope.models.source import resolve_revision
from kdscope.pipeline.events import Events
from kdscope.results.methods import SFT
from kdscope.study.dump import values_yaml
from kdscope.study.embedded import EMBEDDED
from kdscope.study.grid import expand_cells
from kdscope.study.load import LoadedStudy, resolve_paths
from kdscope.study.problems import find_problems
from kdscope.study.schema import Study
from kdscope.study.source import Location, Problem, StudySource
from kdscope.tasks import registry_with

FULL_LEARNING_RATE = 2e-5
"""Where every weight trains; adapters stand the study's own, which is higher."""
_VALIDATION_SHARE, _VALIDATION_ITEMS = 10, 100


@dataclass(frozen=True)
class Distilled:
    """What a distillation left behind.

    Attributes:
        folder: The student, a Hugging Face or peft folder; None where training failed.
        card: Its model card; None likewise.
        exported: The student's files, how to load it, its results in sentences; None likewise.
        study: The study that was run.
        result: What became of it: report, tables, stages.
        run: The folder of report, tables and records.
    """

    folder: Path | None
    card: Path | None
    exported: Exported | None
    study: Study
    result: StudyResult
    run: Path


def distill(
    teacher: str | Path,
    student: str | Path,
    method: str,
    data: str | Path,
    *,
    out: Path | None = None,
    store: Path | None = None,
    merge: bool = False,
    events: Events | None = None,
    **settings: Any,
) -> Distilled:
    """Train one student from one teacher, evaluate both where tasks are given, and export the student with its card.

    It is a study of one method (with the control beside it, where there are tasks): what is done is reused, what was
    interrupted continues, and the results are where those of any study are, in runs/NAME.

    Args:
        teacher: A Hugging Face folder, a hub repository (`name@revision`), or an embedded model (`kdscope:tiny-l`).
        student: Likewise.
        method: How the student learns; any method of a study that has a teacher.
        data: The training set: JSON, JSONL or parquet.
        out: The student's folder; runs/NAME/student where absent.
        store: Where finished work is kept.
        merge: Export a whole model where an adapter was trained.
        events: Who listens.
        settings: The others of `distillation_arguments.ARGUMENTS`: ``tasks`` and ``trackers`` (lists of names),
            ``tuning`` (lora or full), ``control`` (False leaves out the student fine-tuned without the teacher),
            ``temperature``, ``epochs``, ...

    Raises:
        StudyError: Something asked for cannot be; names the argument.
        DataError: A row of the data cannot be used; the folder `out` is in use by something else.
        MachineError: The machine lacks something that was asked for.
        TypeError: There is no such argument.
    """
    study = checked_study(study_values(teacher=teacher, student=student, method=method, data=data, **settings))
    run = Path("runs") / study.name
    folder = Path(out) if out is not None else run / "student"
    check_free(folder)
    result = run_study(study, store=store, out=run, events=events)
    cell = next(cell.label for cell in expand_cells(study) if cell.method.name != SFT)
    made = json.loads((run / "run.json").read_text(encoding="utf-8"))["models"].get(cell)
    if made is None or result.tables is None or result.report is None:
        return Distilled(None, None, None, study, result, run)
    exported = export_models(run, cell, out=folder, merge=merge)[0]
    return Distilled(exported.folder, exported.card, exported, study, result, run)


def distil_yaml(teacher: str | Path, student: str | Path, method: str, data: str | Path, **settings: Any) -> str:
    """The study that `distill` runs when it is called so, as YAML to grow from.

    Raises:
        StudyError: As `distill`.
    """
    values = study_values(teacher=teacher, student=student, method=method, data=data, **settings)
    checked_study(values)
    return values_yaml(values)


def study_values(**given: Any) -> dict[str, Any]:
    """The study as a person would write it, of values of `ARGUMENTS`.

    Raises:
        StudyError: A model is not there, or the method has no teacher; names the argument.
        DataError: The data cannot be read.
        TypeError: There is no such argument.
    """
    load_extensions([])  # those of an earlier study of this process
    if unknown := sorted(set(given) - {argument.name for argument in ARGUMENTS}):
        raise TypeError(f"distill has no argument {unknown[0]!r}")
    asked = {argument.name: argument.default for argument in ARGUMENTS} | given
    if asked["method"] == SFT:
        message = "sft is fine-tuning without a teacher: the control, which comes along where there are tasks"
        raise StudyError(message, key="method")
    teacher, student = _model("teacher", asked["teacher"]), _model("student", asked["student"])
    names = list(asked["tasks"])
    rate = FULL_LEARNING_RATE if asked["tuning"] == "full" else None
    values: dict[str, Any] = {
        "name": _name(f"{student['name']}-{asked['method']}-{teacher['name']}"),
        "data": _data(asked["data"]),
        "tasks": {"folder": None, "definitions": None, "names": names},
        "teachers": [teacher],
        "students": [{**student, "tuning": {"kind": None, "learning_rate": rate}}],
        "methods": [*([SFT] if asked["control"] and names else []), {"name": asked["method"]}],
        "seeds": [],
        "training": {},
        "evaluation": {"max_new_tokens": None, "base_models": bool(names) or None},
        "runtime": {},
    }
    for argument in ARGUMENTS:
        value = asked[argument.name]
        if argument.required or argument.name in ("tasks", "control") or value in (None, (), []):
            continue  # those were set above, or are left to the study
        _put(values, argument.key, _written(Path(value)) if argument.kind is Path else value)
    values["seeds"] = [values["seeds"]]
    found: dict[str, Any] = _without_none(values)
    return found


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a key of a study; in a list of models or methods, that of the last one."""
    *sections, last = key.split(".")
    place: Any = values
    for section in sections:
        place = place[section][-1] if isinstance(place[section], list) else place[section]
    place[last] = list(value) if isinstance(value, tuple) else value


class _Arguments(StudySource):
    """Where the values of this study were written: in arguments."""

    def error(self, problems: Sequence[Problem]) -> StudyError:
        """All problems as one error, each with its argument; the first one gives the error its key."""
        told = [(_argument(problem.location), problem.message) for problem in problems]
        rest = "".join(f"\n{argument}: {message}" for argument, message in told[1:])
        return StudyError(told[0][1] + rest, key=told[0][0])


def checked_study(values: Mapping[str, Any]) -> Study:
    """The study of these values, with everything it points to looked at.

    Raises:
        StudyError: All problems, one a line, each with its argument.
    """
    load_extensions([])
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
    """The argument that a key of the study comes from: the one whose own key has most of it."""
    key = ".".join(part for part in location if isinstance(part, str))
    known = [argument for argument in ARGUMENTS if argument.key and f"{key}.".startswith(f"{argument.key}.")]
    return max(known, key=lambda argument: len(argument.key)).name if known else key


def _model(argument: str, model: str | Path) -> dict[str, Any]:
    """Where a model comes from, and a name for it."""
    text = str(model)
    if text.startswith(EMBEDDED):
        return {"name": text.removeprefix(EMBEDDED), "path": text}
    folder = Path(os.path.expanduser(text))
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
    file = Path(os.path.expanduser(data))
    if not file.is_file():
        return {"path": _written(file)}  # what is wrong is said where everything is checked
    held_out = min(_VALIDATION_ITEMS, len(read_rows(file)) // _VALIDATION_SHARE)
    return {"path": _written(file), "validation_items": held_out}


def _written(path: Path) -> str:
    """A path as a study has it: from the root, dollar signs doubled."""
    return str(Path(os.path.expanduser(path)).absolute()).replace("$", "$$")


def _name(text: str) -> str:
    """A name made of a text: what a name cannot have becomes a dash."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("._-")
    return plain[:64] or "model"


def _without_none(value: Any) -> Any:
    """Mappings without the keys that have no value; whole sections too, unless they are asked for."""
    if isinstance(value, list):
        return [_without_none(part) for part in value]
    if not isinstance(value, dict):
        return value
    inner = {key: _without_none(part) for key, part in value.items()}
    return {key: part for key, part in inner.items() if part is not None and part != {}}

"""A study file becomes a `Study`, preset applied and paths resolved, or one error that lists all that is wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kdscope.core.errors import StudyError
from kdscope.core.extensions import load_extensions
from kdscope.core.files import path_trouble
from kdscope.study.embedded import EMBEDDED, embedded_model
from kdscope.study.fields import as_list
from kdscope.study.problems import find_problems
from kdscope.study.schema import Study
from kdscope.study.source import Location, Problem, StudySource, parse_document, read_document

PRESETS = ("published",)
_VARIABLE = re.compile(r"\$\$|\$\{([^}]*)\}")
_PATHS = (
    *(("data", "path"), ("data", "unlabelled", "path"), ("teachers", "data", "path")),
    *(("teachers", "path"), ("students", "path"), ("extensions",)),
    *(("tasks", "folder"), ("tasks", "definitions"), ("runtime", "tracking_folder")),
)
"""The keys that lead to paths."""
_TEACHER = ("teacher_training",)


@dataclass(frozen=True)
class LoadedStudy:
    """A study and where each of its values was written."""

    study: Study
    source: StudySource


def load_study(path: Path) -> Study:
    """The validated study of a YAML file, its preset applied and its paths made absolute.

    Raises:
        StudyError: The file cannot be read or asks for something impossible; all problems, one a line.
    """
    return read_study(path).study


def read_study(path: Path, extensions: Iterable[Path] = ()) -> LoadedStudy:
    """The same with line numbers, for checks that come after loading.

    Args:
        path: The file.
        extensions: Files beside those that the study names under `extensions`.

    Raises:
        StudyError: As `load_study`.
    """
    document = read_document(Path(path))
    values, source = document.values, document.source
    problems = list(document.problems)
    known = {problem.location for problem in problems}
    unresolved = resolve_paths(values, source.file.parent, os.environ)
    told = {problem.location for problem in unresolved}
    missing = [problem for problem in _load_extensions(values, extensions) if problem.location not in told]
    problems += unresolved + missing
    values = _with_teacher_training(apply_preset(values))
    try:
        study = Study.model_validate(values)
    except ValidationError as error:
        found = [problem for problem in find_problems(error, values) if problem.location not in known]
        places = {problem.location for problem in found}
        # What 'teacher_training' took over from 'training' is wrong in one place only: where it is written.
        problems += [p for p in found if p.location[:1] != _TEACHER or ("training", *p.location[1:]) not in places]
    if problems:
        raise source.error(problems)
    return LoadedStudy(study, source)


def _with_teacher_training(values: dict[str, Any]) -> dict[str, Any]:
    """What `teacher_training` does not say is as in `training`."""
    training, own = values.get("training"), values.get("teacher_training")
    if not isinstance(training, dict) or not isinstance(own, dict):
        return values
    return {**values, "teacher_training": inherit_training(training, own)}


def apply_preset(values: Mapping[str, Any]) -> dict[str, Any]:
    """The study with its preset underneath; unchanged where it names no preset, or one that does not exist.

    Mappings merge key by key and the study's keys win; any other value of the study replaces the preset's. A preset's
    model defaults go under every teacher and student, its method defaults under the entries of `methods` they name.
    """
    name = values.get("preset")
    if name not in PRESETS:
        return dict(values)
    preset = _read_preset(str(name))
    merged = _merge(preset["settings"], values)
    if isinstance(values.get("training"), dict):
        merged["training"] = inherit_training(preset["settings"]["training"], values["training"])
    for kind in ("teachers", "students"):
        if kind in merged:
            merged[kind] = _each(merged[kind], lambda model: _merge_model(preset["model_defaults"], model))
    if "methods" in merged:
        merged["methods"] = _each(merged["methods"], lambda method: _merge_method(preset["method_defaults"], method))
    return merged


def inherit_training(under: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Training settings over those of another section, which says nothing of the length where these do.

    >>> inherit_training({"epochs": 4, "learning_rate": 0.1}, {"max_steps": 90})
    {'learning_rate': 0.1, 'max_steps': 90}
    """
    # Steps here and epochs there would be two lengths, and are refused where one section gives them both.
    length = ("epochs", "max_steps")
    says_length = any(own.get(key) is not None for key in length)
    return {**{key: value for key, value in under.items() if not (says_length and key in length)}, **own}


def _read_preset(name: str) -> dict[str, Any]:
    resource = files("kdscope.study") / "presets" / f"{name}.yaml"
    return parse_document(resource.read_text(encoding="utf-8"), Path(f"{name}.yaml")).values


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**under, **over}
    for key in under.keys() & over.keys():
        if isinstance(under[key], dict) and isinstance(over[key], dict):
            merged[key] = _merge(under[key], over[key])
    return merged


def _each(entries: Any, merge: Callable[[Any], Any]) -> Any:
    return [merge(entry) for entry in entries] if isinstance(entries, list) else merge(entries)


def _merge_model(defaults: Mapping[str, Any], model: Any) -> Any:
    if not isinstance(model, dict):
        return model
    tuning = model.get("tuning", {})
    if tuning == "lora":
        tuning = {"kind": "lora"}
    if not isinstance(tuning, dict) or tuning.get("kind", "lora") != "lora":
        return model
    return _merge(defaults, {**model, "tuning": tuning})


def _merge_method(defaults: Mapping[str, Any], method: Any) -> Any:
    entry = {"name": method} if isinstance(method, str) else method
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or entry["name"] not in defaults:
        return method
    return _merge(defaults[entry["name"]], entry)


def resolve_paths(values: dict[str, Any], folder: Path, environment: Mapping[str, str]) -> list[Problem]:
    """Make every path in the values absolute, in place; what cannot be resolved stays and is reported.

    Args:
        values: A study as written.
        folder: What relative paths start from.
        environment: Values of `${NAME}`; `$$` is a plain dollar sign.
    """
    problems = []
    for first, *below in _PATHS:
        for location, parent, key in _texts(values, first, below) if first in values else ():
            try:
                parent[key] = str(_resolve(parent[key], folder, environment))
            except ValueError as error:
                problems.append(Problem(location, str(error)))
    return problems


def _texts(parent: Any, key: Any, below: Sequence[str], at: Location = ()) -> Iterator[tuple[Location, Any, Any]]:
    """The texts that keys lead to, as location, parent and key; a list on the way stands for each of its entries."""
    value, at = parent[key], (*at, key)
    if isinstance(value, list):
        for index in range(len(value)):
            yield from _texts(value, index, below, at)
    elif below and isinstance(value, dict) and below[0] in value:
        yield from _texts(value, below[0], below[1:], at)
    elif not below and isinstance(value, str):
        yield at, parent, key


def _load_extensions(values: dict[str, Any], more: Iterable[Path]) -> list[Problem]:
    """Before anything is validated: what an extension adds is known from here on."""
    added = [Path(path).absolute() for path in more]
    for path in added:
        if path_trouble(path) is not None or not path.is_file():
            raise StudyError(f"no file {path}", key="--extensions")
    values["extensions"] = [*as_list(values.get("extensions", ())), *map(str, added)]
    named = {location: Path(parent[key]) for location, parent, key in _texts(values, "extensions", ())}
    missing = [
        Problem(location, f"no file {path}")
        for location, path in named.items()
        if path_trouble(path) is not None or not path.is_file()
    ]
    load_extensions([] if missing else named.values())
    return missing


def _resolve(text: str, folder: Path, environment: Mapping[str, str]) -> Path:
    def fill(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        if match[1] not in environment:
            raise ValueError(f"the environment variable '{match[1]}' is not set")
        return environment[match[1]]

    filled = _VARIABLE.sub(fill, text)
    if not filled.strip() or "\0" in filled:
        raise ValueError("the path is empty" if not filled.strip() else "a path cannot hold the character U+0000")
    if filled.startswith(EMBEDDED):
        return embedded_model(filled.removeprefix(EMBEDDED))
    expanded = os.path.expanduser(filled)
    if expanded.startswith("~"):
        raise ValueError(f"there is no home folder '{expanded.split('/')[0]}'")
    # The study's folder has its links followed first, so that a leading '..' means what the system means by it.
    path = Path(os.path.normpath(folder.resolve() / expanded))
    if (trouble := path_trouble(path)) is not None:
        raise ValueError(f"the path {trouble}")
    return path

"""A study file becomes a `Study`, or one error that lists everything wrong with it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kdscope.study.paths import resolve_paths
from kdscope.study.preset import apply_preset, inherit_training
from kdscope.study.problems import find_problems
from kdscope.study.schema import Study
from kdscope.study.source import StudySource, read_document

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


def read_study(path: Path) -> LoadedStudy:
    """The same with line numbers, for checks that come after loading.

    Raises:
        StudyError: As `load_study`.
    """
    document = read_document(Path(path))
    values, source = document.values, document.source
    problems = list(document.problems)
    known = {problem.location for problem in problems}
    problems += resolve_paths(values, source.file.parent, os.environ)
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

"""Paths as written in a study: environment variables and the home folder filled in, relative to the study file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kdscope.study.source import Location, Problem

_VARIABLE = re.compile(r"\$\$|\$\{([^}]*)\}")


def resolve_paths(values: dict[str, Any], folder: Path, environment: Mapping[str, str]) -> list[Problem]:
    """Make every path in the values absolute, in place; what cannot be resolved stays and is reported.

    Args:
        values: A study as written.
        folder: What relative paths start from.
        environment: Values of `${NAME}`; `$$` is a plain dollar sign.
    """
    problems = []
    for location, parent, key in _path_keys(values):
        try:
            parent[key] = str(_resolve(parent[key], folder, environment))
        except ValueError as error:
            problems.append(Problem(location, str(error)))
    return problems


def _path_keys(values: dict[str, Any]) -> Iterator[tuple[Location, dict[str, Any], str]]:
    places: list[tuple[Location, Any, str]] = [
        (("data",), values.get("data"), "path"),
        (("tasks",), values.get("tasks"), "folder"),
    ]
    for kind in ("teachers", "students"):
        models = values.get(kind)
        if isinstance(models, list):
            places += [((kind, index), model, "path") for index, model in enumerate(models)]
        else:
            places.append(((kind,), models, "path"))
    for location, parent, key in places:
        if isinstance(parent, dict) and isinstance(parent.get(key), str):
            yield (*location, key), parent, key


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
    expanded = os.path.expanduser(filled)
    if expanded.startswith("~"):
        raise ValueError(f"there is no home folder '{expanded.split('/')[0]}'")
    # The study's folder has its links followed first, so that a leading '..' means what the system means by it.
    return Path(os.path.normpath(folder.resolve() / expanded))

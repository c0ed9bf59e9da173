"""Paths as written in a study: environment variables and the home folder filled in, relative to the study file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from kdscope.study.source import Location, Problem

EMBEDDED = "kdscope:"
"""What a path begins with that means a model which comes with kdscope."""
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
        (("tasks",), values.get("tasks"), "definitions"),
        (("runtime",), values.get("runtime"), "tracking_folder"),
    ]
    places.append((("data", "unlabelled"), _inner(values.get("data"), "unlabelled"), "path"))
    for kind in ("teachers", "students"):
        models = values.get(kind)
        listed = models if isinstance(models, list) else [models]
        for index, model in enumerate(listed):
            location: Location = (kind, index) if isinstance(models, list) else (kind,)
            places += [(location, model, "path"), ((*location, "data"), _inner(model, "data"), "path")]
    for location, parent, key in places:
        if isinstance(parent, dict) and isinstance(parent.get(key), str):
            yield (*location, key), parent, key


def embedded_model(name: str) -> Path:
    """The folder of a model of the tiny family, which comes with kdscope.

    Raises:
        ValueError: There is none of that name.
    """
    known = {folder.name: folder for folder in embedded_models()}
    if name not in known:
        raise ValueError(f"no model '{name}' comes with kdscope (known: {', '.join(known)})")
    return known[name]


def embedded_models() -> list[Path]:
    """The folders of the models that come with kdscope, by name."""
    family = Path(str(files("kdscope") / "models" / "tiny"))
    return sorted(config.parent for config in family.glob("*/config.json"))


def _inner(values: Any, key: str) -> Any:
    return values.get(key) if isinstance(values, dict) else None


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
    return Path(os.path.normpath(folder.resolve() / expanded))

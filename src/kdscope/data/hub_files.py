"""Which files of a dataset's repository hold a configuration and split: as its card says, or as such files are named.

Only Parquet and JSON files count; a loading script is never run.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import yaml

from kdscope.core.errors import DataError

_ENDINGS = (".parquet", ".jsonl", ".json")
_ALIASES = (
    ("train", "training"),
    ("validation", "valid", "val", "dev"),
    ("test", "testing", "eval", "evaluation"),
)


def choose_files(names: Iterable[str], card: str, config: str | None, split: str) -> list[str]:
    """The data files of a split, in the order of their rows; empty where there are none.

    Args:
        names: All files of the repository.
        card: Text of its README.md, whose header may say where each split lies; empty if there is none.
        config: The configuration; None for the only one.
        split: The split.

    Raises:
        DataError: The files of more than one configuration come into question.
    """
    data = sorted(name for name in names if name.endswith(_ENDINGS))
    patterns = _declared(_header(card), config, split)
    if patterns is not None:
        return [name for name in data if any(_matches(pattern, name) for pattern in patterns)]
    found = _named(data, config, split)
    folders = {_configuration(name, split) for name in found}
    if len(folders) > 1:
        raise DataError(f"several configurations have this split: {', '.join(sorted(folders))}", key="config")
    return found


def _header(card: str) -> Mapping[str, Any]:
    """The YAML between the two ``---`` lines at the top of a dataset's card."""
    match = re.match(r"\ufeff?---\s*\n(.*?)\n---\s*(?:\n|\Z)", card.replace("\r\n", "\n"), re.DOTALL)
    try:
        header = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError:
        return {}
    return header if isinstance(header, dict) else {}


def _declared(header: Mapping[str, Any], config: str | None, split: str) -> list[str] | None:
    """Patterns of the split's files if the card has any for this configuration, else None."""
    listed = header.get("configs")
    configs = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    fitting = [entry for entry in configs if config in (None, entry.get("config_name"))]
    if config is None and len(fitting) > 1:
        fitting = [entry for entry in fitting if entry.get("default") or entry.get("config_name") == "default"]
    if len(fitting) != 1 or "data_files" not in fitting[0]:
        return None
    return _patterns(fitting[0]["data_files"], split)


def _patterns(data_files: object, split: str) -> list[str]:
    if isinstance(data_files, str):
        return [data_files] if split == "train" else []
    if isinstance(data_files, Mapping):
        data_files = [{"split": name, "path": path} for name, path in data_files.items()]
    found: list[str] = []
    for entry in data_files if isinstance(data_files, list) else []:
        paths = entry.get("path") if isinstance(entry, Mapping) and entry.get("split") == split else None
        if isinstance(entry, str):
            paths = entry if split == "train" else None
        found += [paths] if isinstance(paths, str) else list(paths or ())
    return found


def _matches(pattern: str, name: str) -> bool:
    """Whether a name fits a pattern in which ``**`` crosses folders and ``*`` does not."""
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.removeprefix("./"))
    signs = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.fullmatch("".join(signs.get(piece, re.escape(piece)) for piece in pieces), name) is not None


def _named(data: Sequence[str], config: str | None, split: str) -> list[str]:
    """Files whose name or folder is the split's: the plainest way of naming that occurs, the first kind of file."""
    belonging = [name for name in data if _belongs(name, config)]
    for alias in (split, *_aliases(split)):
        word = re.escape(alias)
        ways = (
            rf"(?:.*/)?{word}(?:-\d+-of-\d+(?:-\w+)?)?\.\w+",
            rf"(?:.*/)?{word}/[^/]+\.\w+",
            rf"(?:.*/)?[^/]+[-_.]{word}\.\w+",
        )
        for way, ending in itertools.product(ways, _ENDINGS):
            if found := [name for name in belonging if name.endswith(ending) and re.fullmatch(way, name)]:
                return found
    return []


def _belongs(name: str, config: str | None) -> bool:
    return config in (None, "default") or config in PurePosixPath(name).parts[:-1]


def _configuration(name: str, split: str) -> str:
    """The folder that tells a file's configuration."""
    parts = [part for part in PurePosixPath(name).parts[:-1] if part != "data" and part not in _aliases(split)]
    return "/".join(parts) or "default"


def _aliases(split: str) -> tuple[str, ...]:
    return next((names for names in _ALIASES if split in names), (split,))

"""Datasets of the Hugging Face hub as files of rows: one revision, Parquet or JSON, no loading script."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import yaml

from kdscope.core.errors import DataError
from kdscope.data.rows import Row, iterate_rows, mapped_row, write_rows

CONVERTED = "refs/convert/parquet"
"""Where the hub keeps its own Parquet files of datasets that have none."""

Convert = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Makes a row of this project of a dataset's row."""
_ENDINGS = (".parquet", ".jsonl", ".json")
_ALIASES = (
    ("train", "training"),
    ("validation", "valid", "val", "dev"),
    ("test", "testing", "eval", "evaluation"),
)


@dataclass(frozen=True, slots=True)
class HubFetched:
    """A file of rows made from a dataset.

    Attributes:
        target: The file.
        revision: The commit that was read; None for a local folder.
        sha256: SHA-256 of the file.
        rows: Its rows.
        files: The dataset's files they came from.
    """

    target: Path
    revision: str | None
    sha256: str
    rows: int
    files: tuple[str, ...]


class HubApi(Protocol):
    """The part of `huggingface_hub.HfApi` used here."""

    def dataset_info(self, repo_id: str, *, revision: str | None = None) -> Any:
        """What the hub knows of a dataset: `sha` is the commit, `siblings` its files."""
        ...

    def hf_hub_download(self, repo_id: str, filename: str, *, repo_type: str, revision: str) -> str:
        """Path of a file of the repository, downloaded if it was not before."""
        ...


@dataclass(frozen=True, slots=True)
class _Revision:
    """The files of a dataset at one commit, or those of a local folder."""

    dataset: str
    commit: str | None
    names: tuple[str, ...]
    path: Callable[[str], Path]

    def card(self) -> str:
        if "README.md" not in self.names:
            return ""
        return self.path("README.md").read_text(encoding="utf-8", errors="replace")


def fetch_hub(
    dataset_id: str | Path,
    config: str | None,
    split: str,
    revision: str | None,
    convert: Convert,
    target: Path,
    *,
    file: str | None = None,
    sha256: str | None = None,
    api: HubApi | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> HubFetched:
    """Read a split, convert its rows and write them as a JSON list.

    Args:
        dataset_id: ``owner/name`` on the hub; a `Path` is a local folder laid out as there.
        config: The configuration; None for the only one.
        split: The split; several joined by ``+`` are read one after the other.
        revision: A commit, tag or branch; None for the newest.
        convert: From a row of the dataset to one of this project.
        target: The file to write.
        file: Read this file of the repository instead of a configuration and split.
        sha256: What the written file must have; None for anything.
        api: Stands for the hub; None for the real one.
        progress: Told how many files were read, and of how many.

    Raises:
        DataError: The hub cannot be reached, has no such dataset, revision or split, a row cannot be converted, or
            the target exists with other content.
    """
    splits = [part.strip() for part in split.split("+")]
    found, names = _locate(dataset_id, config, splits, revision, file, api)
    rows: list[Mapping[str, Any]] = []
    for done, name in enumerate(names, 1):
        rows += _converted(found, name, convert)
        if progress is not None:
            progress(done, len(names))
    digest = write_rows(target, rows, sha256)
    return HubFetched(target, found.commit, digest, len(rows), tuple(names))


def _locate(
    dataset_id: str | Path,
    config: str | None,
    splits: Sequence[str],
    revision: str | None,
    file: str | None,
    api: HubApi | None,
) -> tuple[_Revision, list[str]]:
    """The revision that has the files, and the files: those of the dataset itself, else the hub's conversion."""
    place = _folder(dataset_id) if isinstance(dataset_id, Path) else _hub(dataset_id, revision, api)
    names = _choose(place, config, splits, file)
    missing = _missing(place, config, splits, file)
    if not names and isinstance(dataset_id, str):
        try:
            place = _hub(dataset_id, CONVERTED, api)
        except DataError:
            raise missing from None
        names = _choose(place, config, splits, file)
    if not names:
        raise missing
    return place, names


def _choose(place: _Revision, config: str | None, splits: Sequence[str], file: str | None) -> list[str]:
    """Files of all splits; none if one of them has none."""
    if file is not None:
        return [file] if file in place.names else []
    try:
        chosen = [choose_files(place.names, place.card(), config, split) for split in splits]
    except DataError as error:
        raise DataError(str(error), file=place.dataset) from None
    return [name for names in chosen for name in names] if all(chosen) else []


def _missing(place: _Revision, config: str | None, splits: Sequence[str], file: str | None) -> DataError:
    of_config = "" if config is None else f" of configuration {config}"
    wanted = f"file {file}" if file else f"Parquet or JSON files{of_config} for the split {'+'.join(splits)}"
    there = ", ".join(name for name in place.names if not name.startswith("."))
    return DataError(f"the dataset has no {wanted}; it has {there[:300] or 'no files'}", file=place.dataset)


def _folder(folder: Path) -> _Revision:
    if not folder.is_dir():
        raise DataError("no such folder", file=folder)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return _Revision(str(folder), None, tuple(names), folder.joinpath)


def _hub(dataset_id: str, revision: str | None, api: HubApi | None) -> _Revision:
    hub = api if api is not None else _real_api()
    info = _asked(dataset_id, lambda: hub.dataset_info(dataset_id, revision=revision))
    commit = str(info.sha)

    def path(name: str) -> Path:
        arguments = {"repo_type": "dataset", "revision": commit}
        return Path(_asked(dataset_id, lambda: hub.hf_hub_download(dataset_id, name, **arguments)))

    return _Revision(dataset_id, commit, tuple(sibling.rfilename for sibling in info.siblings or ()), path)


def _asked(dataset_id: str, question: Callable[[], Any]) -> Any:
    try:
        return question()
    except Exception as error:  # the errors of the hub's library and of what it builds on have no base in common
        cause = " ".join(str(error).split())[:300] or type(error).__name__
        raise DataError(f"https://huggingface.co/datasets/{dataset_id} cannot be read: {cause}") from error


def _real_api() -> HubApi:
    from huggingface_hub import HfApi

    api: HubApi = HfApi(library_name="kdscope")
    return api


def _converted(place: _Revision, name: str, convert: Convert) -> Iterator[Mapping[str, Any]]:
    source = Path(place.dataset) / name
    for row in iterate_rows(place.path(name)):
        yield mapped_row(Row(source, row.number, row.values), convert).values


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

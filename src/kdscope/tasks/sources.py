"""Where rows can be had: a pinned file of a repository, a dataset of the hub, or a file that is here already."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kdscope.core.errors import DataError
from kdscope.tasks.mapping import FieldMapping

_SHA1 = re.compile(r"[0-9a-f]{40}")
_OWNED_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True)
class RepositoryFile:
    r"""One file of a public GitHub repository at one commit.

    Attributes:
        repository: Owner and name, for example ``"openai/grade-school-math"``.
        commit: The commit's full id.
        path: The file's path inside the repository.
        git_blob: The file's git blob id (SHA-1 of ``blob SIZE\0`` and the content), by which a download is verified;
            None where it is not known.
        fields: How its rows become rows of this project; None where they are that already.

    Raises:
        DataError: A name, an id or the path is not of its form.
    """

    repository: str
    commit: str
    path: str
    git_blob: str | None
    fields: FieldMapping | None = None

    def __post_init__(self) -> None:
        _check_name(self.repository, "repository")
        _check_id(self.commit, "commit")
        _check_path(self.path)
        if self.git_blob is not None:
            _check_id(self.git_blob, "git_blob")

    @property
    def url(self) -> str:
        """Where the file is downloaded from.

        >>> RepositoryFile("a/b", "0" * 40, "data/test.json", None).url[-18:]
        '000/data/test.json'
        """
        return f"https://raw.githubusercontent.com/{self.repository}/{self.commit}/{self.path}"


@dataclass(frozen=True, slots=True)
class HubDataset:
    """A dataset of the Hugging Face hub that needs no loading script.

    Attributes:
        dataset_id: Owner and name, for example ``"openai/gsm8k"``.
        config: Its configuration; None for the only one.
        split: Its split. Several joined by ``+`` are read one after the other.
        fields: How its rows become rows of this project.
        revision: The commit to read. None: the newest at the first fetch, which is then recorded.
        file: Read this JSON Lines file of the dataset's repository instead of a configuration and split.

    Raises:
        DataError: The id, the revision or the file's path is not of its form.
    """

    dataset_id: str
    config: str | None
    split: str
    fields: FieldMapping
    revision: str | None = None
    file: str | None = None

    def __post_init__(self) -> None:
        _check_name(self.dataset_id, "dataset_id")
        if self.revision is not None:
            _check_id(self.revision, "revision")
        if self.file is not None:
            _check_path(self.file)
        if not all(self.splits):
            raise DataError("a split has no name", key="split")

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits, in the order in which they are read.

        >>> HubDataset("ChilleD/SVAMP", None, "train+test", FieldMapping()).splits
        ('train', 'test')
        """
        return tuple(part.strip() for part in self.split.split("+"))

    @property
    def url(self) -> str:
        """The dataset's page."""
        return f"https://huggingface.co/datasets/{self.dataset_id}"


Source = RepositoryFile | HubDataset


def first_file(name: str, folder: Path | None, locations: Sequence[str]) -> Path:
    """The first of the locations that exists below `folder`.

    Raises:
        DataError: There is none; the message names what was tried.
    """
    if folder is None:
        advice = f"`kdscope data fetch {name}` brings its file into ./data; give that folder with --data-dir"
        raise DataError(f"no data folder is given, and it has no file of its own; {advice}", key=name)
    for location in locations:
        file = Path(folder) / location
        if file.is_file():
            return file
    advice = f"`kdscope data fetch {name} --data-dir {folder}` brings it"
    raise DataError(f"no such file; looked for {', '.join(locations)}; {advice}", file=folder, key=name)


def _check_name(name: str, key: str) -> None:
    if _OWNED_NAME.fullmatch(name) is None:
        raise DataError(f"{name!r} is not of the form owner/name", key=key)


def _check_id(value: str, key: str) -> None:
    if _SHA1.fullmatch(value) is None:
        raise DataError(f"{value!r} is not a full id of 40 hexadecimal digits", key=key)


def _check_path(path: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise DataError(f"{path!r} is not a path inside a repository", key="path")

"""What was fetched, from where and at which revision, so that the next fetch brings exactly that again."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path, PurePosixPath

from kdscope.core.errors import DataError
from kdscope.data.disk import sha256_of, write_text, writing

LOCK_NAME = "kdscope-data.lock.json"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class LockedFile:
    """One fetched file.

    Attributes:
        source: Its address, or ``hub:DATASET/CONFIG/SPLIT``.
        asked: The revision that was asked for; None for the newest.
        revision: The commit that was read.
        sha256: SHA-256 of the file as written.
        rows: Number of its rows.
        date: The day it was fetched, as YYYY-MM-DD.
    """

    source: str
    asked: str | None
    revision: str | None
    sha256: str
    rows: int
    date: str

    def __post_init__(self) -> None:
        texts = {"source": self.source, "sha256": self.sha256, "date": self.date}
        optional = {"asked": self.asked, "revision": self.revision}
        wrong = [key for key, value in texts.items() if not isinstance(value, str)]
        wrong += [key for key, value in optional.items() if not isinstance(value, (str, type(None)))]
        if type(self.rows) is not int or self.rows < 0:
            wrong.append("rows")
        if "sha256" not in wrong and (len(self.sha256) != 64 or not set(self.sha256) <= set("0123456789abcdef")):
            wrong.append("sha256")
        if "date" not in wrong and not _is_day(self.date):
            wrong.append("date")
        if wrong:
            raise DataError(f"not what belongs there: {getattr(self, wrong[0])!r}", key=wrong[0])


def read_lock(folder: Path) -> dict[str, LockedFile]:
    """The fetched files of a folder by their path in it; empty where nothing was fetched.

    Raises:
        DataError: The lock file cannot be read; the message says where and what to do.
    """
    file = folder / LOCK_NAME
    if not file.exists():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", file=file) from None
    except json.JSONDecodeError as error:
        raise _damaged(file, f"invalid JSON in line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError):
        raise _damaged(file, "this is not JSON text") from None
    return _entries(content, file)


def record(folder: Path, target: str, entry: LockedFile) -> None:
    """Add a file to the folder's lock file, or replace what it says of it; the others stay.

    Args:
        folder: The folder of data.
        target: The file's path in it, with ``/``.
        entry: What to remember.

    Raises:
        DataError: The lock file is damaged or cannot be written, or the target is outside the folder.
    """
    path = PurePosixPath(target)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise DataError("a fetched file must lie inside the folder", file=target)
    with _alone(folder):
        files = {**read_lock(folder), str(path): entry}
        content = {"version": _VERSION, "files": {name: asdict(files[name]) for name in sorted(files)}}
        write_text(folder / LOCK_NAME, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def verify_locked(folder: Path, target: str, entry: LockedFile) -> bool:
    """Whether a locked file is there, with its locked content.

    Raises:
        DataError: It is there with other content; the message says what to do.
    """
    path = folder / target
    if not path.exists():
        return False
    if path.is_file() and (found := sha256_of(path)) == entry.sha256:
        return True
    given = f"its SHA-256 is {found}" if path.is_file() else "it is no file"
    message = (
        f"the file is not the one that was fetched: {given}, and {LOCK_NAME} has {entry.sha256}; move it away to have "
        f"that one fetched again, or remove its entry from {folder / LOCK_NAME} to keep this one"
    )
    raise DataError(message, file=path)


def _entries(content: object, file: Path) -> dict[str, LockedFile]:
    if not isinstance(content, dict) or not isinstance(content.get("files"), dict):
        raise _damaged(file, "it has no 'files'")
    if content.get("version") != _VERSION:
        version = f"{content.get('version')!r} instead of {_VERSION}"
        raise DataError(f"its version is {version}; it was written by another version of kdscope", file=file)
    return {target: _entry(target, values, file) for target, values in content["files"].items()}


def _entry(target: str, values: object, file: Path) -> LockedFile:
    keys = LockedFile.__dataclass_fields__.keys()
    if not isinstance(values, Mapping) or values.keys() != keys:
        raise _damaged(file, f"the entry of {target!r} does not have the keys {', '.join(keys)}")
    try:
        return LockedFile(**values)
    except DataError as error:
        raise _damaged(file, f"the entry of {target!r}: {error}") from None


def _damaged(file: Path, what: str) -> DataError:
    advice = "restore it, or delete it to fetch the newest data and record that anew"
    return DataError(f"the lock file is damaged: {what}; {advice}", file=file)


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock for the block, so that two fetches at once both find their entries kept."""
    with writing(folder / LOCK_NAME):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        with writing(folder / LOCK_NAME):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

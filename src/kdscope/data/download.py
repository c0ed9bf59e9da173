"""Download a source into a folder of data, at the revision and with the content that the folder's lock file holds.

The lock file remembers what was fetched, from where and at which revision, so that the next fetch gives exactly that.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from pathlib import Path, PurePosixPath

from kdscope.core.errors import DataError
from kdscope.core.files import sha256_of, write_atomically
from kdscope.core.strict_json import UnmeantError, strict_loads
from kdscope.data.fetch import Download, Progress, fetch_file
from kdscope.data.hub import HubApi, fetch_hub
from kdscope.data.rows import Row, mapped_row, read_rows, write_rows, writing
from kdscope.tasks import FieldMapping, HubDataset, RepositoryFile, Source

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
        content = strict_loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", file=file) from None
    except json.JSONDecodeError as error:
        raise _damaged(file, f"invalid JSON in line {error.lineno}, column {error.colno}") from None
    except UnmeantError as error:
        raise _damaged(file, str(error)) from None
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
        with writing(folder / LOCK_NAME):
            write_atomically(folder / LOCK_NAME, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


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


def source_name(source: Source) -> str:
    """What the lock file calls a source."""
    if isinstance(source, HubDataset):
        place = source.file or f"{source.config or 'default'}/{source.split}"
        return f"hub:{source.dataset_id}/{place}"
    return source.url


def download(
    sources: Sequence[Source],
    folder: Path,
    target: str,
    *,
    update: bool = False,
    progress: Progress | None = None,
    api: HubApi | None = None,
    today: Callable[[], date] = date.today,
) -> LockedFile:
    """Download a file from the first of its sources that gives it, and remember it in the folder's lock file.

    A file that was fetched before is only verified. If it is gone, the source and revision in the lock file are
    used, and the result must have the SHA-256 recorded there.

    Args:
        sources: Where the same rows can be had, the preferred first.
        folder: The folder of data, where the lock file lies.
        target: The file's path in it, with ``/``.
        update: Fetch what the sources now have, whatever the lock file says. A file changed by hand is not replaced.
        progress: Told how far it is: bytes of a file, or files of a dataset.
        api: Stands for the hub; None for the real one.
        today: The day that is recorded.

    Raises:
        DataError: No source gives the file, it exists with other content, or the lock file is damaged.
    """
    locked = read_lock(folder).get(target)
    present = locked is not None and verify_locked(folder, target, locked)
    if locked is not None and present and not update:
        return locked
    held = None if update else locked
    with _set_aside(folder / target, present):
        entry = _first(
            sources, folder / target, held, partial(_download_one, day=today().isoformat(), progress=progress, api=api)
        )
        record(folder, target, entry)
    return entry


def _first(
    sources: Sequence[Source],
    path: Path,
    held: LockedFile | None,
    download_one: Callable[[Source, Path, LockedFile | None], LockedFile],
) -> LockedFile:
    """What the first source gives that gives anything; the source that was used before comes first."""
    errors: list[str] = []
    for source in sorted(sources, key=lambda source: held is not None and source_name(source) != held.source):
        try:
            return download_one(source, path, held)
        except DataError as error:
            errors.append(str(error).removeprefix(f"{path}: "))
    if not errors:
        raise DataError("nothing is known of where to get it; put the file here by hand", file=path)
    if held is not None:
        errors.append(f"{LOCK_NAME} holds what it must be; if that is no longer wanted, fetch it as an update")
    raise DataError("; ".join(errors), file=path)


def _download_one(
    source: Source, path: Path, held: LockedFile | None, day: str, progress: Progress | None, api: HubApi | None
) -> LockedFile:
    if isinstance(source, HubDataset):
        return _download_dataset(source, path, held, day, progress, api)
    sha256 = held.sha256 if held is not None else None
    if source.fields is not None:
        digest, count = _convert_file(source, source.fields, path, sha256, progress)
        return LockedFile(source.url, source.commit, source.commit, digest, count, day)
    fetched = fetch_file(Download(source.url, path, source.git_blob, sha256), progress)
    try:
        count = len(read_rows(path))
    except DataError:
        if fetched.downloaded:
            path.unlink()
        raise
    return LockedFile(source.url, source.commit, source.commit, fetched.sha256, count, day)


def _convert_file(
    source: RepositoryFile, fields: FieldMapping, path: Path, sha256: str | None, progress: Progress | None
) -> tuple[str, int]:
    """Download beside the target, convert, and remove what was downloaded."""
    raw = path.with_name(f".{path.stem}.source{PurePosixPath(source.path).suffix}")
    fetch_file(Download(source.url, raw, source.git_blob), progress)
    try:
        rows = [mapped_row(Row(Path(source.path), row.number, row.values), fields.row).values for row in read_rows(raw)]
    finally:
        raw.unlink()
    return write_rows(path, rows, sha256), len(rows)


def _download_dataset(
    source: HubDataset, path: Path, held: LockedFile | None, day: str, progress: Progress | None, api: HubApi | None
) -> LockedFile:
    name, revision = source_name(source), source.revision
    if held is not None and held.source == name:
        if held.asked != revision:
            message = f"revision {revision} of {name} is wanted, but {LOCK_NAME} was made for {held.asked}"
            raise DataError(message, file=path)
        revision = held.revision
    fetched = fetch_hub(
        source.dataset_id,
        source.config,
        source.split,
        revision,
        source.fields.row,
        path,
        file=source.file,
        sha256=held.sha256 if held is not None else None,
        api=api,
        progress=progress,
    )
    return LockedFile(name, source.revision, fetched.revision, fetched.sha256, fetched.rows, day)


@contextmanager
def _set_aside(path: Path, present: bool) -> Iterator[None]:
    """Make room for a newer version of a file; it comes back if the block fails."""
    kept = path.with_name(f".{path.name}.previous")
    if present:
        with writing(path):
            path.replace(kept)
    try:
        yield
    except BaseException:
        if present:
            kept.replace(path)
        raise
    kept.unlink(missing_ok=True)

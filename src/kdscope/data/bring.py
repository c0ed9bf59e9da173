"""Bring a source into a folder of data, at the revision and with the content its lock file holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path, PurePosixPath

from kdscope.core.errors import DataError
from kdscope.data.disk import write_rows, writing
from kdscope.data.fetch import Download, Progress, fetch_file
from kdscope.data.hub import HubApi, fetch_hub
from kdscope.data.lock import LOCK_NAME, LockedFile, read_lock, record, verify_locked
from kdscope.data.rows import Row, mapped_row, read_rows
from kdscope.tasks import FieldMapping, HubDataset, RepositoryFile, Source


def source_name(source: Source) -> str:
    """What the lock file calls a source."""
    if isinstance(source, HubDataset):
        place = source.file or f"{source.config or 'default'}/{source.split}"
        return f"hub:{source.dataset_id}/{place}"
    return source.url


def bring(
    sources: Sequence[Source],
    folder: Path,
    target: str,
    *,
    update: bool = False,
    progress: Progress | None = None,
    api: HubApi | None = None,
    today: Callable[[], date] = date.today,
) -> LockedFile:
    """Bring a file from the first of its sources that gives it, and remember it in the folder's lock file.

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
            sources, folder / target, held, partial(_bring_one, day=today().isoformat(), progress=progress, api=api)
        )
        record(folder, target, entry)
    return entry


def _first(
    sources: Sequence[Source],
    path: Path,
    held: LockedFile | None,
    bring_one: Callable[[Source, Path, LockedFile | None], LockedFile],
) -> LockedFile:
    """What the first source gives that gives anything; the source that was used before comes first."""
    errors: list[str] = []
    for source in sorted(sources, key=lambda source: held is not None and source_name(source) != held.source):
        try:
            return bring_one(source, path, held)
        except DataError as error:
            errors.append(str(error).removeprefix(f"{path}: "))
    if not errors:
        raise DataError("nothing is known of where to get it; put the file here by hand", file=path)
    if held is not None:
        errors.append(f"{LOCK_NAME} holds what it must be; if that is no longer wanted, fetch it as an update")
    raise DataError("; ".join(errors), file=path)


def _bring_one(
    source: Source, path: Path, held: LockedFile | None, day: str, progress: Progress | None, api: HubApi | None
) -> LockedFile:
    if isinstance(source, HubDataset):
        return _bring_dataset(source, path, held, day, progress, api)
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


def _bring_dataset(
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

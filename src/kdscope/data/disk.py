"""Files as they lie on the disk: what identifies their content, and how a complete one gets its name."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kdscope.core.errors import DataError

_CHUNK = 1 << 18


def git_blob_of(path: Path) -> str:
    r"""The id git gives a file's content: SHA-1 of ``blob SIZE\0`` and the content."""
    return _digest(path, hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content."""
    return _digest(path, hashlib.sha256())


def settle(part: Path, target: Path) -> None:
    """Give a complete file its name, so that a crash leaves all of it under that name or nothing.

    Raises:
        DataError: The disk refuses.
    """
    with writing(target):
        _sync(part)
        part.replace(target)
        with suppress(PermissionError):  # not every system lets a folder be opened
            _sync(target.parent)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], sha256: str | None = None) -> str:
    """Write rows as a JSON list, as the files of LLM-Adapters are, or as the lines of a .jsonl; give its SHA-256.

    A file that has that content already is left alone.

    Args:
        path: The file.
        rows: At least one.
        sha256: What the content must have; None for anything.

    Raises:
        DataError: There are no rows, they are not JSON, the content is not the expected one, or the file exists with
            another. Nothing is written then.
    """
    if not rows:
        raise DataError("there are no rows to write", file=path)
    try:
        text = _as_lines(rows) if path.suffix == ".jsonl" else _as_json(rows, indent=4)
        found = hashlib.sha256(text.encode()).hexdigest()
    except (TypeError, ValueError) as error:
        raise DataError(f"the rows cannot be written as JSON: {error}", file=path) from None
    if sha256 not in (None, found):
        raise DataError(f"the rows' SHA-256 is {found} instead of {sha256}", file=path)
    if not path.exists():
        write_text(path, text)
    elif not path.is_file() or sha256_of(path) != found:
        raise DataError("the file exists with other content; move it away to have it written anew", file=path)
    return found


def write_text(path: Path, text: str) -> None:
    """Create or replace a text file; a reader sees all of the old or all of the new, also after a crash.

    Raises:
        DataError: The disk refuses.
    """
    part = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(text, encoding="utf-8", newline="\n")
        settle(part, path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn an operating system's error of the block into one that names the file that could not be written.

    Raises:
        DataError: There was one.
    """
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror or error}", file=target) from error


def _as_lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(_as_json(row, indent=None) for row in rows)


def _as_json(value: object, indent: int | None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False) + "\n"


def _digest(path: Path, digest: hashlib._Hash) -> str:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

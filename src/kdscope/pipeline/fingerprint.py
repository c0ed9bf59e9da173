"""Stable names for values and for file contents: canonical JSON and SHA-256."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias, cast

from kdscope.core.errors import IdentityError
from kdscope.core.files import sha256_of, write_atomically

JSON: TypeAlias = Mapping[str, "JSON"] | Sequence["JSON"] | str | int | float | bool | None


def plain(value: object, where: str = "value") -> JSON:
    """A deep copy made of plain dicts, lists, strings, numbers, booleans and None only.

    Tuples become lists and -0.0 becomes 0.0. Subclasses (enumerations, NumPy scalars) are refused: how they print
    depends on a library's version.

    Raises:
        IdentityError: the value, or something inside it, has no stable identity; the message names the key path.
    """
    kind = type(value)
    if value is None or kind is str or kind is int or kind is bool:
        return cast(JSON, value)
    if kind is float and isinstance(value, float):
        if not math.isfinite(value):
            raise IdentityError(f"{where}: {value} is not a finite number")
        return value + 0.0
    if isinstance(value, Mapping):
        return {_text_key(key, where): plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    raise IdentityError(f"{where}: a {type(value).__name__} has no stable identity; use plain JSON values")


def _text_key(key: object, where: str) -> str:
    if type(key) is not str:
        raise IdentityError(f"{where}: the key {key!r} is a {type(key).__name__}, not a string")
    return key


def canonical_json(value: object) -> str:
    """The one JSON text of a value: keys sorted, no spaces, ASCII, floats by their shortest exact form.

    >>> canonical_json({"b": (1, 1.0), "a": -0.0})
    '{"a":0.0,"b":[1,1.0]}'

    Raises:
        IdentityError: see `plain`.
    """
    return _dump(plain(value))


def fingerprint(value: object) -> str:
    """SHA-256 of the canonical JSON, 64 hexadecimal digits.

    >>> fingerprint({})[:16]
    '44136fa355b3678a'

    Raises:
        IdentityError: see `plain`.
    """
    return fingerprint_plain(plain(value))


def fingerprint_plain(value: JSON) -> str:
    """The fingerprint of a value that `plain` has made already."""
    return hashlib.sha256(_dump(value).encode("ascii")).hexdigest()


def _dump(value: JSON) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


class HashCache:
    """Content hashes remembered between runs, so that gigabytes of weights are read once and not at every plan.

    An entry counts only while path, size, inode and both time stamps (last write, last change of the file's record)
    are what they were. A file touched less than `settle_seconds` ago is not remembered: a second write within the
    clock's resolution would leave the same time stamps. Nor is one of less than `least_bytes`, which is read as fast.
    """

    def __init__(self, path: Path, *, settle_seconds: float = 2.0, least_bytes: int = 0) -> None:
        self._path = path
        self._least_bytes = least_bytes
        self._settle_nanoseconds = int(settle_seconds * 1e9)
        self._entries = _read_entries(path)
        self._changed = False

    def hash(self, path: Path) -> str:
        """SHA-256 of the file's content, from memory where the file is provably the same.

        Raises:
            OSError: the file cannot be read.
        """
        key, marks = os.path.abspath(path), _marks(path)
        known = self._entries.get(key, [])
        if known[:-1] == marks:
            return str(known[-1])
        digest = sha256_of(path)
        self._note(key, marks, digest)
        return digest

    def learn(self, path: Path, digest: str) -> None:
        """Take somebody else's word for the SHA-256 of a file that was hashed just now.

        Raises:
            OSError: the file is not there.
        """
        self._note(os.path.abspath(path), _marks(path), digest)

    def _note(self, key: str, marks: list[int], digest: str) -> None:
        settled = time.time_ns() - max(marks[1], marks[2]) >= self._settle_nanoseconds
        if settled and marks[0] >= self._least_bytes:
            self._entries[key] = [*marks, digest]
            self._changed = True

    def forget(self, folder: Path) -> None:
        """Have the files below a folder read again: one of them was found not to hold what is remembered."""
        below = os.path.join(os.path.abspath(folder), "")
        for key in [key for key in self._entries if key.startswith(below)]:
            del self._entries[key]
            self._changed = True

    def save(self) -> None:
        """Write what was learnt; a folder that cannot be written costs time at the next run, nothing else."""
        if self._changed:
            with suppress(OSError):
                write_atomically(self._path, json.dumps({**self._entries, _CHECK: fingerprint(self._entries)}))
                self._changed = False


_CHECK = ""
"""Key beside the paths of a cache: the fingerprint of its entries, without which a damaged hash would be believed."""


def hash_tree(folder: Path, patterns: Sequence[str] = ("**/*",), cache: HashCache | None = None) -> dict[str, str]:
    """Content hashes of the files of a folder that match any of the glob patterns, by relative path, sorted.

    Raises:
        IdentityError: nothing matches, so there is no content to stand for.
        OSError: a file cannot be read.
    """
    paths = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    if not paths:
        raise IdentityError(f"{folder}: no file matches {', '.join(patterns)}")
    digest = sha256_of if cache is None else cache.hash
    return {path.relative_to(folder).as_posix(): digest(path) for path in sorted(paths)}


def _marks(path: Path) -> list[int]:
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]


def _read_entries(path: Path) -> dict[str, list[int | str]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(entries, dict):
        return {}
    check = entries.pop(_CHECK, None)
    known = {key: entry for key, entry in entries.items() if _is_entry(entry)}
    return known if check == fingerprint(known) else {}


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, list) or len(entry) != 5:
        return False
    return all(type(mark) is int for mark in entry[:-1]) and isinstance(entry[-1], str) and len(entry[-1]) == 64

"""Safetensors files written piece by piece, whole or not at all, and a full disk said in plain words.

The format: eight bytes with the length of a JSON header, the header, then the values of every tensor, one after the
other. Writing it here, rather than from tensors that are complete in memory, keeps the peak at what is pending and the
operating system's own reason when the disk is full.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kdscope.core.errors import MachineError, StoreError

VALUE_BYTES: Mapping[str, int] = {"I64": 8, "F32": 4, "I32": 4, "BF16": 2, "F16": 2}
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True)
class Entry:
    """One tensor of a file: its name, safetensors dtype and shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of its values."""
        return VALUE_BYTES[self.dtype] * math.prod(self.shape)


def make_header(entries: Sequence[Entry], metadata: Mapping[str, str]) -> bytes:
    """Everything before the values; a function of its arguments alone, so that it can be compared byte by byte."""
    described: dict[str, object] = {"__metadata__": dict(metadata)}
    offset = 0
    for entry in entries:
        end = offset + entry.size_bytes
        described[entry.name] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # values start aligned
    return len(text).to_bytes(8, "little") + text


def read_header(file: Path) -> tuple[bytes, dict[str, Entry]]:
    """The header of a file, as it is and understood; metadata left out.

    Raises:
        StoreError: The file is missing, unreadable or no safetensors file.
    """
    try:
        with file.open("rb") as opened:
            prefix = opened.read(8)
            length = int.from_bytes(prefix, "little")
            if length > file.stat().st_size:
                raise ValueError("it ends within its header")
            raw = opened.read(length)
        found = {name: value for name, value in json.loads(raw).items() if name != "__metadata__"}
        return prefix + raw, {n: Entry(n, str(v["dtype"]), tuple(map(int, v["shape"]))) for n, v in found.items()}
    except OSError as error:
        raise StoreError(f"{file}: cannot read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{file}: damaged, it is not a safetensors file ({error})") from error


def write_file(file: Path, pieces: Iterable[bytes | memoryview], *, needed_bytes: int) -> None:
    """Write a file that appears under its name only when it is whole and on the disk.

    Args:
        file: Where to.
        pieces: Its bytes, in order.
        needed_bytes: What the whole recording takes, for the message of a full disk.

    Raises:
        MachineError: The disk, or a quota, is full; nothing of the file is left.
        StoreError: It cannot be written for another reason.
    """
    building = file.with_name(f".{file.name}.building")
    try:
        with building.open("wb") as opened:
            opened.writelines(pieces)
            opened.flush()
            os.fsync(opened.fileno())
        building.replace(file)
        _sync_folder(file.parent)
    except BaseException as error:
        with suppress(OSError):
            building.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        if error.errno in _NO_ROOM:
            raise _no_room(file.parent, needed_bytes, "the disk or a quota is full") from error
        raise StoreError(f"{file}: cannot write: {error.strerror or error}") from error


def check_room(folder: Path, still_bytes: int, needed_bytes: int | None = None) -> None:
    """Refuse before anything is written what cannot be finished.

    Args:
        folder: Where it will be written; need not exist yet.
        still_bytes: What is still to be written.
        needed_bytes: What the whole recording takes, if part of it is there already.

    Raises:
        MachineError: Less is free than is still to be written.
    """
    if still_bytes > _free_bytes(folder):
        needed = still_bytes if needed_bytes is None else needed_bytes
        raise _no_room(folder, needed, f"{_size(still_bytes)} are still to be written")


def _no_room(folder: Path, needed_bytes: int, reason: str) -> MachineError:
    needed, free = _size(needed_bytes), _size(_free_bytes(folder))
    return MachineError(
        f"{folder}: not enough disk space: the recording needs {needed} in all, {free} are free there, {reason}. "
        "What is already recorded is kept; free some space or move the store, then run again"
    )


def _free_bytes(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _size(count: int) -> str:
    """A number of bytes for a person.

    >>> _size(7_200_000_000), _size(512)
    ('7.2 GB', '0.5 kB')
    """
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count / 1e3:.1f} kB"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Recordings of a teacher, written: parts appear whole, and a killed recording goes on after the last of them.

Parts are written piece by piece and not by safetensors' `save_file`, which needs every tensor whole and copies it: for
a part of 256 MB that is 247 MB more memory and four times the time.
"""

from __future__ import annotations

import errno
import json
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdscope.core.errors import DataError, MachineError, StoreError
from kdscope.core.files import discard_unfinished, write_atomically
from kdscope.data.batches import TokenSequence
from kdscope.teacher.recording import (
    DESCRIPTION,
    FORMAT_VERSION,
    STORED_AS,
    Entry,
    Part,
    PartSize,
    PositionLayout,
    PositionTensor,
    count_rows,
    open_part,
    part_name,
)

PART_BYTES = 256 << 20  # what a writer holds in memory, and the most that a kill costs
_VALUE_BYTES = {"I64": 8, "F32": 4, "I32": 4, "BF16": 2, "F16": 2}
_INDEX_BYTES = 3 * 8  # of one example, beside its tokens
_TOKEN_BYTES = 4


class PositionWriter:
    """Writes a recording of given sequences into a folder.

    Opened again on the folder of a killed recording, it keeps the whole parts. Examples added in the same order as
    before give the same bytes as without the kill: the parts depend on that order alone.

    Attributes:
        done: Examples that were recorded when the writer was opened. Adding them again does nothing.
        needed_bytes: What the whole recording takes.
    """

    def __init__(
        self, folder: Path, layout: PositionLayout, sequences: Sequence[TokenSequence], *, part_bytes: int = PART_BYTES
    ) -> None:
        """Open or continue a recording of `sequences` in `folder`.

        Raises:
            MachineError: The disk has not enough room for what is still missing.
            StoreError: The folder holds parts of something else.
            DataError: Two sequences have one example number.
        """
        self._folder, self._layout, self._part_bytes = folder, layout, part_bytes
        self._wanted = {s.example: s for s in sequences}
        if len(self._wanted) < len(sequences):
            raise DataError("two sequences to be recorded have the same example number")
        folder.mkdir(parents=True, exist_ok=True)
        self._sizes: list[PartSize] = []
        self._stored: set[int] = set()
        written = 0
        for part in _whole_parts(folder, layout):
            self._keep(part)
            written += part.file.stat().st_size
        self.done = frozenset(self._stored)
        self._pending: list[tuple[TokenSequence, dict[str, Tensor]]] = []
        self._pending_bytes = 0
        self.needed_bytes = recording_bytes(layout, _measure(sequences, layout), part_bytes)
        check_room(folder, self.needed_bytes - written, self.needed_bytes)

    def add(self, sequence: TokenSequence, tensors: Mapping[str, Tensor]) -> None:
        """Record one example: of every tensor one row a target position, in order; copied, from any device.

        Raises:
            MachineError: The disk is full; whole parts are kept.
            DataError: The example is not one of those announced, or is recorded already.
            StoreError: The tensors are not what the layout says.
        """
        if sequence.example in self.done:
            return
        if self._wanted.get(sequence.example) != sequence or sequence.example in self._stored:
            raise DataError(f"example {sequence.example} was added twice, or is not one of those to be recorded")
        rows = count_rows(sequence, self._layout.prompt_in_loss)
        copied = {t.name: _copy(t, tensors, rows, sequence.example) for t in self._layout.tensors}
        size = rows * self._layout.row_bytes + _TOKEN_BYTES * len(sequence.token_ids) + _INDEX_BYTES
        if self._pending and self._pending_bytes + size > self._part_bytes:
            self._flush()
        self._pending.append((sequence, copied))
        self._pending_bytes += size
        self._stored.add(sequence.example)

    def finish(self, facts: Mapping[str, Any] | None = None) -> None:
        """Write the last part and the description that makes the folder a recording.

        Args:
            facts: Anything JSON that readers should know.

        Raises:
            DataError: An announced example was not added.
            MachineError: The disk is full; whole parts are kept.
        """
        missing = self._wanted.keys() - self._stored
        if missing:
            raise DataError(f"{len(missing)} examples were never recorded, the first is example {min(missing)}")
        if self._pending:
            self._flush()
        described = {
            "version": FORMAT_VERSION,
            **self._layout.to_json(),
            "parts": [{"examples": s.examples, "rows": s.rows, "tokens": s.tokens} for s in self._sizes],
            "facts": dict(facts or {}),
        }
        text = json.dumps(described, indent=1, allow_nan=False) + "\n"
        _write(self._folder / DESCRIPTION, text, self.needed_bytes)

    def _keep(self, part: Part) -> None:
        for stored in part.examples:
            known = self._wanted.get(stored.example)
            tokens = tuple(stored.token_ids.tolist())
            if known != TokenSequence(stored.example, tokens, stored.prompt_length) or stored.example in self._stored:
                raise StoreError(f"{part.file}: holds an example {stored.example} of another recording; delete it")
            self._stored.add(stored.example)
        self._sizes.append(part.size)

    def _flush(self) -> None:
        sequences = [sequence for sequence, _ in self._pending]
        size = _measure(sequences, self._layout)
        pieces = _pieces(self._layout, size, self._pending)
        _write(self._folder / part_name(len(self._sizes)), pieces, self.needed_bytes)
        self._sizes.append(size)
        self._pending, self._pending_bytes = [], 0


def recording_bytes(layout: PositionLayout, size: PartSize, part_bytes: int = PART_BYTES) -> int:
    """Bytes of a whole recording, about: exact but for the headers of its parts."""
    header = len(_header(layout.entries(size), layout.metadata()))
    once = header + size.rows * layout.row_bytes + _TOKEN_BYTES * size.tokens + _INDEX_BYTES * size.examples
    return once + once // part_bytes * header


def write_tensors(file: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file of whole tensors, which appears when it is whole and on the disk.

    Raises:
        KeyError: A tensor's dtype is not stored.
        MachineError: The disk, or a quota, is full; nothing of the file is left.
        StoreError: It cannot be written for another reason.
    """
    stored = {getattr(torch, name): dtype for name, dtype in STORED_AS.items()}
    header = _header([(name, stored[t.dtype], tuple(t.shape)) for name, t in tensors.items()], metadata)
    pieces: list[bytes | memoryview] = [header, *(_raw_bytes(tensor.detach().cpu()) for tensor in tensors.values())]
    _write(file, pieces, sum(map(len, pieces)))


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


def _whole_parts(folder: Path, layout: PositionLayout) -> Iterator[Part]:
    """The parts there are, up to the first gap; what was being written when a kill came is removed."""
    discard_unfinished(folder)
    for number in count():
        file = folder / part_name(number)
        if not file.exists():
            return
        yield open_part(file, layout)


def _measure(sequences: Sequence[TokenSequence], layout: PositionLayout) -> PartSize:
    rows = sum(count_rows(s, layout.prompt_in_loss) for s in sequences)
    return PartSize(len(sequences), rows, sum(len(s.token_ids) for s in sequences))


def _copy(wanted: PositionTensor, tensors: Mapping[str, Tensor], rows: int, example: int) -> Tensor:
    given = tensors.get(wanted.name)
    shape, dtype = (rows, *wanted.shape), wanted.torch_dtype
    if given is None or tuple(given.shape) != shape or given.dtype != dtype:
        found = "nothing" if given is None else f"{list(given.shape)} {given.dtype}"
        raise StoreError(f"example {example}: {wanted.name} must be {list(shape)} {dtype}, not {found}")
    return given.detach().to("cpu", copy=True)


def _pieces(
    layout: PositionLayout, size: PartSize, examples: Sequence[tuple[TokenSequence, dict[str, Tensor]]]
) -> Iterator[bytes | memoryview]:
    """The bytes of a part, in the order of `PositionLayout.entries`."""
    sequences, entries = [sequence for sequence, _ in examples], layout.entries(size)
    yield _header(entries, layout.metadata())
    yield np.array([s.example for s in sequences], dtype="<i8").tobytes()
    yield np.array([len(s.token_ids) for s in sequences], dtype="<i8").tobytes()
    yield np.array([s.prompt_length for s in sequences], dtype="<i8").tobytes()
    for sequence in sequences:
        yield np.array(sequence.token_ids, dtype="<i4").tobytes()
    for name, _, _ in entries[4:]:
        for _, tensors in examples:
            yield _raw_bytes(tensors[name])


def _header(entries: Sequence[Entry], metadata: Mapping[str, str]) -> bytes:
    """What a safetensors file begins with: eight bytes with the length of a JSON text, and that text."""
    described: dict[str, object] = {"__metadata__": dict(metadata)}
    offset = 0
    for name, dtype, shape in entries:
        end = offset + _VALUE_BYTES[dtype] * math.prod(shape)
        described[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # values start aligned
    return len(text).to_bytes(8, "little") + text


def _raw_bytes(tensor: Tensor) -> memoryview:
    """The values of a CPU tensor as bytes, not copied if it is contiguous."""
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data


def _write(file: Path, content: str | Iterable[bytes | memoryview], needed_bytes: int) -> None:
    """Write a file that appears under its name only when it is whole and on the disk; a full disk is said so."""
    try:
        write_atomically(file, content)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_room(file.parent, needed_bytes, "the disk or a quota is full") from error
        raise StoreError(f"{file}: cannot write: {error.strerror or error}") from error


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

"""Recording tensors of target positions: parts appear whole, a killed recording goes on after the last of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdscope.core.errors import DataError, StoreError
from kdscope.data.batches import TokenSequence
from kdscope.teacher.layout import DESCRIPTION, FORMAT_VERSION, PART_BYTES, PartSize, PositionLayout, PositionTensor
from kdscope.teacher.parts import Part, count_rows, open_part, part_name, raw_bytes
from kdscope.teacher.tensor_file import check_room, write_file

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
        self._wanted = _by_number(sequences)
        folder.mkdir(parents=True, exist_ok=True)
        self._sizes: list[PartSize] = []
        self._stored: set[int] = set()
        for part in _whole_parts(folder, layout):
            self._keep(part)
        self.done = frozenset(self._stored)
        self._pending: list[tuple[TokenSequence, dict[str, Tensor]]] = []
        self._pending_bytes = 0
        self.needed_bytes = layout.recording_bytes(_measure(sequences, layout), part_bytes)
        check_room(folder, self.needed_bytes - sum(map(layout.part_bytes, self._sizes)), self.needed_bytes)

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
        write_file(self._folder / DESCRIPTION, [text.encode()], needed_bytes=self.needed_bytes)

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
        write_file(self._folder / part_name(len(self._sizes)), pieces, needed_bytes=self.needed_bytes)
        self._sizes.append(size)
        self._pending, self._pending_bytes = [], 0


def _by_number(sequences: Sequence[TokenSequence]) -> dict[int, TokenSequence]:
    found = {s.example: s for s in sequences}
    if len(found) < len(sequences):
        raise DataError("two sequences to be recorded have the same example number")
    return found


def _whole_parts(folder: Path, layout: PositionLayout) -> Iterator[Part]:
    """The parts there are, up to the first gap; what was being written when a kill came is removed."""
    for debris in folder.glob(".*.building"):
        with suppress(OSError):
            debris.unlink()
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
    shape = (rows, *wanted.shape)
    dtype = getattr(torch, wanted.dtype)
    if given is None or tuple(given.shape) != shape or given.dtype != dtype:
        found = "nothing" if given is None else f"{list(given.shape)} {given.dtype}"
        raise StoreError(f"example {example}: {wanted.name} must be {list(shape)} {dtype}, not {found}")
    return given.detach().to("cpu", copy=True)


def _pieces(
    layout: PositionLayout, size: PartSize, examples: Sequence[tuple[TokenSequence, dict[str, Tensor]]]
) -> Iterator[bytes | memoryview]:
    sequences = [sequence for sequence, _ in examples]
    yield layout.header(size)
    yield np.array([s.example for s in sequences], dtype="<i8").tobytes()
    yield np.array([len(s.token_ids) for s in sequences], dtype="<i8").tobytes()
    yield np.array([s.prompt_length for s in sequences], dtype="<i8").tobytes()
    for sequence in sequences:
        yield np.array(sequence.token_ids, dtype="<i4").tobytes()
    for name in layout.stored_order():
        for _, tensors in examples:
            yield raw_bytes(tensors[name])

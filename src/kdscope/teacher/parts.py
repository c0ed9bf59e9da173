"""One part of a recording, opened: which examples it holds and, memory-mapped, their rows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdscope.core.errors import StoreError
from kdscope.data.batches import TokenSequence
from kdscope.teacher.layout import PartSize, PositionLayout
from kdscope.teacher.tensor_file import Entry, read_header

_REMEDY = "delete it and record the teacher again"


@dataclass(frozen=True)
class StoredExample:
    """An example of a part: its tokens as they were recorded, and where its rows begin."""

    example: int
    token_ids: NDArray[np.int32]
    prompt_length: int
    first_row: int
    rows: int


@dataclass(frozen=True)
class Part:
    """A part's file. Nothing of it is in memory but what was asked for.

    Attributes:
        file: Where it is.
        size: How much it holds.
        examples: In the order they were recorded.
        values: For each tensor its rows as bytes, [rows, bytes of a row].
    """

    file: Path
    size: PartSize
    examples: tuple[StoredExample, ...]
    values: dict[str, NDArray[np.uint8]]


def part_name(number: int) -> str:
    """The file name of a part, counted from 0."""
    return f"part-{number:05d}.safetensors"


def count_rows(sequence: TokenSequence, prompt_in_loss: bool) -> int:
    """Target positions of a sequence."""
    return max(0, len(sequence.token_ids) - sequence.first_target(prompt_in_loss))


def raw_bytes(tensor: Tensor) -> memoryview:
    """The values of a CPU tensor as bytes, not copied if it is contiguous."""
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data


def open_part(file: Path, layout: PositionLayout, size: PartSize | None = None) -> Part:
    """Open a part and check that it is whole and laid out as it should be.

    Args:
        file: The part.
        layout: What the recording holds.
        size: How much this part is known to hold; None takes its own word.

    Raises:
        StoreError: It is missing, truncated, or another layout or size than asked for.
    """
    header, entries = read_header(file)
    size = _own_size(file, layout, entries) if size is None else size
    if header != layout.header(size):
        raise StoreError(
            f"{file}: its header is not the one recorded for it; the file was replaced or is damaged, {_REMEDY}"
        )
    actual, wanted = file.stat().st_size, layout.part_bytes(size)
    if actual != wanted:
        raise StoreError(f"{file}: truncated or damaged: it has {actual} bytes, {wanted} were written; {_REMEDY}")
    return _view(file, layout, size, len(header))


def _own_size(file: Path, layout: PositionLayout, entries: dict[str, Entry]) -> PartSize:
    try:
        rows = entries[layout.tensors[0].name].shape[0]
        return PartSize(entries["index.example"].shape[0], rows, entries["index.token_ids"].shape[0])
    except (KeyError, IndexError) as error:
        raise StoreError(f"{file}: not a part of this recording: it lacks {error}; {_REMEDY}") from error


def _view(file: Path, layout: PositionLayout, size: PartSize, offset: int) -> Part:
    mapped = np.memmap(file, dtype=np.uint8, mode="r")
    raw: dict[str, NDArray[np.uint8]] = {}
    for entry in layout.entries(size):
        raw[entry.name] = mapped[offset : offset + entry.size_bytes]
        offset += entry.size_bytes
    values = {t.name: raw[t.name].reshape(size.rows, t.row_bytes) for t in layout.tensors}
    return Part(file, size, _examples(file, layout, size, raw), values)


def _examples(
    file: Path, layout: PositionLayout, size: PartSize, raw: dict[str, NDArray[np.uint8]]
) -> tuple[StoredExample, ...]:
    numbers, lengths, prompts = (raw[f"index.{key}"].view(np.int64) for key in ("example", "length", "prompt_length"))
    first = np.ones_like(prompts) if layout.prompt_in_loss else np.maximum(1, prompts)
    rows = np.maximum(0, lengths - first)
    if lengths.sum() != size.tokens or rows.sum() != size.rows or (lengths < 0).any():
        raise StoreError(f"{file}: damaged: its index does not add up to the {size.rows} rows it has; {_REMEDY}")
    tokens = raw["index.token_ids"].view(np.int32)
    token_starts = accumulate(lengths.tolist(), initial=0)
    row_starts = accumulate(rows.tolist(), initial=0)
    return tuple(
        StoredExample(number, tokens[token:][:length], prompt, row, count)
        for number, length, prompt, count, token, row in zip(
            numbers.tolist(), lengths.tolist(), prompts.tolist(), rows.tolist(), token_starts, row_starts, strict=False
        )
    )

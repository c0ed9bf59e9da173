"""Recordings of a teacher, read: memory-mapped, and never for a sequence other than the recorded one.

A recording is a folder of safetensors parts, each with some whole examples, and `positions.json`, which is written
last. A part says by itself which examples it holds. A row is one target position; rows of a batch come in the order of
`data.batches.collate`: sequence by sequence, position by position.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from kdscope.core.errors import DataError, ModelError, StoreError
from kdscope.data.batches import TokenSequence

FORMAT_VERSION = 1
DESCRIPTION = "positions.json"
STORED_AS: Mapping[str, str] = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
_AGAIN = "delete it and record the teacher again"
_REMEDY = (
    "record the teacher again for this data, prompt template, tokenizer and max_length_tokens, or let it run beside "
    "the student (teacher_signal: live)"
)

Dtype = Literal["float32", "bfloat16", "float16"]
# Name, safetensors dtype and shape of a tensor of a part.
Entry = tuple[str, str, tuple[int, ...]]


@dataclass(frozen=True)
class PositionTensor:
    """A named tensor [N, *shape] with one row a target position."""

    name: str
    dtype: Dtype
    shape: tuple[int, ...] = ()

    @property
    def torch_dtype(self) -> torch.dtype:
        """Its dtype in memory."""
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype

    @property
    def row_bytes(self) -> int:
        """Bytes of one position."""
        return self.torch_dtype.itemsize * math.prod(self.shape)


@dataclass(frozen=True)
class PartSize:
    """How much a part holds: examples, target positions (rows), and tokens of all its sequences."""

    examples: int
    rows: int
    tokens: int


@dataclass(frozen=True)
class PositionLayout:
    """What is recorded.

    Attributes:
        tensors: One or more tensors of a position.
        prompt_in_loss: Whether prompt positions are recorded too; then both kinds of loss can be served.
        tokenizer: Fingerprint of the tokenizer's map id -> string.
    """

    tensors: tuple[PositionTensor, ...]
    prompt_in_loss: bool
    tokenizer: str

    @property
    def row_bytes(self) -> int:
        """Bytes of one position."""
        return sum(tensor.row_bytes for tensor in self.tensors)

    def entries(self, size: PartSize) -> list[Entry]:
        """The tensors of a part's file, in order: first which examples it holds, then their rows."""
        # Wider values first, so that all of them are aligned.
        rows = sorted(self.tensors, key=lambda t: (-t.torch_dtype.itemsize, t.name))
        return [
            *((f"index.{name}", "I64", (size.examples,)) for name in ("example", "length", "prompt_length")),
            ("index.token_ids", "I32", (size.tokens,)),
            *((t.name, STORED_AS[t.dtype], (size.rows, *t.shape)) for t in rows),
        ]

    def metadata(self) -> dict[str, str]:
        """What a part says of itself."""
        facts = {"prompt_in_loss": json.dumps(self.prompt_in_loss), "tokenizer": self.tokenizer}
        return {"format": f"kdscope positions {FORMAT_VERSION}", **facts}

    def to_json(self) -> dict[str, Any]:
        """As `positions.json` has it."""
        tensors = [{"name": t.name, "dtype": t.dtype, "shape": list(t.shape)} for t in self.tensors]
        return {"tensors": tensors, "prompt_in_loss": self.prompt_in_loss, "tokenizer": self.tokenizer}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PositionLayout:
        """The inverse of `to_json`; raises KeyError, TypeError or ValueError for anything else."""
        tensors = tuple(PositionTensor(t["name"], t["dtype"], tuple(map(int, t["shape"]))) for t in values["tensors"])
        unknown = {t.dtype for t in tensors} - STORED_AS.keys()
        if unknown or not tensors:
            raise ValueError(f"tensors of dtype {sorted(unknown)}")
        return cls(tensors, bool(values["prompt_in_loss"]), str(values["tokenizer"]))


def hidden_layout(width: int, dtype: Dtype, prompt_in_loss: bool, tokenizer: str) -> PositionLayout:
    """A recording of a teacher's last hidden states, [N, width] in the precision it computes in."""
    return PositionLayout((PositionTensor("hidden", dtype, (width,)),), prompt_in_loss, tokenizer)


def expectation_layout(width: int, prompt_in_loss: bool, tokenizer: str) -> PositionLayout:
    """A recording of expectations under a student's head of this width: vectors [N, width], entropy and bias [N]."""
    scalars = (PositionTensor("entropy", "float32"), PositionTensor("bias", "float32"))
    return PositionLayout((PositionTensor("vectors", "float32", (width,)), *scalars), prompt_in_loss, tokenizer)


def fingerprint_tokens(tokens: Mapping[str, int]) -> str:
    """SHA-256 of a tokenizer's map id -> string (its `get_vocab()`), the same for equal maps in any order."""
    ordered = sorted((token_id, token) for token, token_id in tokens.items())
    return hashlib.sha256(json.dumps(ordered, ensure_ascii=True).encode()).hexdigest()


def count_rows(sequence: TokenSequence, prompt_in_loss: bool) -> int:
    """Target positions of a sequence."""
    return max(0, len(sequence.token_ids) - sequence.first_target(prompt_in_loss))


@dataclass(frozen=True)
class StoredExample:
    """An example of a part: its tokens as they were recorded, and where its rows begin."""

    example: int
    token_ids: Tensor
    prompt_length: int
    first_row: int
    rows: int


@dataclass(frozen=True)
class Part:
    """A part's file, opened. Nothing of it is in memory but what was asked for.

    Attributes:
        file: Where it is.
        size: How much it holds.
        examples: In the order they were recorded.
        tensors: Of every name the rows of all examples, [rows, ...], views of the file.
    """

    file: Path
    size: PartSize
    examples: tuple[StoredExample, ...]
    tensors: Mapping[str, Tensor]


def part_name(number: int) -> str:
    """The file name of a part, counted from 0."""
    return f"part-{number:05d}.safetensors"


def open_part(file: Path, layout: PositionLayout, size: PartSize | None = None) -> Part:
    """Open a part and check that it is whole and laid out as it should be.

    Args:
        file: The part.
        layout: What the recording holds.
        size: How much this part is known to hold; None takes its own word.

    Raises:
        StoreError: It is missing, truncated, or another layout or size than asked for.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
            found = {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
            metadata = opened.metadata()
            # Of a file on the disk these are views: pages are read when their values are.
            tensors: dict[str, Tensor] = {name: opened.get_tensor(name) for name in found}
    except OSError as error:
        reason = error.strerror or ("No such file or directory" if isinstance(error, FileNotFoundError) else error)
        raise StoreError(f"{file}: cannot read: {reason}") from error
    except SafetensorError as error:
        raise StoreError(f"{file}: truncated or damaged: no whole safetensors file ({error}); {_AGAIN}") from error
    size = _own_size(file, layout, found) if size is None else size
    if metadata != layout.metadata() or found != {name: (dtype, shape) for name, dtype, shape in layout.entries(size)}:
        raise StoreError(
            f"{file}: its header is not the one recorded for it; the file was replaced or is damaged, {_AGAIN}"
        )
    return Part(file, size, _examples(file, layout, size, tensors), tensors)


class PositionReader:
    """A finished recording.

    Attributes:
        folder: Where it is.
        layout: What it holds.
        facts: What its writer wanted readers to know.
        rows: Target positions in all.
    """

    def __init__(self, folder: Path, *, prompt_in_loss: bool, tokenizer: str) -> None:
        """Open a recording for a loss and a tokenizer.

        Args:
            folder: A finished recording.
            prompt_in_loss: Whether rows of prompt positions are wanted; of a recording with them they can be left out.
            tokenizer: Fingerprint of the map id -> string that the sequences are made with.

        Raises:
            StoreError: The recording is unfinished, damaged, or of an unknown format.
            ModelError: It was made with another tokenizer.
            DataError: Prompt positions are wanted and were not recorded.
        """
        self.folder, self._prompt_in_loss = folder, prompt_in_loss
        self.layout, sizes, self.facts = _read_description(folder / DESCRIPTION)
        if self.layout.tokenizer != tokenizer:
            raise ModelError(
                f"{folder}: recorded with another tokenizer (its ids mean other strings: fingerprint "
                f"{self.layout.tokenizer[:12]}, wanted {tokenizer[:12]}); record the teacher again with this one"
            )
        if prompt_in_loss and not self.layout.prompt_in_loss:
            raise DataError(f"{folder}: recorded without prompt positions; record it again with prompt_in_loss: true")
        parts = [open_part(folder / part_name(i), self.layout, size) for i, size in enumerate(sizes)]
        self._places = {stored.example: (part, stored) for part in parts for stored in part.examples}
        self.rows = sum(size.rows for size in sizes)
        if len(self._places) < sum(size.examples for size in sizes):
            raise StoreError(f"{folder}: an example is recorded twice; record the teacher again")

    def check(self, sequences: Sequence[TokenSequence]) -> None:
        """Refuse now what `gather` would refuse later.

        Raises:
            DataError: A sequence was not recorded, or was another one; names the first difference.
        """
        for sequence in sequences:
            self._find(sequence)

    def gather(self, sequences: Sequence[TokenSequence]) -> dict[str, Tensor]:
        """The rows of some sequences, concatenated in order: every tensor [N, ...] on the CPU.

        Raises:
            DataError: A sequence was not recorded, or was another one; names the first difference.
        """
        found = [self._find(sequence) for sequence in sequences]
        return {
            t.name: torch.cat([part.tensors[t.name][start:end] for part, start, end in found])
            for t in self.layout.tensors
        }

    def _find(self, sequence: TokenSequence) -> tuple[Part, int, int]:
        """The part of a sequence, and its first and last row (exclusive) there."""
        place = self._places.get(sequence.example)
        if place is None:
            raise DataError(f"{self.folder}: example {sequence.example} was not recorded; {_REMEDY}")
        part, stored = place
        difference = _difference(sequence, stored)
        if difference:
            raise DataError(f"{part.file}: example {sequence.example} has changed since: {difference}; {_REMEDY}")
        end = stored.first_row + stored.rows
        return part, end - count_rows(sequence, self._prompt_in_loss), end


def _own_size(file: Path, layout: PositionLayout, found: Mapping[str, tuple[str, tuple[int, ...]]]) -> PartSize:
    try:
        names = ("index.example", layout.tensors[0].name, "index.token_ids")
        return PartSize(*(found[name][1][0] for name in names))
    except (KeyError, IndexError) as error:
        raise StoreError(f"{file}: not a part of this recording: it lacks {error}; {_AGAIN}") from error


def _examples(
    file: Path, layout: PositionLayout, size: PartSize, tensors: Mapping[str, Tensor]
) -> tuple[StoredExample, ...]:
    numbers, lengths, prompts = (tensors[f"index.{key}"].tolist() for key in ("example", "length", "prompt_length"))
    rows = [max(0, n - (1 if layout.prompt_in_loss else max(1, p))) for n, p in zip(lengths, prompts, strict=True)]
    if sum(lengths) != size.tokens or sum(rows) != size.rows or min(lengths, default=0) < 0:
        raise StoreError(f"{file}: damaged: its index does not add up to the {size.rows} rows it has; {_AGAIN}")
    tokens = torch.split(tensors["index.token_ids"], lengths) if lengths else ()
    starts = accumulate(rows, initial=0)
    return tuple(map(StoredExample, numbers, tokens, prompts, starts, rows))


def _difference(sequence: TokenSequence, stored: StoredExample) -> str:
    """The first difference between a sequence and what was recorded under its number; empty if there is none."""
    given, recorded = sequence.token_ids, tuple(stored.token_ids.tolist())
    shorter = min(len(given), len(recorded))
    at = next((n for n in range(shorter) if given[n] != recorded[n]), None)
    if at is not None:
        return f"its token {at} is {given[at]}, recorded was {recorded[at]}"
    if len(given) != len(recorded):
        return f"it has {len(given)} tokens, recorded were {len(recorded)} (the first {shorter} are the same)"
    if sequence.prompt_length != stored.prompt_length:
        return f"its response starts at token {sequence.prompt_length}, recorded was {stored.prompt_length}"
    return ""


def _read_description(file: Path) -> tuple[PositionLayout, list[PartSize], dict[str, Any]]:
    try:
        values = json.loads(file.read_bytes())
        if values["version"] != FORMAT_VERSION:
            raise StoreError(f"{file}: format version {values['version']}, this program reads {FORMAT_VERSION}")
        sizes = [PartSize(int(p["examples"]), int(p["rows"]), int(p["tokens"])) for p in values["parts"]]
        return PositionLayout.from_json(values), sizes, dict(values["facts"])
    except OSError as error:
        reason = "the recording is missing or was not finished"
        raise StoreError(f"{file}: {reason} ({error.strerror or error})") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"{file}: damaged, it does not describe a recording ({error})") from error

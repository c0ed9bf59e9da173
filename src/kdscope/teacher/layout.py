"""What a recording holds for every target position, how its files are laid out, and how large they become.

Planning imports this: no torch. A recording is a folder of parts, each with some whole examples, and `positions.json`,
which is written last. A part is a safetensors file that says by itself which examples it holds.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kdscope.teacher.tensor_file import VALUE_BYTES, Entry, make_header

FORMAT_VERSION = 1
DESCRIPTION = "positions.json"
PART_BYTES = 256 << 20  # what a writer holds in memory, and the most that a kill costs

Dtype = Literal["float32", "bfloat16", "float16"]
_STORED_AS: Mapping[str, str] = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}


@dataclass(frozen=True)
class PositionTensor:
    """A named tensor [N, *shape] with one row a target position."""

    name: str
    dtype: Dtype
    shape: tuple[int, ...] = ()

    @property
    def row_bytes(self) -> int:
        """Bytes of one position."""
        return VALUE_BYTES[_STORED_AS[self.dtype]] * math.prod(self.shape)


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

    def entries(self, size: PartSize) -> tuple[Entry, ...]:
        """The tensors of a part's file, in order: first which examples it holds, then their rows."""
        return (
            Entry("index.example", "I64", (size.examples,)),
            Entry("index.length", "I64", (size.examples,)),
            Entry("index.prompt_length", "I64", (size.examples,)),
            Entry("index.token_ids", "I32", (size.tokens,)),
            *(Entry(t.name, _STORED_AS[t.dtype], (size.rows, *t.shape)) for t in self._aligned()),
        )

    def stored_order(self) -> list[str]:
        """Names of the tensors in the order in which a part has their rows."""
        return [tensor.name for tensor in self._aligned()]

    def header(self, size: PartSize) -> bytes:
        """The bytes before the values of a part of this size."""
        facts = {"prompt_in_loss": json.dumps(self.prompt_in_loss), "tokenizer": self.tokenizer}
        return make_header(self.entries(size), {"format": f"kdscope positions {FORMAT_VERSION}", **facts})

    def part_bytes(self, size: PartSize) -> int:
        """Bytes of a part's file."""
        return len(self.header(size)) + sum(entry.size_bytes for entry in self.entries(size))

    def recording_bytes(self, size: PartSize, part_bytes: int = PART_BYTES) -> int:
        """Bytes of a whole recording, about: exact but for the headers of its parts."""
        once = self.part_bytes(size)
        return once + once // part_bytes * len(self.header(size))

    def to_json(self) -> dict[str, Any]:
        """As `positions.json` has it."""
        tensors = [{"name": t.name, "dtype": t.dtype, "shape": list(t.shape)} for t in self.tensors]
        return {"tensors": tensors, "prompt_in_loss": self.prompt_in_loss, "tokenizer": self.tokenizer}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PositionLayout:
        """The inverse of `to_json`; raises KeyError, TypeError or ValueError for anything else."""
        tensors = tuple(PositionTensor(t["name"], t["dtype"], tuple(map(int, t["shape"]))) for t in values["tensors"])
        unknown = {t.dtype for t in tensors} - _STORED_AS.keys()
        if unknown or not tensors:
            raise ValueError(f"tensors of dtype {sorted(unknown)}")
        return cls(tensors, bool(values["prompt_in_loss"]), str(values["tokenizer"]))

    def _aligned(self) -> list[PositionTensor]:
        # Wider values first, as the format wants it.
        return sorted(self.tensors, key=lambda t: (-VALUE_BYTES[_STORED_AS[t.dtype]], t.name))


def hidden_layout(width: int, dtype: Dtype, prompt_in_loss: bool, tokenizer: str) -> PositionLayout:
    """A recording of a teacher's last hidden states, [N, width] in the precision it computes in."""
    return PositionLayout((PositionTensor("hidden", dtype, (width,)),), prompt_in_loss, tokenizer)


def expectation_layout(width: int, prompt_in_loss: bool, tokenizer: str) -> PositionLayout:
    """A recording of expectations under a student's head of this width: vectors [N, width], entropy and bias [N]."""
    tensors = (
        PositionTensor("vectors", "float32", (width,)),
        PositionTensor("entropy", "float32"),
        PositionTensor("bias", "float32"),
    )
    return PositionLayout(tensors, prompt_in_loss, tokenizer)


def head_bytes(rows: int, width: int, dtype: Dtype) -> int:
    """Bytes of the head [rows, width] that is stored beside a teacher's hidden states."""
    return rows * width * VALUE_BYTES[_STORED_AS[dtype]]


def fingerprint_tokens(tokens: Mapping[str, int]) -> str:
    """SHA-256 of a tokenizer's map id -> string (its `get_vocab()`), the same for equal maps in any order."""
    ordered = sorted((token_id, token) for token, token_id in tokens.items())
    return hashlib.sha256(json.dumps(ordered, ensure_ascii=True).encode()).hexdigest()

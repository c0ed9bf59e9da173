"""Reading what was recorded of target positions: memory-mapped, and never for a sequence other than the recorded one.

A row is one target position; rows of a batch come in the order of `data.batches.collate`: sequence by sequence,
position by position.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdscope.core.errors import DataError, ModelError, StoreError
from kdscope.data.batches import TokenSequence
from kdscope.teacher.layout import DESCRIPTION, FORMAT_VERSION, PartSize, PositionLayout, PositionTensor
from kdscope.teacher.parts import Part, StoredExample, count_rows, open_part, part_name

_REMEDY = (
    "record the teacher again for this data, prompt template, tokenizer and max_length_tokens, or let it run beside "
    "the student (teacher_signal: live)"
)


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
        return {tensor.name: _collect(tensor, found) for tensor in self.layout.tensors}

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


def _difference(sequence: TokenSequence, stored: StoredExample) -> str:
    """The first difference between a sequence and what was recorded under its number; empty if there is none."""
    given = np.array(sequence.token_ids, dtype=np.int64)
    shorter = min(len(given), len(stored.token_ids))
    differs = np.flatnonzero(given[:shorter] != stored.token_ids[:shorter])
    if differs.size:
        at = int(differs[0])
        return f"its token {at} is {given[at]}, recorded was {stored.token_ids[at]}"
    if len(given) != len(stored.token_ids):
        return f"it has {len(given)} tokens, recorded were {len(stored.token_ids)} (the first {shorter} are the same)"
    if sequence.prompt_length != stored.prompt_length:
        return f"its response starts at token {sequence.prompt_length}, recorded was {stored.prompt_length}"
    return ""


def _collect(tensor: PositionTensor, found: Sequence[tuple[Part, int, int]]) -> Tensor:
    total = sum(end - start for _, start, end in found)
    result = torch.empty((total, *tensor.shape), dtype=getattr(torch, tensor.dtype))
    flat = result.reshape(-1).view(torch.uint8).numpy().reshape(total, tensor.row_bytes)
    at = 0
    for part, start, end in found:
        flat[at : at + end - start] = part.values[tensor.name][start:end]
        at += end - start
    return result


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

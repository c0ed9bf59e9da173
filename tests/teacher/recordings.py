"""Made-up sequences and what could have been recorded of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from kdscope.data.batches import TokenSequence
from kdscope.teacher.recording import PositionLayout, PositionReader, PositionTensor, count_rows, fingerprint_tokens
from kdscope.teacher.recording_writer import PART_BYTES, PositionWriter

TOKENS = {f"token {i}": i for i in range(64)}
TOKENIZER = fingerprint_tokens(TOKENS)
SMALL_PART = 400  # bytes: a few examples
Recorded = dict[int, dict[str, Tensor]]


def some_sequences(count: int, seed: int = 0, longest: int = 12, first_example: int = 0) -> list[TokenSequence]:
    """Sequences of at least two tokens, at least one of them prompt; some are nothing but prompt."""
    rng = random.Random(seed)
    made = []
    for example in range(first_example, first_example + count):
        length = rng.randint(2, longest)
        ids = tuple(rng.randrange(2, len(TOKENS)) for _ in range(length))
        made.append(TokenSequence(example, ids, rng.randint(1, length)))
    return made


def layout_of(*tensors: PositionTensor, prompt_in_loss: bool = False) -> PositionLayout:
    """Hidden states of width 5 in bfloat16, unless other tensors are named."""
    return PositionLayout(tensors or (PositionTensor("hidden", "bfloat16", (5,)),), prompt_in_loss, TOKENIZER)


def some_values(sequences: Iterable[TokenSequence], layout: PositionLayout, seed: int = 0) -> Recorded:
    """For every example random bits, so that also infinities and NaN must survive."""
    generator = torch.Generator().manual_seed(seed)
    return {s.example: {t.name: _random_bits(s, t, layout, generator) for t in layout.tensors} for s in sequences}


def record(
    folder: Path,
    sequences: Sequence[TokenSequence],
    values: Recorded,
    layout: PositionLayout,
    part_bytes: int = PART_BYTES,
) -> None:
    """Write a whole recording, or go on with one."""
    writer = PositionWriter(folder, layout, sequences, part_bytes=part_bytes)
    for sequence in sequences:
        writer.add(sequence, values[sequence.example])
    writer.finish({"teacher": "made up"})


def open_recording(folder: Path, prompt_in_loss: bool = False) -> PositionReader:
    """A reader with the made-up tokenizer."""
    return PositionReader(folder, prompt_in_loss=prompt_in_loss, tokenizer=TOKENIZER)


def bits(tensor: Tensor) -> Tensor:
    """The bytes of a tensor: equal only if every bit is, NaN included."""
    return tensor.contiguous().view(torch.uint8) if tensor.ndim else tensor


def _random_bits(
    sequence: TokenSequence, tensor: PositionTensor, layout: PositionLayout, generator: torch.Generator
) -> Tensor:
    rows = count_rows(sequence, layout.prompt_in_loss)
    raw = torch.randint(0, 256, (rows * tensor.row_bytes,), dtype=torch.uint8, generator=generator)
    return raw.view(getattr(torch, tensor.dtype)).reshape(rows, *tensor.shape)

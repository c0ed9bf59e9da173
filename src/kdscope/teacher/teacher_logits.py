"""A teacher's logits of target positions, made chunk by chunk from its last hidden states, and noise on them.

A live teacher runs on every batch: exact, on and off policy, at the cost of one forward pass of its decoder.

Gaussian noise is a function of (seed, example, position, vocabulary index) and nothing else, so it is the same in any
batch, order, padding or chunk, for every student that shares the seed, and after a resume; nothing is stored. Each
(seed, example, position) starts a SplitMix64 stream (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number
generators") with its own start and increment; word j of the stream gives, by Box & Muller (1958), the noise of the
vocabulary indices 2j and 2j + 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from kdscope.core.errors import ObjectiveError
from kdscope.data.batches import Batch, TokenSequence
from kdscope.models.forward import SelectedStates, check_numbers
from kdscope.models.packing import packed
from kdscope.models.vocabulary import VocabularyMatch, cut_teacher_logits
from kdscope.objectives.head import Head

_ELEMENTS_PER_CHUNK = 1 << 17  # of [rows, vocabulary / 2]: the few 1 MB temporaries stay in a processor's cache
_LOW_32_BITS = 0xFFFFFFFF


def _signed(word: int) -> int:
    """A 64-bit pattern as the int64 that has it."""
    return (word + (1 << 63)) % (1 << 64) - (1 << 63)


_INCREMENT = _signed(0x9E3779B97F4A7C15)
_MULTIPLIERS = (_signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB))


def add_teacher_noise(logits: Tensor, std: float, seed: int, example_ids: Tensor, positions: Tensor) -> Tensor:
    """Noisy logits z + N(0, std²), independent for every (seed, example, position, vocabulary index).

    To be added before any temperature divides the logits. The random bits are the same on every device; the normal
    values are computed in float64 (float32 where the device has none) and the sum is rounded once. No value exceeds
    6.77 std; a normal variable would once in 7e10 draws.

    Args:
        logits: z, [N, V]; without gradient.
        std: standard deviation, in units of logits, >= 0.
        seed: of the study's cell.
        example_ids: [N], int64, which training example each row belongs to.
        positions: [N], int64, which token of that example it is.

    Returns:
        [N, V]: the logits themselves for std = 0, else a new tensor, float32 for half-precision logits.

    Raises:
        ObjectiveError: shapes do not fit, or std is negative or not finite.
    """
    _check(logits, std, example_ids, positions)
    if std == 0.0:
        return logits
    exact = torch.float64 if logits.dtype == torch.float64 else torch.float32
    noisy = logits.detach().to(exact, copy=True)
    starts, increments = _streams(seed, example_ids.to(logits.device), positions.to(logits.device))
    rows = max(1, 2 * _ELEMENTS_PER_CHUNK // max(1, logits.shape[1]))
    for chunk, start, increment in zip(
        torch.split(noisy, rows), torch.split(starts, rows), torch.split(increments, rows), strict=True
    ):
        _add_normal(chunk, std, start, increment)
    return noisy


def _streams(seed: int, example_ids: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Start and (odd) increment of each row's stream, both [N], int64.

    Every step is a bijection of its argument, so different positions of one example never share a stream.
    """
    root = _mix(torch.full_like(example_ids, _signed(seed)).add_(_INCREMENT))
    example = _mix((root ^ example_ids).add_(_INCREMENT))
    starts = _mix((example ^ positions).add_(_INCREMENT))
    return starts, _mix(starts + _INCREMENT) | 1


def _add_normal(chunk: Tensor, std: float, starts: Tensor, increments: Tensor) -> None:
    """Adds std · N(0, 1) to a chunk [rows, V] in place."""
    vocabulary = chunk.shape[1]
    counters = torch.arange(1, (vocabulary + 1) // 2 + 1, device=chunk.device)
    words = _mix((increments[:, None] * counters).add_(starts[:, None]))
    real = torch.float32 if chunk.device.type == "mps" else torch.float64
    # Halves of the word: the upper one as u in (0, 1), the lower one as an angle in [0, 2 pi).
    radius = (words >> 32).to(real).add_(2.0**31 + 0.5).mul_(2.0**-32).log_().mul_(-2.0 * std * std).sqrt_()
    angle = words.bitwise_and_(_LOW_32_BITS).to(real).mul_(2.0 * math.pi * 2.0**-32)
    chunk[:, 0::2] += angle.cos().mul_(radius)
    chunk[:, 1::2] += angle.sin_().mul_(radius)[:, : vocabulary // 2]


def _mix(words: Tensor) -> Tensor:
    """SplitMix64's output function, in place; int64 arithmetic wraps around to the bits of unsigned words."""
    for shift, multiplier in zip((30, 27), _MULTIPLIERS, strict=True):
        words.bitwise_xor_(_shift_right(words, shift)).mul_(multiplier)
    return words.bitwise_xor_(_shift_right(words, 31))


def _shift_right(words: Tensor, shift: int) -> Tensor:
    """The unsigned shift; torch's own repeats the sign bit."""
    return (words >> shift).bitwise_and_((1 << (64 - shift)) - 1)


def _check(logits: Tensor, std: float, example_ids: Tensor, positions: Tensor) -> None:
    if not 0.0 <= std < math.inf:
        raise ObjectiveError(f"the standard deviation of teacher noise must be finite and >= 0, not {std}")
    if logits.ndim != 2 or example_ids.shape != logits.shape[:1] or positions.shape != logits.shape[:1]:
        shapes = f"{list(logits.shape)}, {list(example_ids.shape)}, {list(positions.shape)}"
        raise ObjectiveError(f"teacher noise needs logits [N, V], example_ids [N] and positions [N], not {shapes}")
    if example_ids.dtype != torch.int64 or positions.dtype != torch.int64:
        raise ObjectiveError(f"example_ids and positions must be int64, not {example_ids.dtype} and {positions.dtype}")


@dataclass
class HeadRows:
    """What a live and a recorded teacher have in common: hidden states, a head, and what is done to its logits.

    Attributes:
        hidden: Last hidden states of N target positions, [N, D], on the head's device.
        head: The teacher's head.
        vocabulary: How its ids match the student's.
        examples: Example of every row [N], int64: with `positions`, the key of its noise.
        positions: Position of every row [N], int64, whose logits predict the target.
        noise_std: Standard deviation of the noise added to its logits.
        noise_seed: Seed of that noise.
    """

    hidden: Tensor
    head: Head
    vocabulary: VocabularyMatch
    examples: Tensor
    positions: Tensor
    noise_std: float = 0.0
    noise_seed: int = 0
    _cut: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self._cut = torch.zeros(len(self.hidden), device=self.hidden.device)

    @torch.no_grad()
    def logits(self, start: int, stop: int) -> Tensor:
        """Logits [stop - start, V shared] of these rows, at least float32, noise added."""
        chunk = slice(start, stop)
        logits, cut_mass = cut_teacher_logits(self.head.logits(self.hidden[chunk]), self.vocabulary)
        # By row, so that rows asked for twice count once.
        self._cut[chunk] = cut_mass.to(self._cut.dtype)
        if self.noise_std > 0:
            logits = add_teacher_noise(
                logits, self.noise_std, self.noise_seed, self.examples[chunk], self.positions[chunk]
            )
        return logits

    @property
    def cut_mass(self) -> float:
        """Teacher probability on vocabulary padding the student lacks, summed over the rows asked for so far."""
        return float(self._cut.sum())


@dataclass(frozen=True)
class LiveTeacher:
    """A frozen causal LM asked about every batch.

    Attributes:
        states: The teacher's decoder, in evaluation mode; for packed batches it must be able to attend to them.
        head: Its head.
        vocabulary: How its ids match the student's.
        noise_std: Standard deviation of the noise added to its logits.
        noise_seed: Seed of that noise.
    """

    states: SelectedStates
    head: Head
    vocabulary: VocabularyMatch
    noise_std: float = 0.0
    noise_seed: int = 0

    @torch.no_grad()
    def rows(self, sequences: Sequence[TokenSequence], batch: Batch) -> HeadRows:
        """What the teacher says of a batch's targets; the sequences are in the batch already.

        Raises:
            ModelError: Its hidden states are not numbers.
        """
        with packed(self.states.model, batch.attention_mask is None):
            hidden = self.states(**batch.inputs())
        check_numbers(hidden)
        return HeadRows(
            hidden, self.head, self.vocabulary, batch.examples, batch.positions, self.noise_std, self.noise_seed
        )

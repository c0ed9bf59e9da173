"""A teacher's logits of target positions, made chunk by chunk from its last hidden states; a teacher that runs live.

The live teacher runs on every batch: exact, on and off policy, at the cost of one forward pass of its decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from kdscope.data.batches import Batch, TokenSequence
from kdscope.models.forward import SelectedStates
from kdscope.models.packing import packed
from kdscope.models.vocabulary import VocabularyMatch, cut_teacher_logits
from kdscope.objectives.head import Head
from kdscope.teacher.noise import add_teacher_noise


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
        """What the teacher says of a batch's targets; the sequences are in the batch already."""
        with packed(self.states.model, batch.attention_mask is None):
            hidden = self.states(**batch.inputs())
        return HeadRows(
            hidden, self.head, self.vocabulary, batch.examples, batch.positions, self.noise_std, self.noise_seed
        )

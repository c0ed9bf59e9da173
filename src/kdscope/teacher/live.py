"""The teacher, run on every batch: exact, works on and off policy, costs one forward pass of its decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from kdscope.data.batches import Batch, TokenSequence
from kdscope.models.forward import SelectedStates
from kdscope.models.packing import packed
from kdscope.models.vocabulary import VocabularyMatch
from kdscope.objectives import Head
from kdscope.teacher.rows import HeadRows


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

"""The teacher, run on every batch: exact, works on and off policy, costs one forward pass of the teacher."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kdscope.models.forward import SelectedLogits
from kdscope.models.vocabulary import VocabularyMatch, cut_teacher_logits
from kdscope.teacher.noise import add_teacher_noise


@dataclass(frozen=True)
class TeacherLogits:
    """What the teacher says of a batch's targets.

    Attributes:
        logits: [N, V shared], float32, noise added.
        cut_mass: Teacher probability on vocabulary padding the student lacks, [N].
    """

    logits: Tensor
    cut_mass: Tensor


@dataclass(frozen=True)
class LiveTeacher:
    """A frozen causal LM asked for logits at target positions.

    Attributes:
        forward: The teacher's selected-logits module, in evaluation mode.
        vocabulary: How its ids match the student's.
        noise_std: Standard deviation of the noise added to its logits.
        noise_seed: Seed of that noise.
    """

    forward: SelectedLogits
    vocabulary: VocabularyMatch
    noise_std: float = 0.0
    noise_seed: int = 0

    @torch.no_grad()
    def __call__(
        self, input_ids: Tensor, attention_mask: Tensor, rows: Tensor, positions: Tensor, examples: Tensor
    ) -> TeacherLogits:
        """Logits at the chosen positions; shapes as in `SelectedLogits.forward`, `examples` [N] keys the noise."""
        logits = self.forward(input_ids, attention_mask, rows, positions).float()
        logits, cut_mass = cut_teacher_logits(logits, self.vocabulary)
        if self.noise_std > 0:
            logits = add_teacher_noise(logits, self.noise_std, self.noise_seed, examples, positions)
        return TeacherLogits(logits, cut_mass)

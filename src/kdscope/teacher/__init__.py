"""Where the teacher's signal comes from, and what is done to it before a student sees it.

- `teacher_logits`: the teacher runs on every batch, and noise on its logits. `replay`: its recorded last hidden states
  stand for it.
  `expectation`: for forward KL and a frozen head, one vector a token is enough.
- `recording`, `recording_writer`: how a recording lies on disk, read and written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # planning asks this package for sizes, and must not load torch
    from kdscope.data.batches import Batch, TokenSequence
    from kdscope.objectives import Expectation, TeacherRows

__all__ = ["DistillationTeacher"]


class DistillationTeacher(Protocol):
    """Anything that can say what a teacher thinks of a batch's targets."""

    def rows(self, sequences: Sequence[TokenSequence], batch: Batch) -> TeacherRows | Expectation:
        """The teacher's logits of the batch's targets, chunk by chunk, or what is left of them."""
        ...

"""The teacher reduced to what forward KL needs of it, when the student's head does not train.

With a frozen head W_S (scale s, bias b), P = softmax(z_T / T) and h the student's hidden state,

    KL(P || Q) = logsumexp(z_S / T) - s (h . c + beta) / T - H(P),    c = P W_S,  beta = sum_i p_i b_i,

so that c [D], beta and the entropy H(P) say all that the loss and its gradient know of the teacher. They are made once
per (student head, temperature, noise); no teacher's head is computed while the student trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kdscope.core.errors import ModelError, ObjectiveError
from kdscope.data.batches import Batch, TokenSequence
from kdscope.objectives import Expectation, TeacherRows
from kdscope.objectives.divergence import check_temperature
from kdscope.objectives.head import Head
from kdscope.teacher.recording import PositionReader

_VALUES_PER_BLOCK = 1 << 24  # probabilities, or values of the head made float32, at a time


@torch.no_grad()
def expect(
    rows: TeacherRows, student_head: Head, count: int, temperature: float, chunk_rows: int | None = None
) -> dict[str, Tensor]:
    """Expectations of a student's head under the teacher, in float32 whatever the head's precision.

    Args:
        rows: The teacher's logits [.., V]: noise added, cut to the shared vocabulary.
        student_head: The student's head, frozen, not soft-capped; only its first V rows are used.
        count: N, how many rows there are.
        temperature: T > 0 of the objective.
        chunk_rows: How many rows are computed at a time; None for about 64 MB of probabilities.

    Returns:
        vectors [N, D] (the head's scale not included), entropy [N] in nats, bias [N]; on the head's device.

    Raises:
        ObjectiveError: The head caps its logits, so that they are not linear, or has too few rows; or T <= 0.
    """
    check_temperature(temperature)
    if student_head.softcap is not None:
        raise ObjectiveError("a soft-capped head's expected logits are no product with one vector; use replay")
    weight, bias = student_head.weight, student_head.bias
    made: dict[str, Tensor] = {
        "vectors": torch.empty((count, weight.shape[1]), device=weight.device),
        "entropy": torch.empty(count, device=weight.device),
        "bias": torch.zeros(count, device=weight.device),
    }
    step = chunk_rows or max(1, _VALUES_PER_BLOCK // len(weight))
    for start in range(0, count, step):
        chunk = slice(start, min(start + step, count))
        probability = (rows.logits(chunk.start, chunk.stop).float() / temperature).softmax(dim=-1)
        made["entropy"][chunk] = torch.special.entr(probability).sum(dim=-1)
        made["vectors"][chunk] = _expected_rows(probability, weight)
        if bias is not None:
            made["bias"][chunk] = probability @ bias[: probability.shape[1]].float()
    return made


@dataclass(frozen=True)
class ExpectationTeacher:
    """A teacher of whom only the expectations under one student head, temperature and noise are left."""

    reader: PositionReader

    def __post_init__(self) -> None:
        recorded = {tensor.name for tensor in self.reader.layout.tensors}
        if recorded != {"vectors", "entropy", "bias"}:
            raise ModelError(f"{self.reader.folder}: holds {', '.join(sorted(recorded))}, which is no expectation")

    def rows(self, sequences: Sequence[TokenSequence], batch: Batch) -> Expectation:
        """The expectations of a collated batch, on its device.

        Raises:
            DataError: A sequence was not recorded, or was another one.
        """
        recorded = self.reader.gather(sequences)
        return Expectation(**{name: tensor.to(batch.targets.device) for name, tensor in recorded.items()})


def _expected_rows(probability: Tensor, weight: Tensor) -> Tensor:
    """P W [N, D] in float32, the rows of W made float32 a block at a time.

    Made once and used by every epoch, so it is worth being exact: bfloat16 probabilities would each be off by up to
    2^-9, and the sum with them.
    """
    size = probability.shape[1]
    if size > len(weight):
        raise ObjectiveError(f"the teacher's logits have {size} columns, the student's head only {len(weight)} rows")
    step = max(1, _VALUES_PER_BLOCK // weight.shape[1])
    result = torch.zeros((len(probability), weight.shape[1]), device=weight.device)
    with torch.autocast(weight.device.type, enabled=False):
        for start in range(0, size, step):
            stop = min(start + step, size)
            result.addmm_(probability[:, start:stop], weight[start:stop].float())
    return result

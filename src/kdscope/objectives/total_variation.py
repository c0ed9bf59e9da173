"""Total variation distance: the probability mass that would have to move."""

from __future__ import annotations

import torch
from torch import Tensor

from kdscope.objectives.divergence import Distribution, Divergence


def total_variation(teacher_logits: Tensor, student_logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """½ Σ |p - q| per token, in [0, 1] (f-distill, Wen et al. 2023, arXiv 2307.15190).

    Not differentiable where p = q; the gradient used there is 0. Deviation: f-distill's bound sums over sequences from
    both models; this is the exact distance of every next token, given the prefix.

    Args:
        teacher_logits: [N, V]; -inf means probability 0.
        student_logits: [N, V].
        temperature: T > 0, dividing both logits.

    Returns:
        [N], float32 or float64; a mass, not nats.

    Raises:
        ObjectiveError: shapes differ, or the temperature is not positive and finite.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
        >>> student = torch.tensor([[0.5, 1.0, 1.5, -0.5]], dtype=torch.float64)
        >>> round(total_variation(teacher, student).item(), 6)
        0.469543
    """
    return DIVERGENCE(teacher_logits, student_logits, temperature)


def total_variation_rows(teacher: Distribution, student: Distribution) -> tuple[Tensor, Tensor]:
    """The kernel: ½ Σ |q - p|, and dD/d log q = ½ q sign(q - p)."""
    excess = torch.sub(student.probability, teacher.probability, out=teacher.probability)
    slope = torch.sign(excess, out=teacher.log).mul_(student.probability).mul_(0.5)
    return 0.5 * excess.abs_().sum(dim=-1), slope


DIVERGENCE = Divergence(name="total_variation", kernel=total_variation_rows)

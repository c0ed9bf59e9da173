"""Total variation distance: the probability mass that would have to move."""

from __future__ import annotations

from torch import Tensor

from kdscope.objectives.probabilities import log_probability_pair


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
    log_p, log_q = log_probability_pair(teacher_logits, student_logits, temperature)
    return 0.5 * (log_p.exp() - log_q.exp()).abs().sum(dim=-1)

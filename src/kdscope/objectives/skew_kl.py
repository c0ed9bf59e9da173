"""Skew KL and skew reverse KL: a little of the first distribution in the second keeps values and gradients bounded."""

from __future__ import annotations

from torch import Tensor

from kdscope.errors import ObjectiveError
from kdscope.objectives.probabilities import kl_between, log_mixture, log_probability_pair


def check_skew(skew: float) -> None:
    """Raises ObjectiveError unless 0 <= skew < 1; at 1 both divergences are 0 whatever the student says."""
    if not 0.0 <= skew < 1.0:
        raise ObjectiveError(f"skew must lie in [0, 1), not {skew}")


def skew_kl(teacher_logits: Tensor, student_logits: Tensor, *, skew: float = 0.1, temperature: float = 1.0) -> Tensor:
    """KL(P‖a P + (1 - a) Q) per token, in nats; at most log(1/a) (DistiLLM, Ko et al. 2024, arXiv 2402.03898).

    Args:
        teacher_logits: [N, V]; -inf means probability 0.
        student_logits: [N, V].
        skew: a in [0, 1), the teacher's share of the mixture; 0 gives the forward KL.
        temperature: T > 0, dividing both logits.

    Returns:
        [N], float32 or float64.

    Raises:
        ObjectiveError: shapes differ, or a setting lies outside its range.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
        >>> student = torch.tensor([[0.5, 1.0, 1.5, -0.5]], dtype=torch.float64)
        >>> round(skew_kl(teacher, student, skew=0.1).item(), 6)
        0.485235
    """
    check_skew(skew)
    log_p, log_q = log_probability_pair(teacher_logits, student_logits, temperature)
    return kl_between(log_p, log_mixture(log_p, log_q, skew))


def skew_reverse_kl(
    teacher_logits: Tensor, student_logits: Tensor, *, skew: float = 0.1, temperature: float = 1.0
) -> Tensor:
    """KL(Q‖(1 - a) P + a Q) per token, in nats; at most log(1/a) (DistiLLM, Ko et al. 2024, arXiv 2402.03898).

    Args:
        teacher_logits: [N, V]; -inf means probability 0.
        student_logits: [N, V].
        skew: a in [0, 1), the student's share of the mixture; 0 gives the reverse KL.
        temperature: T > 0, dividing both logits.

    Returns:
        [N], float32 or float64.

    Raises:
        ObjectiveError: shapes differ, or a setting lies outside its range.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
        >>> student = torch.tensor([[0.5, 1.0, 1.5, -0.5]], dtype=torch.float64)
        >>> round(skew_reverse_kl(teacher, student, skew=0.1).item(), 6)
        0.502007
    """
    check_skew(skew)
    log_p, log_q = log_probability_pair(teacher_logits, student_logits, temperature)
    return kl_between(log_q, log_mixture(log_q, log_p, skew))

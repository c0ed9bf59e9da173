"""Reverse Kullback-Leibler divergence: the student must say nothing that the teacher finds unlikely."""

from __future__ import annotations

from torch import Tensor

from kdscope.objectives.probabilities import check_epsilon, kl_between, log_probability_pair


def reverse_kl(
    teacher_logits: Tensor, student_logits: Tensor, *, temperature: float = 1.0, probability_epsilon: float = 0.0
) -> Tensor:
    """KL(Q‖P) = Σ q (log q - log p) per token, in nats (MiniLLM, Gu et al. 2024, arXiv 2306.08543, section 2).

    Deviation: MiniLLM's divergence is between whole sequences, estimated on the student's samples; this is the exact
    one of every next token, given the prefix. A probability_epsilon > 0 gives Σ (q + epsilon) (log q - log p), as
    published code does (the logarithm stays that of q); that is no divergence any more.

    Args:
        teacher_logits: [N, V]; a logit of -inf makes the value inf unless the student's is -inf too.
        student_logits: [N, V].
        temperature: T > 0, dividing both logits.
        probability_epsilon: added to every student probability.

    Returns:
        [N], float32 or float64.

    Raises:
        ObjectiveError: shapes differ, or a setting lies outside its range.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
        >>> student = torch.tensor([[0.5, 1.0, 1.5, -0.5]], dtype=torch.float64)
        >>> round(reverse_kl(teacher, student).item(), 6)
        0.675125
    """
    check_epsilon(probability_epsilon)
    log_p, log_q = log_probability_pair(teacher_logits, student_logits, temperature)
    if probability_epsilon == 0.0:
        return kl_between(log_q, log_p)
    return ((log_q.exp() + probability_epsilon) * (log_q - log_p)).sum(dim=-1)

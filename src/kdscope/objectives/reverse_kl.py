"""Reverse Kullback-Leibler divergence: the student must say nothing that the teacher finds unlikely.

KL(Q‖P) = Σ q (log q - log p) per token, in nats (MiniLLM, Gu et al. 2024, arXiv 2306.08543, section 2); inf where the
teacher gives 0 to something the student can say.

Deviation: MiniLLM's divergence is between whole sequences, estimated on the student's samples; this is the exact one
of every next token, given the prefix. A probability_epsilon > 0 gives Σ (q + epsilon) (log q - log p), as published
code does (the logarithm stays that of q); that is no divergence any more.

>>> import torch
>>> teacher = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
>>> student = torch.tensor([[0.5, 1.0, 1.5, -0.5]], dtype=torch.float64)
>>> round(reverse_kl(teacher, student).item(), 6)
0.675125
"""

from __future__ import annotations

from torch import Tensor

from kdscope.objectives.divergence import Distribution, Divergence, check_epsilon, zero_where_impossible_


def reverse_kl_rows(
    teacher: Distribution, student: Distribution, *, probability_epsilon: float = 0.0
) -> tuple[Tensor, Tensor]:
    """The kernel: Σ q (log q - log p); dD/d log q = q (log q - log p) + q [+ epsilon], of which + q may be left out."""
    log_ratio = student.log.sub_(teacher.log)
    added = probability_epsilon * log_ratio.sum(dim=-1) if probability_epsilon > 0.0 else 0.0
    terms = zero_where_impossible_(log_ratio.mul_(student.probability))
    return terms.sum(dim=-1) + added, terms.add_(probability_epsilon) if probability_epsilon > 0.0 else terms


reverse_kl = Divergence(
    name="reverse_kl", kernel=reverse_kl_rows, settings={"probability_epsilon": 0.0}, check=check_epsilon
)

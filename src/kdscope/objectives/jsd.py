"""Generalised Jensen-Shannon divergence: between forward and reverse KL, and bounded.

JSD = beta KL(P‖M) + (1 - beta) KL(Q‖M) with M = beta P + (1 - beta) Q, per token, in nats; beta in [0, 1] is the
teacher's share of the mixture. GKD, Agarwal et al. 2024, arXiv 2306.13649, equation 1. Bounded by the binary entropy
of beta, so by log 2.

Deviation, shared with TRL: the formula is 0 at beta = 0 and beta = 1; there the value is KL(P‖Q) and KL(Q‖P), to
which JSD / beta and JSD / (1 - beta) tend. The scale therefore jumps at both ends.

>>> import torch
>>> teacher = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
>>> student = torch.tensor([[0.5, 1.0, 1.5, -0.5]], dtype=torch.float64)
>>> round(jsd(teacher, student, beta=0.5).item(), 6)
0.148927
"""

from __future__ import annotations

from torch import Tensor

from kdscope.objectives.divergence import Distribution, Divergence, check_fraction, mixture, zero_where_impossible_
from kdscope.objectives.forward_kl import forward_kl_rows
from kdscope.objectives.reverse_kl import reverse_kl_rows


def jsd_rows(teacher: Distribution, student: Distribution, *, beta: float) -> tuple[Tensor, Tensor]:
    """The kernel: the definition, and dD/d log q = (1 - beta) q (log q - log m)."""
    if beta == 0.0:
        return forward_kl_rows(teacher, student)
    if beta == 1.0:
        return reverse_kl_rows(teacher, student)
    log_m = mixture(teacher.probability, student.probability, beta).log_()
    to_student = zero_where_impossible_(student.log.sub_(log_m).mul_(student.probability)).mul_(1.0 - beta)
    to_teacher = zero_where_impossible_(teacher.log.sub_(log_m).mul_(teacher.probability))
    return to_teacher.sum(dim=-1) * beta + to_student.sum(dim=-1), to_student


jsd = Divergence(name="jsd", kernel=jsd_rows, settings={"beta": 0.5}, check=lambda beta: check_fraction("beta", beta))

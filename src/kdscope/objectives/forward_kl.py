"""Forward Kullback-Leibler divergence: the student must cover all that the teacher finds likely.

KL(P‖Q) = Σ p (log p - log q) per token, in nats (Hinton et al. 2015, arXiv 1503.02531, section 2); inf where the
student gives 0 to something the teacher can say.

Deviation: the teacher's entropy is subtracted, so that the value is 0 when the student equals the teacher; the
gradient is that of the soft-target cross-entropy. The factor T² is the caller's choice. A probability_epsilon > 0
puts P + epsilon in place of P, unnormalised, as published code does to avoid log 0; that is no divergence any more.

>>> teacher = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
>>> student = torch.tensor([[0.5, 1.0, 1.5, -0.5]], dtype=torch.float64)
>>> round(forward_kl(teacher, student).item(), 6)
0.625503
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdscope.objectives.divergence import Distribution, Divergence, check_epsilon, zero_where_impossible_


def forward_kl_rows(
    teacher: Distribution, student: Distribution, *, probability_epsilon: float = 0.0
) -> tuple[Tensor, Tensor]:
    """The kernel: Σ p (log p - log q), and dD/d log q = -p; with an epsilon, p + epsilon stands for p."""
    p, log_p = teacher.probability, teacher.log
    if probability_epsilon > 0.0:
        log_p = torch.log(p.add_(probability_epsilon), out=log_p)
    terms = zero_where_impossible_(log_p.sub_(student.log).mul_(p))
    return terms.sum(dim=-1), p.neg_()


forward_kl = Divergence(
    name="forward_kl", kernel=forward_kl_rows, settings={"probability_epsilon": 0.0}, check=check_epsilon
)

"""Skew KL and skew reverse KL: a little of the first distribution in the second keeps values and gradients bounded.

With a = skew in [0, 1), per token, in nats (DistiLLM, Ko et al. 2024, arXiv 2402.03898):

- `skew_kl`: KL(P‖a P + (1 - a) Q), at most log(1/a); a = 0 gives the forward KL.
- `skew_reverse_kl`: KL(Q‖(1 - a) P + a Q), at most log(1/a); a = 0 gives the reverse KL.

>>> teacher = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
>>> student = torch.tensor([[0.5, 1.0, 1.5, -0.5]], dtype=torch.float64)
>>> [round(divergence(teacher, student, skew=0.1).item(), 6) for divergence in (skew_kl, skew_reverse_kl)]
[0.485235, 0.502007]
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdscope.core.errors import ObjectiveError
from kdscope.objectives.divergence import Distribution, Divergence, mixture, zero_where_impossible_
from kdscope.objectives.forward_kl import forward_kl_rows
from kdscope.objectives.reverse_kl import reverse_kl_rows


def check_skew(skew: float) -> None:
    """Raises ObjectiveError unless 0 <= skew < 1; at 1 both divergences are 0 whatever the student says."""
    if not 0.0 <= skew < 1.0:
        raise ObjectiveError(f"skew must lie in [0, 1), not {skew}")


def skew_kl_rows(teacher: Distribution, student: Distribution, *, skew: float) -> tuple[Tensor, Tensor]:
    """The kernel with m = a p + (1 - a) q: Σ p (log p - log m), and dD/d log q = -(1 - a) p q / m."""
    if skew == 0.0:
        return forward_kl_rows(teacher, student)
    p = teacher.probability
    m = mixture(p, student.probability, skew)
    log_m = torch.log(m, out=student.log)
    terms = zero_where_impossible_(teacher.log.sub_(log_m).mul_(p))
    return terms.sum(dim=-1), p.mul_(student.probability).div_(m).mul_(skew - 1.0)


def skew_reverse_kl_rows(teacher: Distribution, student: Distribution, *, skew: float) -> tuple[Tensor, Tensor]:
    """The kernel with m = (1 - a) p + a q: Σ q (log q - log m), and dD/d log q = q (log q - log m) - a q² / m [+ q]."""
    if skew == 0.0:
        return reverse_kl_rows(teacher, student)
    q = student.probability
    m = mixture(q, teacher.probability, skew)
    log_m = torch.log(m, out=teacher.log)
    terms = zero_where_impossible_(student.log.sub_(log_m).mul_(q))
    return terms.sum(dim=-1), terms.addcmul_(torch.div(q, m, out=m), q, value=-skew)


skew_kl = Divergence(name="skew_kl", kernel=skew_kl_rows, settings={"skew": 0.1}, check=check_skew)
skew_reverse_kl = Divergence(
    name="skew_reverse_kl", kernel=skew_reverse_kl_rows, settings={"skew": 0.1}, check=check_skew
)

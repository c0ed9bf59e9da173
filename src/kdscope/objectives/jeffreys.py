"""Jeffreys divergence, weighted: a sum of forward and reverse KL.

(1 - m) KL(P‖Q) + m KL(Q‖P) per token, in nats, with m = reverse_share in [0, 1]; inf where one of the two gives 0 to
something the other can say. At m = ½ it is half of Jeffreys' J (1946, Proc. R. Soc. A 186:453).

>>> import torch
>>> teacher = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
>>> student = torch.tensor([[0.5, 1.0, 1.5, -0.5]], dtype=torch.float64)
>>> round(jeffreys(teacher, student, reverse_share=0.5).item(), 6)
0.650314
"""

from __future__ import annotations

from torch import Tensor

from kdscope.objectives.divergence import Distribution, Divergence, zero_where_impossible_
from kdscope.objectives.forward_kl import forward_kl_rows
from kdscope.objectives.reverse_kl import reverse_kl_rows
from kdscope.results.methods import check_reverse_share


def both_kl_rows(
    teacher: Distribution, student: Distribution, forward: Tensor | float, reverse: Tensor | float
) -> tuple[Tensor, Tensor]:
    """w_f KL(P‖Q) + w_r KL(Q‖P) of weights that are constants, [N] or numbers, w_r > 0.

    dD/d log q = w_r q (log q - log p) - w_f p [+ w_r q].
    """
    p, q = teacher.probability, student.probability
    log_ratio = student.log.sub_(teacher.log)
    to_student = zero_where_impossible_(log_ratio * p).sum(dim=-1).neg_().mul_(forward)
    terms = zero_where_impossible_(log_ratio.mul_(q))
    value = zero_where_impossible_(to_student) + terms.sum(dim=-1) * reverse
    return value, terms.mul_(_of_rows(reverse)).sub_(p.mul_(_of_rows(forward)))


def _of_rows(weight: Tensor | float) -> Tensor | float:
    return weight.unsqueeze(-1) if isinstance(weight, Tensor) else weight


def jeffreys_rows(teacher: Distribution, student: Distribution, *, reverse_share: float) -> tuple[Tensor, Tensor]:
    """The kernel: both divergences, or only one at the ends, where the other may be infinite."""
    if reverse_share == 0.0:
        return forward_kl_rows(teacher, student)
    if reverse_share == 1.0:
        return reverse_kl_rows(teacher, student)
    return both_kl_rows(teacher, student, 1.0 - reverse_share, reverse_share)


jeffreys = Divergence(
    name="jeffreys",
    kernel=jeffreys_rows,
    settings={"reverse_share": 0.5},
    check=check_reverse_share,
)

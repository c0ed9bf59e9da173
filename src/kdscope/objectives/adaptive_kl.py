"""Adaptive KL: forward KL as far as the student errs in the teacher's head, reverse KL as far as in its tail.

g_h / (g_h + g_t) KL(P‖Q) + g_t / (g_h + g_t) KL(Q‖P) per token, in nats (Wu et al. 2024, arXiv 2404.02657); inf where
one of the two gives 0 to something the other can say.

The head is the smallest set of tokens that together have the teacher's mass head_mass, between 0 and 1, with all that
are exactly as likely as its last; g_h and g_t are Σ |p - q| over head and tail. The two weights are constants for the
gradient, as in the authors' code; where P = Q they are both ½. Deviation: that code ends the head before the token
that reaches head_mass, unless it is the first one, and leaves ties to the sort.

>>> teacher = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
>>> student = torch.tensor([[0.5, 1.0, 1.5, -0.5]], dtype=torch.float64)
>>> round(adaptive_kl(teacher, student).item(), 6)  # the head is the first token: its gap .470 of .939
0.650314
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdscope.core.errors import ObjectiveError
from kdscope.objectives.divergence import Distribution, Divergence
from kdscope.objectives.jeffreys import both_kl_rows

# How many of the likeliest tokens to look at: first a few, which are nearly always enough, then more for the rows
# where they are not, and all at last. Sorting every row would cost more than the head's matrix product.
_HEAD_SIZES = (64, 1024, 16384)


def check_head_mass(head_mass: float) -> None:
    """Raises ObjectiveError unless 0 < head_mass < 1; at the ends only one of the two divergences would be left."""
    if not 0.0 < head_mass < 1.0:
        raise ObjectiveError(f"head_mass must lie between 0 and 1, not {head_mass}")


def adaptive_kl_rows(teacher: Distribution, student: Distribution, *, head_mass: float) -> tuple[Tensor, Tensor]:
    """The kernel: both divergences by the weights of the gaps."""
    head = _head_share(teacher.probability, student.probability, head_mass)
    return both_kl_rows(teacher, student, head, 1.0 - head)


def _head_share(p: Tensor, q: Tensor, head_mass: float) -> Tensor:
    """g_h / (g_h + g_t), [N]; ½ where there is no gap at all."""
    gaps = torch.sub(p, q).abs_().sum(dim=-1)
    head_gaps = torch.empty_like(gaps)
    rows = torch.arange(len(p), device=p.device)
    for size in (*_HEAD_SIZES, p.shape[-1]):
        likeliest, tokens = p[rows].topk(min(size, p.shape[-1]), dim=-1)
        last = (likeliest.cumsum(dim=-1) < head_mass).sum(dim=-1, keepdim=True)
        threshold = likeliest.gather(-1, last.clamp_(max=likeliest.shape[-1] - 1))
        gap = (likeliest - q[rows].gather(-1, tokens)).abs_()
        head_gaps[rows] = gap.mul_(likeliest >= threshold).sum(dim=-1)
        # Only a token below the threshold proves that none of the head is missing.
        rows = rows[likeliest[:, -1:].ge(threshold).squeeze(-1)]
        if len(rows) == 0 or likeliest.shape[-1] == p.shape[-1]:
            break
    return torch.where(gaps > 0.0, (head_gaps / gaps).clamp_(max=1.0), 0.5)


adaptive_kl = Divergence(
    name="adaptive_kl", kernel=adaptive_kl_rows, settings={"head_mass": 0.5}, check=check_head_mass
)

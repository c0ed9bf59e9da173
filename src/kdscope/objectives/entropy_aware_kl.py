"""Entropy-aware KL: reverse KL everywhere, and forward KL besides where the teacher itself is undecided.

KL(Q‖P) + [H(P) > h] KL(P‖Q) per token, in nats, with h = entropy_threshold; H is taken at the temperature of the
divergence. Jin et al. 2026, arXiv 2603.07079, made for texts that the student samples.

Deviation: both divergences are exact sums over the vocabulary; the authors estimate the first from the sampled token,
as a policy gradient, and cut the second to the teacher's likeliest tokens.

>>> import torch
>>> teacher = torch.tensor([[2.0, 1.0, 0.0, -1.0], [9.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
>>> student = torch.tensor([[0.5, 1.0, 1.5, -0.5], [0.5, 1.0, 1.5, -0.5]], dtype=torch.float64)
>>> [round(value, 4) for value in entropy_aware_kl(teacher, student).tolist()]  # entropies .9475 and .0048
[1.3006, 6.0148]
"""

from __future__ import annotations

from torch import Tensor

from kdscope.objectives.divergence import Distribution, Divergence, zero_where_impossible_
from kdscope.objectives.jeffreys import both_kl_rows
from kdscope.results.methods import check_entropy_threshold


def entropy_aware_kl_rows(
    teacher: Distribution, student: Distribution, *, entropy_threshold: float
) -> tuple[Tensor, Tensor]:
    """The kernel: forward KL has the weight 1 in rows above the threshold, 0 in the others."""
    entropy = zero_where_impossible_(teacher.log * teacher.probability).sum(dim=-1).neg_()
    undecided = (entropy > entropy_threshold).to(entropy.dtype)
    return both_kl_rows(teacher, student, undecided, 1.0)


entropy_aware_kl = Divergence(
    name="entropy_aware_kl",
    kernel=entropy_aware_kl_rows,
    settings={"entropy_threshold": 0.8},
    check=check_entropy_threshold,
)

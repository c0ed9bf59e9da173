"""Total variation distance: the probability mass that would have to move.

½ Σ |p - q| per token, a mass in [0, 1] (f-distill, Wen et al. 2023, arXiv 2307.15190). Not differentiable where p =
q; the gradient used there is 0.

Deviation: f-distill's bound sums over sequences from both models; this is the exact distance of every next token,
given the prefix.

>>> teacher = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
>>> student = torch.tensor([[0.5, 1.0, 1.5, -0.5]], dtype=torch.float64)
>>> round(total_variation(teacher, student).item(), 6)
0.469543
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdscope.objectives.divergence import Distribution, Divergence


def total_variation_rows(teacher: Distribution, student: Distribution) -> tuple[Tensor, Tensor]:
    """The kernel: ½ Σ |q - p|, and dD/d log q = ½ q sign(q - p)."""
    excess = torch.sub(student.probability, teacher.probability, out=teacher.probability)
    slope = torch.sign(excess, out=teacher.log).mul_(student.probability).mul_(0.5)
    return 0.5 * excess.abs_().sum(dim=-1), slope


total_variation = Divergence(name="total_variation", kernel=total_variation_rows)

"""Alpha-beta divergence: a plane of divergences, with forward KL at (1, 0) and reverse KL at (0, 1).

With a = alpha and b = beta, per token (Cichocki, Cruces and Amari 2011, Entropy 13:134; for distillation ABKD, Wang et
al. 2025, arXiv 2505.04560):

    D = Σ_v [a/(a+b) p^(a+b) + b/(a+b) q^(a+b) - p^a q^b] / (a b),

and by continuity Σ_v [q^b log(q^b/p^b) - q^b + p^b] / b² at a = 0, Σ_v [p^a log(p^a/q^a) - p^a + q^a] / a² at b = 0. A
larger a attends to tokens on which the student is far below the teacher, a larger b to those of which it is sure.

Deviations: a and b are not negative and not both 0, which keeps what one model cannot say finite but for the two ends;
at the ends the authors' code divides by a and b where continuity asks for their squares.

>>> import torch
>>> teacher = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
>>> student = torch.tensor([[0.5, 1.0, 1.5, -0.5]], dtype=torch.float64)
>>> [round(alpha_beta(teacher, student, alpha=a, beta=b).item(), 6) for a, b in ((0.2, 0.7), (1.0, 0.0), (0.0, 1.0))]
[0.731236, 0.625503, 0.675125]
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdscope.objectives.divergence import Distribution, Divergence, zero_where_impossible_
from kdscope.results.methods import check_alpha_beta


def alpha_beta_rows(
    teacher: Distribution, student: Distribution, *, alpha: float, beta: float
) -> tuple[Tensor, Tensor]:
    """The kernel; dD/d log q = q^b (q^a - p^a) / a, and q^b (log q - log p) at a = 0."""
    if alpha == 0.0:
        return _at_alpha_0(teacher, student, beta)
    if beta == 0.0:
        return _at_beta_0(teacher, student, alpha)
    # By the logarithms at hand: an exponential is several times faster than a power.
    p_alpha, p_beta = torch.mul(teacher.log, alpha, out=teacher.probability).exp_(), teacher.log.mul_(beta).exp_()
    q_alpha, q_beta = torch.mul(student.log, alpha).exp_(), student.log.mul_(beta).exp_()
    dot = torch.linalg.vecdot
    own = alpha * dot(p_alpha, p_beta) + beta * dot(q_alpha, q_beta)
    value = (own / (alpha + beta) - dot(p_alpha, q_beta)) / (alpha * beta)
    return value, q_alpha.sub_(p_alpha).mul_(q_beta).div_(alpha)


def _at_alpha_0(teacher: Distribution, student: Distribution, beta: float) -> tuple[Tensor, Tensor]:
    p, q = teacher.probability.pow_(beta), student.probability.pow(beta)
    slope = zero_where_impossible_(student.log.sub_(teacher.log).mul_(q))
    return (slope * beta).sub_(q).add_(p).sum(dim=-1) / beta**2, slope


def _at_beta_0(teacher: Distribution, student: Distribution, alpha: float) -> tuple[Tensor, Tensor]:
    p, q = teacher.probability.pow_(alpha), student.probability.pow(alpha)
    terms = zero_where_impossible_(teacher.log.sub_(student.log).mul_(p)).mul_(alpha)
    slope = q - p
    return terms.add_(slope).sum(dim=-1) / alpha**2, slope.div_(alpha)


alpha_beta = Divergence(
    name="alpha_beta", kernel=alpha_beta_rows, settings={"alpha": 0.2, "beta": 0.7}, check=check_alpha_beta
)

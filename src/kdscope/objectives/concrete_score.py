"""Concrete score distillation: the differences between logits are those of the teacher, for every pair of tokens.

½ Σ_x Σ_y w₁(x) w₂(y) (d_x - d_y)² with d = (student's logits - teacher's logits) / T, per token, in squared nats; w₁
and w₂ are weights that sum to 1, each the student's probabilities, the teacher's, or uniform, and constants for the
gradient. Equal weights make it the weighted variance of d. Kim et al. 2025, arXiv 2509.25837, equation 8 and theorem
3, which brings the double sum to one pass: with means m₁ and m₂ of d under the weights,

    ½ [Σ w₁ (d - m₁)² + Σ w₂ (d - m₁)²]  and  dD/dd = w₁ (d - m₂) + w₂ (d - m₁).

A token to which both models give 0 counts in none of them; one to which only one of them does makes it infinite, or,
where the weights leave that token out, counts nothing.

>>> import torch
>>> teacher = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
>>> student = torch.tensor([[0.5, 1.0, 1.5, -0.5]], dtype=torch.float64)
>>> round(concrete_score(teacher, student).item(), 6)
1.243007
"""

from __future__ import annotations

import math

from torch import Tensor

from kdscope.objectives.divergence import Distribution, Divergence, zero_where_impossible_
from kdscope.results.methods import check_score_weights


def concrete_score_rows(
    teacher: Distribution, student: Distribution, *, first_weight: str, second_weight: str
) -> tuple[Tensor, Tensor]:
    """The kernel: log q - log p stands for d, from which it differs by a number a row."""
    weights = {name: _weight(name, teacher, student) for name in {first_weight, second_weight}}
    difference = zero_where_impossible_(student.log.sub_(teacher.log))
    first, second = weights[first_weight], weights[second_weight]
    if first_weight == second_weight:
        return _variance(first, difference)
    from_first = difference - _mean(first, difference)
    from_second = difference - _mean(second, difference)
    to_first, to_second = _weighted(first, from_second), _weighted(second, from_first)
    half = _weighted(first, from_first).add_(to_second).mul_(from_first)
    return zero_where_impossible_(half).sum(dim=-1).mul_(0.5), to_first.add_(to_second)


def _variance(weight: Tensor, difference: Tensor) -> tuple[Tensor, Tensor]:
    """Σ w (d - m)² and 2 w (d - m): what the formulas come to where both weights are the same."""
    centred = difference.sub_(_mean(weight, difference))
    slope = _weighted(weight, centred)
    return zero_where_impossible_(centred.mul_(slope)).sum(dim=-1), slope.mul_(2.0)


def _weight(name: str, teacher: Distribution, student: Distribution) -> Tensor:
    if name != "uniform":
        return {"student": student, "teacher": teacher}[name].probability
    # By the logarithms: a probability that is too small for its dtype is not 0.
    possible = ((teacher.log > -math.inf) | (student.log > -math.inf)).to(student.probability.dtype)
    return possible / possible.sum(dim=-1, keepdim=True)


def _mean(weight: Tensor, values: Tensor) -> Tensor:
    return _weighted(weight, values).sum(dim=-1, keepdim=True)


def _weighted(weight: Tensor, values: Tensor) -> Tensor:
    return zero_where_impossible_(weight * values)


concrete_score = Divergence(
    name="concrete_score",
    kernel=concrete_score_rows,
    settings={"first_weight": "student", "second_weight": "student"},
    check=check_score_weights,
)

"""Loss and gradient of the logits of a block of rows, small enough for the processor's cache."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kdscope.objectives.divergence import Distribution, value_and_gradient
from kdscope.objectives.objective import Objective


@dataclass(frozen=True)
class BlockLoss:
    """Losses and gradient of n rows.

    Attributes:
        cross_entropy: [n], at temperature 1.
        divergence: [n], before weight and T²; None if the objective has none.
        gradient: d((1 - w) CE + w D [T²]) / dz, [n, V]; None if not asked for.
    """

    cross_entropy: Tensor
    divergence: Tensor | None
    gradient: Tensor | None


def block_loss(
    objective: Objective, logits: Tensor, teacher_logits: Tensor | None, targets: Tensor, *, with_gradient: bool
) -> BlockLoss:
    """The objective on a block of rows.

    Args:
        objective: w, D and their settings.
        logits: z, [n, V], float32 or float64.
        teacher_logits: [n, V]. None, where there is a divergence, stands for a teacher that is certain of the target:
            its forward KL is the cross-entropy at the objective's temperature.
        targets: y, [n], int64.
        with_gradient: whether the gradient is wanted.
    """
    index, temperature = targets.unsqueeze(-1), objective.temperature
    if teacher_logits is None:
        return _without_teacher(objective, logits, index, with_gradient)
    kernel = objective.kernel
    if kernel is None:
        cold, cross_entropy = _softmax_and_nats(logits, index)
        divergence, slope = objective.entry.by_autograd(teacher_logits, logits, temperature, objective.settings)
        gradient = _mixed_gradient_(objective, slope, cold, index) if with_gradient else None
        return BlockLoss(cross_entropy, divergence, gradient)
    student = Distribution.of(logits, temperature)
    if temperature == 1.0:
        cold, cross_entropy = student.probability, student.log.gather(-1, index).squeeze(-1).neg_()
    else:
        cold, cross_entropy = _softmax_and_nats(logits, index)
    teacher = Distribution.of(teacher_logits, temperature)
    divergence, slope = value_and_gradient(kernel, teacher, student)
    gradient = _mixed_gradient_(objective, slope, cold, index) if with_gradient else None
    return BlockLoss(cross_entropy, divergence, gradient)


def _without_teacher(objective: Objective, logits: Tensor, index: Tensor, with_gradient: bool) -> BlockLoss:
    cold, cross_entropy = _softmax_and_nats(logits, index)
    if not objective.needs_teacher:
        return BlockLoss(cross_entropy, None, _less_target_(cold, index) if with_gradient else None)
    if objective.temperature == 1.0:
        factor = objective.reference_factor + objective.divergence_factor
        gradient = _times_(_less_target_(cold, index), factor) if with_gradient else None
        return BlockLoss(cross_entropy, cross_entropy, gradient)
    warm, divergence = _softmax_and_nats(logits / objective.temperature, index)
    gradient = _mixed_gradient_(objective, _less_target_(warm, index), cold, index) if with_gradient else None
    return BlockLoss(cross_entropy, divergence, gradient)


def _softmax_and_nats(logits: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """softmax(z) [n, V] and -log softmax(z)[y] [n], with a single pass of exponentials.

    The likeliest token's probability, at least 1/V, gives the normaliser without underflow.
    """
    probability = torch.softmax(logits, dim=-1)
    below_top = logits.amax(dim=-1) - logits.gather(-1, index).squeeze(-1)
    return probability, below_top - probability.amax(dim=-1).log_()


def _mixed_gradient_(objective: Objective, slope: Tensor, cold: Tensor, index: Tensor) -> Tensor:
    """(1 - w) (q - y) + w [T²] dD/dz from T dD/dz and q at temperature 1; a term of weight 0 does not enter."""
    if objective.divergence_factor == 0.0:
        return _less_target_(cold, index)
    gradient = _times_(slope, objective.divergence_factor / objective.temperature)
    if objective.reference_factor == 0.0:
        return gradient
    return _less_target_(gradient.add_(cold, alpha=objective.reference_factor), index, objective.reference_factor)


def _less_target_(values: Tensor, index: Tensor, amount: float = 1.0) -> Tensor:
    return values.scatter_add_(-1, index, values.new_full(index.shape, -amount))


def _times_(values: Tensor, factor: float) -> Tensor:
    return values if factor == 1.0 else values.mul_(factor)

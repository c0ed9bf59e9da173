"""The objective from hidden states: head, losses and gradient in one pass over chunks of rows.

A vocabulary is large, so the logits of a batch are the largest tensors of training by far, and autograd would keep
several of them. Here a chunk of rows goes through the head, is turned in place into the gradient of its own logits,
goes back through the head, and is forgotten: the gradient with respect to the hidden states is ready when the loss is,
and the backward pass only multiplies it by a number. (Fusing head and loss in this way is the idea of Liger Kernel,
Hsu et al. 2024, arXiv 2410.10989.)

Shapes: N target tokens, V tokens of the vocabulary, D width of the student's hidden states.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kdscope.core.errors import ObjectiveError
from kdscope.objectives.chunks import Gradients, Job, run_chunks
from kdscope.objectives.cross_entropy import check_targets
from kdscope.objectives.head import Head
from kdscope.objectives.settings import Objective, mix
from kdscope.objectives.signals import Expectation, TeacherRows

__all__ = ["Expectation", "FusedLoss", "TeacherRows", "fused_loss"]


@dataclass(frozen=True)
class FusedLoss:
    """Scalars of one micro-batch.

    Attributes:
        total: the weighted sum of the mixed losses; carries the gradient.
        cross_entropy: the sum over the tokens, in nats at temperature 1, detached.
        divergence: the sum over the tokens before weight and T², detached; None if the objective has none.
    """

    total: Tensor
    cross_entropy: Tensor
    divergence: Tensor | None


def fused_loss(
    objective: Objective,
    hidden: Tensor,
    head: Head,
    targets: Tensor,
    token_weights: Tensor,
    teacher: TeacherRows | Expectation | None = None,
    *,
    chunk_rows: int | None = None,
) -> FusedLoss:
    """Σ_n token_weights[n] ((1 - w) CE_n + w D_n [T²]), without ever holding the logits of all tokens.

    The gradient is computed on the way, if one can be asked for: with respect to the hidden states, and to the head's
    weight and bias (summed in float32) if they require it. A term of weight 0 is measured, but enters neither. The
    result does not depend on chunk_rows but for rounding.

    Args:
        objective: w, D and their settings.
        hidden: h, [N, D], the student's last hidden states at the target tokens; N may be 0.
        head: from hidden states to logits.
        targets: y, [N], int64.
        token_weights: [N], as the functions of `reduction` give them.
        teacher: what D compares with; None if the objective needs none.
        chunk_rows: rows of the matrix products; None chooses by the vocabulary.

    Raises:
        ObjectiveError: shapes do not fit, the teacher is missing, or an expectation cannot stand for it here.
    """
    _check(objective, hidden, head, targets, token_weights, chunk_rows)
    if objective.needs_teacher and teacher is None:
        raise ObjectiveError(f"{objective.divergence} compares with a teacher, but none was given")
    if isinstance(teacher, Expectation) and objective.needs_teacher:
        teacher.check(objective, head, len(targets))
    weights = token_weights.detach().to(torch.promote_types(head.weight.dtype, torch.float32))
    compared = teacher if objective.needs_teacher else None
    job = Job(objective, head, targets, weights, compared, chunk_rows)
    total, cross_entropy, divergence = _Fused.apply(  # type: ignore[no-untyped-call]
        job, torch.is_grad_enabled(), hidden, head.weight, head.bias
    )
    return FusedLoss(total, cross_entropy, divergence if objective.needs_teacher else None)


def _check(
    objective: Objective, hidden: Tensor, head: Head, targets: Tensor, token_weights: Tensor, chunk_rows: int | None
) -> None:
    if hidden.ndim != 2 or hidden.shape[1] != head.weight.shape[1]:
        width = head.weight.shape[1]
        raise ObjectiveError(f"hidden states must be [tokens, {width}] for this head, not {list(hidden.shape)}")
    check_targets(targets, len(hidden), head.vocabulary)
    if token_weights.shape != targets.shape:
        raise ObjectiveError(f"{len(targets)} tokens need as many weights, not {list(token_weights.shape)}")
    if chunk_rows is not None and chunk_rows < 1:
        raise ObjectiveError(f"chunk_rows must be positive, not {chunk_rows}")


class _Fused(torch.autograd.Function):
    """Holds the gradients from the forward to the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, job: Job, with_gradient: bool, hidden: Tensor, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        inputs = (hidden, weight, bias)
        wanted = (with_gradient and needed for needed in ctx.needs_input_grad[2:])
        gradients = Gradients(
            *(
                torch.zeros_like(tensor, dtype=dtype) if needed and tensor is not None else None
                for tensor, needed, dtype in zip(inputs, wanted, _gradient_dtypes(job, hidden), strict=True)
            )
        )
        # An autocast region would choose another precision for the products than the head's own.
        with torch.autocast(hidden.device.type, enabled=False):
            cross_entropies, divergences = run_chunks(job, hidden.detach(), gradients)
            total = torch.dot(job.weights, mix(job.objective, cross_entropies, divergences))
        ctx.save_for_backward(gradients.hidden, gradients.weight, gradients.bias)
        ctx.dtypes = [None if tensor is None else tensor.dtype for tensor in inputs]
        sums = cross_entropies.sum(), cross_entropies.new_zeros(()) if divergences is None else divergences.sum()
        ctx.mark_non_differentiable(*sums)
        return total, *sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        scaled = (
            None if gradient is None else (gradient * upstream).to(dtype)
            for gradient, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        )
        return None, None, *scaled


def _gradient_dtypes(job: Job, hidden: Tensor) -> tuple[torch.dtype, torch.dtype, torch.dtype]:
    """Of h its own, as every row is written once; of W and b that of the losses, as all chunks add to them."""
    return hidden.dtype, job.weights.dtype, job.weights.dtype

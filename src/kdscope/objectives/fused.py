"""The objective from hidden states: head, losses and gradient in one pass over chunks of rows.

A vocabulary is large, so the logits of a batch are the largest tensors of training by far, and autograd would keep
several of them. Here a chunk of rows goes through the head, is turned in place into the gradient of its own logits,
goes back through the head, and is forgotten: the gradient with respect to the hidden states is ready when the loss is,
and the backward pass only multiplies it by a number. (Fusing head and loss in this way is the idea of Liger Kernel,
Hsu et al. 2024, arXiv 2410.10989.)

Shapes: N target tokens, V tokens of the vocabulary, D width of the student's hidden states.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kdscope.core.errors import ObjectiveError
from kdscope.objectives.blocks import block_loss
from kdscope.objectives.head import Head, multiply
from kdscope.objectives.objective import Objective, check_targets, mix
from kdscope.objectives.signals import Expectation, TeacherRows

# Elements of one [rows, V] tensor. A chunk is what the matrix products see: the larger the faster, up to a point. A
# block is what the elementwise passes see: on a CPU it has to fit into the cache a few times over.
_CHUNK_ELEMENTS = 2**24
_CHUNK_ELEMENTS_ON_ACCELERATOR = 2**26
_BLOCK_ELEMENTS = 2**18


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
    job = Pass(objective, head, targets, weights, compared, chunk_rows)
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
        ctx: Any, job: Pass, with_gradient: bool, hidden: Tensor, weight: Tensor, bias: Tensor | None
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


def _gradient_dtypes(job: Pass, hidden: Tensor) -> tuple[torch.dtype, torch.dtype, torch.dtype]:
    """Of h its own, as every row is written once; of W and b that of the losses, as all chunks add to them."""
    return hidden.dtype, job.weights.dtype, job.weights.dtype


@dataclass(frozen=True)
class Pass:
    """What a pass over the tokens is told.

    Attributes:
        objective: w, D and their settings.
        head: from hidden states to logits.
        targets: [N], int64.
        weights: of the tokens, [N], in the precision of the losses.
        teacher: what D compares with, if there is a D.
        chunk_rows: rows of the matrix products; None chooses by the vocabulary.
    """

    objective: Objective
    head: Head
    targets: Tensor
    weights: Tensor
    teacher: TeacherRows | Expectation | None
    chunk_rows: int | None

    def chunks(self) -> Iterator[slice]:
        """The tokens in pieces that the matrix products take at once."""
        limit = _CHUNK_ELEMENTS if self.targets.device.type == "cpu" else _CHUNK_ELEMENTS_ON_ACCELERATOR
        return _pieces(len(self.targets), self.chunk_rows or max(16, limit // self.head.vocabulary))

    def blocks(self, rows: int) -> Iterator[slice]:
        """A chunk of so many rows in pieces that stay in the cache; whole on an accelerator."""
        on_cpu = self.targets.device.type == "cpu"
        return _pieces(rows, max(1, _BLOCK_ELEMENTS // self.head.vocabulary) if on_cpu else rows)

    def teacher_logits(self, chunk: slice) -> Tensor | None:
        """The teacher's logits of a chunk, or None if it has none to give.

        Raises:
            ObjectiveError: they are not one row per token and one column per logit of the student.
        """
        if self.teacher is None or isinstance(self.teacher, Expectation):
            return None
        logits = self.teacher.logits(chunk.start, chunk.stop)
        expected = (chunk.stop - chunk.start, self.head.vocabulary)
        if logits.shape != expected:
            raise ObjectiveError(f"the teacher gave logits {list(logits.shape)} where the student has {list(expected)}")
        return logits.detach()


@dataclass(frozen=True)
class Gradients:
    """Where the gradients gather: h in its own dtype, W and b in float32 at least; None for what nobody asked for."""

    hidden: Tensor | None
    weight: Tensor | None
    bias: Tensor | None

    @property
    def wanted(self) -> bool:
        """Whether anybody asked for any."""
        return any(gradient is not None for gradient in (self.hidden, self.weight, self.bias))

    def add(self, chunk: slice, of_logits: Tensor, hidden: Tensor, factors: Tensor, head: Head) -> None:
        """Takes a chunk back through the head.

        Args:
            chunk: which of the N tokens.
            of_logits: [n, V], in the head's precision, without the tokens' factors: those are too small for float16.
            hidden: [n, D], in the head's precision.
            factors: [n], the weight of each token times the head's scale.
            head: the head.
        """
        column = factors.unsqueeze(-1)
        if self.hidden is not None:
            self.hidden[chunk].add_(multiply(of_logits, head.weight) * column)
        if self.weight is not None:
            self.weight.add_(multiply(of_logits.T, (hidden * column).to(of_logits.dtype)))
        if self.bias is not None:
            self.bias.add_(factors @ of_logits.to(factors.dtype))


def run_chunks(job: Pass, hidden: Tensor, gradients: Gradients) -> tuple[Tensor, Tensor | None]:
    """Cross-entropy and divergence of every token, [N] each; gathers the gradients of their weighted mixture.

    Args:
        job: the objective, the head and the teacher.
        hidden: h, [N, D], without a gradient.
        gradients: is filled in.
    """
    cross_entropies = torch.empty_like(job.weights)
    divergences = torch.empty_like(job.weights) if job.objective.needs_teacher else None
    for chunk in job.chunks():
        cast = hidden[chunk].to(job.head.weight.dtype)
        into = None if divergences is None else divergences[chunk]
        _run_chunk(job, chunk, cast, cross_entropies[chunk], into, gradients)
    return cross_entropies, divergences


def _run_chunk(
    job: Pass,
    chunk: slice,
    hidden: Tensor,
    cross_entropies: Tensor,
    divergences: Tensor | None,
    gradients: Gradients,
) -> None:
    """One chunk, start to end: all that is as large as its logits is gone when the next one begins."""
    of_logits = _losses(job, chunk, hidden, cross_entropies, divergences, gradients.wanted)
    if isinstance(job.teacher, Expectation) and divergences is not None:
        _complete(job, job.teacher, chunk, hidden, divergences, gradients)
    if gradients.wanted:
        factors = job.weights[chunk] * job.head.scale
        gradients.add(chunk, of_logits.to(job.head.weight.dtype), hidden, factors, job.head)


def _losses(
    job: Pass,
    chunk: slice,
    hidden: Tensor,
    cross_entropies: Tensor,
    divergences: Tensor | None,
    with_gradient: bool,
) -> Tensor:
    """Fills in the losses of a chunk, [n] each; returns the gradient of its logits, in the place of h Wᵀ."""
    product, theirs, targets = job.head.project(hidden), job.teacher_logits(chunk), job.targets[chunk]
    for block in job.blocks(len(targets)):
        logits = job.head.finish(product[block])
        said = None if theirs is None else theirs[block]
        loss = block_loss(job.objective, logits, said, targets[block], with_gradient=with_gradient)
        cross_entropies[block] = loss.cross_entropy
        if divergences is not None and loss.divergence is not None:
            divergences[block] = loss.divergence
        if loss.gradient is not None:
            product[block] = job.head.before_cap_(loss.gradient, logits)
    return product


def _complete(
    job: Pass, expectation: Expectation, chunk: slice, hidden: Tensor, divergences: Tensor, gradients: Gradients
) -> None:
    """From the cross-entropy with the target to the divergence from the teacher, value and gradient."""
    per_logit = job.head.scale / job.objective.temperature
    value, derivative = expectation.remainder(chunk, hidden, job.head, job.targets[chunk])
    divergences += value * per_logit - expectation.entropy[chunk]
    if gradients.hidden is not None:
        factors = job.weights[chunk] * (job.objective.divergence_factor * per_logit)
        gradients.hidden[chunk].add_(derivative * factors.unsqueeze(-1))


def _pieces(count: int, limit: int) -> Iterator[slice]:
    """Slices of `count` rows, as even as can be, none longer than `limit`."""
    number = -(-count // limit) if count else 0
    for piece in range(number):
        yield slice(count * piece // number, count * (piece + 1) // number)

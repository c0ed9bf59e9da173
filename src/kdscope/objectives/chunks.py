"""The pass over chunks of rows: head, loss, gradient of the logits, and back through the head."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from kdscope.core.errors import ObjectiveError
from kdscope.objectives.blocks import block_loss
from kdscope.objectives.head import Head, multiply
from kdscope.objectives.settings import Objective
from kdscope.objectives.signals import Expectation, TeacherRows

# Elements of one [rows, V] tensor. A chunk is what the matrix products see: the larger the faster, up to a point. A
# block is what the elementwise passes see: on a CPU it has to fit into the cache a few times over.
_CHUNK_ELEMENTS = 2**24
_CHUNK_ELEMENTS_ON_ACCELERATOR = 2**26
_BLOCK_ELEMENTS = 2**18


@dataclass(frozen=True)
class Job:
    """What a pass is told.

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


def run_chunks(job: Job, hidden: Tensor, gradients: Gradients) -> tuple[Tensor, Tensor | None]:
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
    job: Job, chunk: slice, hidden: Tensor, cross_entropies: Tensor, divergences: Tensor | None, gradients: Gradients
) -> None:
    """One chunk, start to end: all that is as large as its logits is gone when the next one begins."""
    of_logits = _losses(job, chunk, hidden, cross_entropies, divergences, gradients.wanted)
    if isinstance(job.teacher, Expectation) and divergences is not None:
        _complete(job, job.teacher, chunk, hidden, divergences, gradients)
    if gradients.wanted:
        factors = job.weights[chunk] * job.head.scale
        gradients.add(chunk, of_logits.to(job.head.weight.dtype), hidden, factors, job.head)


def _losses(
    job: Job, chunk: slice, hidden: Tensor, cross_entropies: Tensor, divergences: Tensor | None, with_gradient: bool
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
    job: Job, expectation: Expectation, chunk: slice, hidden: Tensor, divergences: Tensor, gradients: Gradients
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

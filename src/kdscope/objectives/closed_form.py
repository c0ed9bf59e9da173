"""From a divergence's formula to its value and gradient: the one place that differentiates.

A divergence D is written once, as a kernel on rows: (P, Q) -> (value [n], slope [n, V]) with slope = dD/d log Q taken
elementwise, as if the entries of log Q were free. They are not, as Q sums to 1; with log Q = z/T - logsumexp(z/T) the
chain rule gives, whatever the divergence,

    dD/dz = (slope - q Σ slope) / T.

So any multiple of q may be added to a slope or left out of it, and kernels leave out what they can. Kernels may
overwrite everything they are given but Q's probabilities, which the chain rule still needs: a row passes through the
cache a few times, and that is all that a divergence costs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kdscope.core.errors import ObjectiveError
from kdscope.objectives.probabilities import Distribution, at_least_float32, check_temperature

Kernel = Callable[[Distribution, Distribution], tuple[Tensor, Tensor]]


def value_and_gradient(kernel: Kernel, teacher: Distribution, student: Distribution) -> tuple[Tensor, Tensor]:
    """D and T dD/dz of every row; overwrites all but the student's probabilities.

    Args:
        kernel: the divergence.
        teacher: P, [n, V].
        student: Q, [n, V].

    Returns:
        [n] and [n, V]. A row with a NaN logit has the value NaN, also where 0 log 0 = 0 would hide it.
    """
    witness = teacher.probability[:, 0] + student.probability[:, 0]
    value, slope = kernel(teacher, student)
    total = slope.sum(dim=-1, keepdim=True)
    return value + 0.0 * witness, slope.addcmul_(student.probability, total, value=-1.0)


def differentiable(kernel: Kernel, teacher_logits: Tensor, student_logits: Tensor, temperature: float) -> Tensor:
    """D(softmax(teacher / T), softmax(student / T)) per row, with a gradient for the student only.

    Args:
        kernel: the divergence.
        teacher_logits: [N, V], any floating dtype.
        student_logits: [N, V].
        temperature: T > 0, dividing both logits.

    Returns:
        [N], float32 or float64.

    Raises:
        ObjectiveError: the logits are not two tensors of one shape [N, V], or T is not positive and finite.
    """
    check_temperature(temperature)
    if teacher_logits.ndim != 2 or teacher_logits.shape != student_logits.shape:
        shapes = f"teacher {list(teacher_logits.shape)}, student {list(student_logits.shape)}"
        raise ObjectiveError(f"teacher and student logits must share one shape [tokens, vocabulary], not {shapes}")
    value: Tensor = _Divergence.apply(  # type: ignore[no-untyped-call]
        kernel, teacher_logits, at_least_float32(student_logits), temperature
    )
    return value


class _Divergence(torch.autograd.Function):
    """Computes the gradient along with the value, and keeps it in place of everything it was computed from."""

    @staticmethod
    def forward(ctx: Any, kernel: Kernel, teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
        theirs, ours = Distribution.of(teacher, temperature), Distribution.of(student, temperature)
        value, gradient = value_and_gradient(kernel, theirs, ours)
        if ctx.needs_input_grad[2]:
            ctx.save_for_backward(gradient.div_(temperature))
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[None, None, Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return None, None, upstream.unsqueeze(-1) * gradient, None

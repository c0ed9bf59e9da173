"""Divergences: their entry in the list, the distributions they compare, and the way from a formula to a gradient.

A divergence D is a function `(teacher_logits [N, V], student_logits [N, V], *, temperature, **settings) -> [N]`, with
P = softmax(teacher / T) and Q = softmax(student / T), at least float32 inside, and a gradient for the student only. It
is written in one of two ways:

- in closed form, as a kernel on rows: (P, Q) -> (value [n], slope [n, V]) with slope = dD/d log Q taken elementwise, as
  if the entries of log Q were free. They are not, as Q sums to 1; with log Q = z/T - logsumexp(z/T) the chain rule
  gives, whatever the divergence,

      dD/dz = (slope - q Σ slope) / T.

  So any multiple of q may be added to a slope or left out of it, and kernels leave out what they can. Kernels may
  overwrite everything they are given but Q's probabilities, which the chain rule still needs: a row passes through the
  cache a few times, and that is all that a divergence costs.
- as that function of logits itself, differentiated by autograd: a few times slower, in no more memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kdscope.core.errors import ObjectiveError
from kdscope.results.methods import Value


@dataclass(frozen=True)
class Distribution:
    """One distribution a row: log-probabilities and probabilities, both [N, V], float32 or float64.

    With both at hand, a probability may underflow or be exactly 0 (a logit of -inf) without a NaN in value or gradient.
    """

    log: Tensor
    probability: Tensor

    @classmethod
    def of(cls, logits: Tensor, temperature: float = 1.0) -> Distribution:
        """softmax(z / T) over the last dimension, in new tensors; one NaN among the logits makes NaN of its row.

        Args:
            logits: z, [N, V], any floating dtype.
            temperature: T > 0.
        """
        exact = at_least_float32(logits)
        warm = exact if temperature == 1.0 else exact / temperature
        probability = torch.softmax(warm, dim=-1)
        # The likeliest token, at least 1/V, gives the normaliser without a second pass of exponentials.
        below_top = warm - warm.amax(dim=-1, keepdim=True)
        return cls(below_top.add_(probability.amax(dim=-1, keepdim=True).log_()), probability)


Kernel = Callable[[Distribution, Distribution], tuple[Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """One divergence of `objectives.DIVERGENCES`; called, it is the function of logits.

    Attributes:
        name: As studies and tables have it.
        kernel: The closed form, `(P, Q, **settings) -> (value, slope)`; None where there is none.
        function: The function of logits, where there is no closed form.
        settings: What it takes beside the temperature, and the defaults.
        check: Is given the settings by name; raises ObjectiveError where one lies outside its range.
    """

    name: str
    kernel: Callable[..., tuple[Tensor, Tensor]] | None = None
    function: Callable[..., Tensor] | None = None
    settings: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    check: Callable[..., None] = lambda **_: None

    def complete(self, settings: Mapping[str, Value]) -> Mapping[str, Value]:
        """The settings, defaults filled in.

        Raises:
            ObjectiveError: One is unknown here, or lies outside its range, or the check itself fails.
            ValueError: What a check raises for a setting outside its range.
        """
        for key in settings:
            if key not in self.settings:
                raise ObjectiveError(f"{key} is no setting of {self.name}")
        completed = {**self.settings, **settings}
        try:
            self.check(**completed)
        except ValueError:
            raise
        except (Exception, SystemExit) as error:
            given = ", ".join(f"{key}={value!r}" for key, value in completed.items())
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ObjectiveError(
                f"the check of {self.name} fails for {given or 'no settings'} with {reason}"
            ) from error
        return MappingProxyType(completed)

    def __call__(
        self, teacher_logits: Tensor, student_logits: Tensor, *, temperature: float = 1.0, **settings: Value
    ) -> Tensor:
        """D(softmax(teacher / T), softmax(student / T)) per row, with a gradient for the student only.

        Args:
            teacher_logits: [N, V], any floating dtype; -inf means probability 0.
            student_logits: [N, V].
            temperature: T > 0, dividing both logits.
            **settings: Of this divergence.

        Returns:
            [N], float32 or float64.

        Raises:
            ObjectiveError: the logits are not two tensors of one shape [N, V], T is not positive and finite, or a
                setting does not fit.
        """
        settings = dict(self.complete(settings))
        check_temperature(temperature)
        if teacher_logits.ndim != 2 or teacher_logits.shape != student_logits.shape:
            shapes = f"teacher {list(teacher_logits.shape)}, student {list(student_logits.shape)}"
            raise ObjectiveError(f"teacher and student logits must share one shape [tokens, vocabulary], not {shapes}")
        if self.kernel is None:
            return self._by_function(teacher_logits, student_logits, temperature, settings)
        value: Tensor = _ClosedForm.apply(  # type: ignore[no-untyped-call]
            partial(self.kernel, **settings), teacher_logits, at_least_float32(student_logits), temperature
        )
        return value

    def by_autograd(
        self, teacher_logits: Tensor, student_logits: Tensor, temperature: float, settings: Mapping[str, Value]
    ) -> tuple[Tensor, Tensor]:
        """D [n] and T dD/dz [n, V] where there is no closed form; nothing of the graph is left."""
        with torch.enable_grad():
            logits = student_logits.detach().requires_grad_()
            value = self._by_function(teacher_logits, logits, temperature, settings)
            (gradient,) = torch.autograd.grad(value.sum(), logits, allow_unused=True)
        if gradient is None:
            raise self._independent()
        # Not in place: autograd may hand out a view of one number, or a tensor of the function's own.
        return value.detach(), gradient * temperature

    def _by_function(
        self, teacher_logits: Tensor, student_logits: Tensor, temperature: float, settings: Mapping[str, Value]
    ) -> Tensor:
        if self.function is None:
            raise ObjectiveError(f"{self.name} has neither a closed form nor a function of logits")
        # A copy, so that a function which works in place cannot change the teacher of what comes after.
        theirs, ours = at_least_float32(teacher_logits.detach()), at_least_float32(student_logits)
        theirs = theirs.clone() if theirs.dtype == teacher_logits.dtype else theirs
        value = self.function(theirs, ours, temperature=temperature, **settings)
        if not isinstance(value, Tensor):
            given = type(value).__name__
            raise ObjectiveError(f"{self.name} gave a value of type {given}; a tensor of one value a token is due")
        if value.shape != ours.shape[:1]:
            raise ObjectiveError(f"{self.name} gave {list(value.shape)} for {len(ours)} tokens; one value each is due")
        if ours.requires_grad and torch.is_grad_enabled() and not value.requires_grad:
            raise self._independent()
        return value

    def _independent(self) -> ObjectiveError:
        return ObjectiveError(f"{self.name} gave values that do not depend on the student's logits: nothing to learn")


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


class _ClosedForm(torch.autograd.Function):
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


def at_least_float32(values: Tensor) -> Tensor:
    """The values as float32, or as they are if float64: half precision is too coarse for logarithms and sums."""
    return values if values.dtype == torch.float64 else values.to(torch.float32)


def zero_where_impossible_(terms: Tensor) -> Tensor:
    """0 log 0 = 0, in place: 0 · inf and 0 · (inf - inf) are NaN in floating point; infinities stay."""
    return terms.nan_to_num_(nan=0.0, posinf=math.inf, neginf=-math.inf)


def mixture(first: Tensor, second: Tensor, weight: float) -> Tensor:
    """The probabilities w a + (1 - w) b, [N, V], kept above 0 where a or b is and the product would underflow."""
    return torch.lerp(second, first, weight).clamp_min_(torch.finfo(first.dtype).tiny)


def check_fraction(name: str, value: float) -> None:
    """Raises ObjectiveError unless 0 <= value <= 1."""
    if not 0.0 <= value <= 1.0:
        raise ObjectiveError(f"{name} must lie in [0, 1], not {value}")


def check_temperature(temperature: float) -> None:
    """Raises ObjectiveError unless the temperature is positive and finite."""
    if not 0.0 < temperature < math.inf:
        raise ObjectiveError(f"temperature must be positive and finite, not {temperature}")


def check_epsilon(probability_epsilon: float) -> None:
    """Raises ObjectiveError unless the amount added to every probability lies in [0, 1)."""
    if not 0.0 <= probability_epsilon < 1.0:
        raise ObjectiveError(f"probability_epsilon must lie in [0, 1), not {probability_epsilon}")

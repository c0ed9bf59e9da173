"""The arithmetic in log space that all divergences share.

Working with log-probabilities, a probability may underflow or be exactly 0 (a logit of -inf) without a NaN
in the value or in the gradient.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kdscope.errors import ObjectiveError


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


def at_least_float32(values: Tensor) -> Tensor:
    """The values as float32, or as they are if float64: half precision is too coarse for logarithms and sums."""
    return values if values.dtype == torch.float64 else values.to(torch.float32)


def log_probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """The log-probabilities log softmax(z / T) over the last dimension, in float32 or float64.

    Args:
        logits: z, [N, V], any floating dtype.
        temperature: T > 0.

    Raises:
        ObjectiveError: the temperature is not positive and finite.
    """
    check_temperature(temperature)
    exact = at_least_float32(logits)
    return torch.log_softmax(exact if temperature == 1.0 else exact / temperature, dim=-1)


def log_probability_pair(teacher_logits: Tensor, student_logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """(log P, log Q), both [N, V], log P without a gradient.

    Raises:
        ObjectiveError: the logits are not two tensors of one shape [N, V], or T is not positive and finite.
    """
    if teacher_logits.ndim != 2 or teacher_logits.shape != student_logits.shape:
        shapes = f"teacher {list(teacher_logits.shape)}, student {list(student_logits.shape)}"
        raise ObjectiveError(f"teacher and student logits must share one shape [tokens, vocabulary], not {shapes}")
    return log_probabilities(teacher_logits.detach(), temperature), log_probabilities(student_logits, temperature)


def kl_between(log_a: Tensor, log_b: Tensor) -> Tensor:
    """KL(A‖B) = Σ a (log a - log b) over the last dimension, with 0 log 0 = 0; inf where a > 0 = b.

    Args:
        log_a: log-probabilities, [N, V].
        log_b: log-probabilities, [N, V].
    """
    a = log_a.exp()
    # Where a = 0 the difference may be -inf or NaN; replaced before the product, it cannot enter the gradient.
    log_ratio = torch.where(a > 0, log_a - log_b, 0.0)
    return (a * log_ratio).sum(dim=-1)


def log_mixture(log_a: Tensor, log_b: Tensor, weight: float) -> Tensor:
    """log(w A + (1 - w) B), elementwise; exactly log B at w = 0 and log A at w = 1.

    Raises:
        ObjectiveError: the weight lies outside [0, 1].
    """
    check_fraction("mixture weight", weight)
    if weight in (0.0, 1.0):
        return log_a if weight == 1.0 else log_b
    # Two -inf would make the gradient of logaddexp NaN; one of them finite, and as small as can be, is enough.
    finite_a = log_a.clamp_min(torch.finfo(log_a.dtype).min / 2)
    return torch.logaddexp(finite_a + math.log(weight), log_b + math.log1p(-weight))

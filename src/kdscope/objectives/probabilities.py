"""The arithmetic that all divergences share: checks of settings, and a distribution kept in both of its forms.

Working with log-probabilities, a probability may underflow or be exactly 0 (a logit of -inf) without a NaN
in the value or in the gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kdscope.core.errors import ObjectiveError


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


@dataclass(frozen=True)
class Distribution:
    """One distribution a row: log-probabilities and probabilities, both [N, V], float32 or float64."""

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


def zero_where_impossible_(terms: Tensor) -> Tensor:
    """0 log 0 = 0, in place: 0 · inf and 0 · (inf - inf) are NaN in floating point; infinities stay."""
    return terms.nan_to_num_(nan=0.0, posinf=math.inf, neginf=-math.inf)


def mixture(first: Tensor, second: Tensor, weight: float) -> Tensor:
    """The probabilities w a + (1 - w) b, [N, V], kept above 0 where a or b is and the product would underflow."""
    return torch.lerp(second, first, weight).clamp_min_(torch.finfo(first.dtype).tiny)

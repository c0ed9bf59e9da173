"""The last linear layer of a language model: from hidden states to logits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kdscope.core.errors import ObjectiveError
from kdscope.objectives.divergence import at_least_float32


@dataclass(frozen=True)
class Head:
    """z = cap(scale · (h Wᵀ + b)), with cap(u) = softcap · tanh(u / softcap) if there is one (as Gemma 2 has).

    Args:
        weight: W, [V, D]; its precision is that of the matrix product.
        bias: b, [V], or None.
        scale: multiplies the logits (Cohere; 1 / logits_scaling of Granite).
        softcap: bounds the logits' absolute value, or None.

    Raises:
        ObjectiveError: shapes do not fit, or the softcap is not positive.
    """

    weight: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    softcap: float | None = None

    def __post_init__(self) -> None:
        if self.weight.ndim != 2:
            raise ObjectiveError(f"a head's weight must be [vocabulary, width], not {list(self.weight.shape)}")
        if self.bias is not None and self.bias.shape != self.weight.shape[:1]:
            shapes = f"{list(self.weight.shape)} with a bias {list(self.bias.shape)}"
            raise ObjectiveError(f"a head's bias must be one number per row of its weight, not {shapes}")
        if self.softcap is not None and not self.softcap > 0.0:
            raise ObjectiveError(f"softcap must be positive, not {self.softcap}")

    @property
    def vocabulary(self) -> int:
        """V, the number of logits."""
        return self.weight.shape[0]

    def logits(self, hidden: Tensor) -> Tensor:
        """The logits of hidden states.

        Args:
            hidden: h, [N, D], any floating dtype; taken in the weight's precision.

        Returns:
            z, [N, V], float32 or float64.
        """
        return self.finish(self.project(hidden))

    def project(self, hidden: Tensor) -> Tensor:
        """The product h Wᵀ, [N, V]: the part of the logits that is a matrix product."""
        return multiply(hidden.to(self.weight.dtype), self.weight.T)

    def finish(self, product: Tensor) -> Tensor:
        """From h Wᵀ to the logits, elementwise, in float32 or float64; gives back its input if nothing is to do."""
        logits = at_least_float32(product)
        if self.bias is not None:
            logits = logits + self.bias
        if self.scale != 1.0:
            logits = logits * self.scale
        return logits if self.softcap is None else (logits / self.softcap).tanh() * self.softcap

    def before_cap_(self, gradient: Tensor, logits: Tensor) -> Tensor:
        """From dL/dz to dL/d(scale · (h Wᵀ + b)), in place: times cap' = 1 - (z / softcap)².

        Args:
            gradient: [N, V].
            logits: z, [N, V], that `finish` gave.
        """
        if self.softcap is None:
            return gradient
        slope = (logits / self.softcap).square_().neg_().add_(1.0)
        return gradient.mul_(slope)

    def first_rows(self, count: int) -> Head:
        """The head of the first `count` tokens: the part of a vocabulary shared with another model.

        Raises:
            ObjectiveError: the head has fewer rows.
        """
        if not 0 < count <= self.vocabulary:
            raise ObjectiveError(f"a head of {self.vocabulary} tokens has no first {count}")
        if count == self.vocabulary:
            return self
        bias = None if self.bias is None else self.bias[:count]
        return replace(self, weight=self.weight[:count], bias=bias)


def multiply(left: Tensor, right: Tensor) -> Tensor:
    """The matrix product; of half precision as float32 where the device can leave its sums unrounded (CUDA)."""
    if left.is_cuda and left.dtype in (torch.bfloat16, torch.float16):
        return torch.mm(left, right, out_dtype=torch.float32)
    return left @ right

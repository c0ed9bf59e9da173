"""The teacher's side of an objective: its logits on demand, or the expectation that forward KL needs of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from kdscope.core.errors import ObjectiveError
from kdscope.objectives.head import Head
from kdscope.objectives.objective import Objective
from kdscope.results.methods import FORWARD_KL


class TeacherRows(Protocol):
    """A teacher that says what it makes of some of the target tokens, when asked."""

    def logits(self, start: int, stop: int) -> Tensor:
        """The teacher's logits of target tokens start to stop, [stop - start, V], without a gradient."""


@dataclass(frozen=True)
class Expectation:
    """All that the forward KL needs of a teacher once the student's head is frozen: the row of W that P expects.

    With z = scale (h Wᵀ + b) the divergence is linear in the hidden state but for one logsumexp, so that beside the
    cross-entropy CE_T of any token y at temperature T only products with single rows are left:

        KL(P‖Q) = logsumexp(z/T) - Σ p_i z_i/T - H(P) = CE_T(y) + scale (h (W_y - c) + b_y - Σ p_i b_i)/T - H(P).

    Attributes:
        vectors: c = Σ p_i W_i, [N, D], with the student's W and P at the objective's temperature; no scale in it.
        entropy: H(P), [N], nats.
        bias: Σ p_i b_i, [N]; 0 without a bias.
    """

    vectors: Tensor
    entropy: Tensor
    bias: Tensor

    def check(self, objective: Objective, head: Head, tokens: int) -> None:
        """Raises ObjectiveError where the identity above does not hold, or the shapes do not fit."""
        if objective.divergence != FORWARD_KL or objective.settings["probability_epsilon"]:
            raise ObjectiveError("a cached expectation stands for the teacher in plain forward_kl only")
        if head.softcap is not None:
            raise ObjectiveError("a cached expectation needs logits linear in the hidden state: no softcap")
        if head.weight.requires_grad or (head.bias is not None and head.bias.requires_grad):
            raise ObjectiveError("a cached expectation was made with a frozen head, but this one is trained")
        expected = {"vectors": (tokens, head.weight.shape[1]), "entropy": (tokens,), "bias": (tokens,)}
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                given = list(getattr(self, name).shape)
                raise ObjectiveError(f"the {name} of the cached expectation must be {list(shape)}, not {given}")

    def remainder(self, rows: slice, hidden: Tensor, head: Head, targets: Tensor) -> tuple[Tensor, Tensor]:
        """KL(P‖Q) - CE_T(y) + H(P) before its factor scale / T, [n], and its derivative W_y - c, [n, D].

        Args:
            rows: which of the N tokens.
            hidden: their h, [n, D], in the head's precision.
            head: the student's.
            targets: their y, [n].

        Returns:
            Both in float32 or float64, whatever the head's precision: the large terms cancel.
        """
        exact = torch.promote_types(head.weight.dtype, torch.float32)
        away = head.weight[targets].to(exact).sub_(self.vectors[rows].to(exact))
        value = torch.linalg.vecdot(hidden.to(exact), away) - self.bias[rows]
        return (value if head.bias is None else value + head.bias[targets]), away

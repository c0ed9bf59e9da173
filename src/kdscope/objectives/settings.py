"""Which objective, how weighted, at which temperature; and the loss of every token under it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from torch import Tensor

from kdscope.errors import ObjectiveError
from kdscope.objectives.cross_entropy import cross_entropy
from kdscope.objectives.forward_kl import forward_kl
from kdscope.objectives.jsd import jsd
from kdscope.objectives.probabilities import check_epsilon, check_fraction, check_temperature
from kdscope.objectives.reverse_kl import reverse_kl
from kdscope.objectives.skew_kl import check_skew, skew_kl, skew_reverse_kl
from kdscope.objectives.total_variation import total_variation

Divergence = Literal["none", "forward_kl", "reverse_kl", "jsd", "skew_kl", "skew_reverse_kl", "total_variation"]
Reduction = Literal["token", "sequence"]


@dataclass(frozen=True)
class Objective:
    """(1 - kd_weight) CE(reference) + kd_weight D(teacher, student) [T²], per target token.

    Args:
        divergence: D; "none" is cross-entropy alone, whatever the other settings.
        kd_weight: the weight of D, in [0, 1].
        temperature: T > 0 for D; cross-entropy is always at 1.
        beta: of `jsd`, the teacher's share of the mixture, in [0, 1].
        skew: of `skew_kl` and `skew_reverse_kl`, in [0, 1).
        t2_scale: multiply D by T², so that its gradient keeps its size over temperatures (Hinton et al. 2015).
        probability_epsilon: of `forward_kl` and `reverse_kl`, added to probabilities as published studies did.
        reduction: "token": every token of an optimiser window weighs the same; "sequence": every sequence does.

    Raises:
        ObjectiveError: a setting lies outside its range, or has no meaning for this divergence.
    """

    divergence: Divergence
    kd_weight: float
    temperature: float = 1.0
    beta: float = 0.5
    skew: float = 0.1
    t2_scale: bool = False
    probability_epsilon: float = 0.0
    reduction: Reduction = "token"

    def __post_init__(self) -> None:
        _check_choice("divergence", self.divergence, get_args(Divergence))
        _check_choice("reduction", self.reduction, get_args(Reduction))
        check_fraction("kd_weight", self.kd_weight)
        check_temperature(self.temperature)
        check_fraction("beta", self.beta)
        check_skew(self.skew)
        check_epsilon(self.probability_epsilon)
        if self.probability_epsilon and self.divergence not in ("none", "forward_kl", "reverse_kl"):
            raise ObjectiveError(
                f"probability_epsilon is defined for forward_kl and reverse_kl, not for {self.divergence}"
            )

    @property
    def needs_teacher(self) -> bool:
        """Whether `per_token_loss` must be given the teacher's logits."""
        return self.divergence != "none"


@dataclass(frozen=True)
class TokenLosses:
    """The losses of N target tokens, each [N], in nats.

    `total` carries the gradient. `cross_entropy` and `divergence` (before weight and T²; None without a teacher) are
    detached, for the log.
    """

    total: Tensor
    cross_entropy: Tensor
    divergence: Tensor | None


def per_token_loss(
    objective: Objective, student_logits: Tensor, teacher_logits: Tensor | None, targets: Tensor
) -> TokenLosses:
    """(1 - w) CE + w D, times T² on D if asked, for every target token.

    A term of weight 0 is measured but stays out of the graph and of the sum.

    Args:
        objective: w, D and their settings.
        student_logits: [N, V].
        teacher_logits: [N, V], or None if the objective needs no teacher.
        targets: [N], int64.

    Raises:
        ObjectiveError: shapes do not fit, or the teacher's logits are missing.
    """
    weight = objective.kd_weight if objective.needs_teacher else 0.0
    reference = cross_entropy(student_logits if weight < 1.0 else student_logits.detach(), targets)
    if not objective.needs_teacher:
        return TokenLosses(reference, reference.detach(), None)
    if teacher_logits is None:
        raise ObjectiveError(f"{objective.divergence} compares with a teacher, but no teacher logits were given")
    compared = student_logits if weight > 0.0 else student_logits.detach()
    divergence = _DIVERGENCES[objective.divergence](objective, teacher_logits, compared)
    total = _mix(objective, reference, divergence)
    return TokenLosses(total, reference.detach(), divergence.detach())


def _mix(objective: Objective, reference: Tensor, divergence: Tensor) -> Tensor:
    """The weighted sum; without 0 · D, which would be NaN where D is infinite."""
    if objective.kd_weight == 0.0:
        return reference
    scale = objective.kd_weight * (objective.temperature**2 if objective.t2_scale else 1.0)
    if objective.kd_weight == 1.0:
        return scale * divergence
    return (1.0 - objective.kd_weight) * reference + scale * divergence


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ObjectiveError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


_DIVERGENCES: Mapping[str, Callable[[Objective, Tensor, Tensor], Tensor]] = MappingProxyType(
    {
        "forward_kl": lambda o, p, q: forward_kl(
            p, q, temperature=o.temperature, probability_epsilon=o.probability_epsilon
        ),
        "reverse_kl": lambda o, p, q: reverse_kl(
            p, q, temperature=o.temperature, probability_epsilon=o.probability_epsilon
        ),
        "jsd": lambda o, p, q: jsd(p, q, beta=o.beta, temperature=o.temperature),
        "skew_kl": lambda o, p, q: skew_kl(p, q, skew=o.skew, temperature=o.temperature),
        "skew_reverse_kl": lambda o, p, q: skew_reverse_kl(p, q, skew=o.skew, temperature=o.temperature),
        "total_variation": lambda o, p, q: total_variation(p, q, temperature=o.temperature),
    }
)

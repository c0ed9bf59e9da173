"""Which objective, how weighted, at which temperature; and the loss of every token under it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal, get_args

from torch import Tensor

from kdscope.core.errors import ObjectiveError
from kdscope.objectives.adaptive_kl import adaptive_kl_rows, check_head_mass
from kdscope.objectives.closed_form import Kernel, differentiable
from kdscope.objectives.cross_entropy import cross_entropy
from kdscope.objectives.forward_kl import forward_kl_rows
from kdscope.objectives.jsd import jsd_rows
from kdscope.objectives.probabilities import check_epsilon, check_fraction, check_temperature
from kdscope.objectives.reverse_kl import reverse_kl_rows
from kdscope.objectives.skew_kl import check_skew, skew_kl_rows, skew_reverse_kl_rows
from kdscope.objectives.total_variation import total_variation_rows

Divergence = Literal[
    "none", "forward_kl", "reverse_kl", "jsd", "skew_kl", "skew_reverse_kl", "total_variation", "adaptive_kl"
]
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
        head_mass: of `adaptive_kl`, the teacher's mass in the head, between 0 and 1.
        t2_scale: multiply D by T², so that its gradient keeps its size over temperatures (Hinton et al. 2015).
        probability_epsilon: of `forward_kl` and `reverse_kl`, added to probabilities as published studies did.
        reduction: "token": every token of an optimiser window weighs the same; "sequence": every sequence does.

    Raises:
        ObjectiveError: a setting lies outside its range, or has no meaning for this divergence.
    """

    divergence: str
    kd_weight: float
    temperature: float = 1.0
    beta: float = 0.5
    skew: float = 0.1
    t2_scale: bool = False
    probability_epsilon: float = 0.0
    reduction: Reduction = "token"
    head_mass: float = 0.5

    def __post_init__(self) -> None:
        _check_choice("divergence", self.divergence, get_args(Divergence))
        _check_choice("reduction", self.reduction, get_args(Reduction))
        check_fraction("kd_weight", self.kd_weight)
        check_temperature(self.temperature)
        check_fraction("beta", self.beta)
        check_skew(self.skew)
        check_head_mass(self.head_mass)
        check_epsilon(self.probability_epsilon)
        if self.probability_epsilon and self.divergence not in ("none", "forward_kl", "reverse_kl"):
            raise ObjectiveError(
                f"probability_epsilon is defined for forward_kl and reverse_kl, not for {self.divergence}"
            )

    @property
    def needs_teacher(self) -> bool:
        """Whether a loss must be given a teacher."""
        return self.divergence != "none"

    @property
    def reference_factor(self) -> float:
        """What cross-entropy is multiplied by in the loss."""
        return 1.0 - self.kd_weight if self.needs_teacher else 1.0

    @property
    def divergence_factor(self) -> float:
        """What the divergence is multiplied by in the loss: its weight, times T² if asked."""
        return self.kd_weight * (self.temperature**2 if self.t2_scale else 1.0) if self.needs_teacher else 0.0

    @property
    def kernel(self) -> Kernel:
        """The closed form of the divergence.

        Raises:
            ObjectiveError: there is no divergence.
        """
        if not self.needs_teacher:
            raise ObjectiveError("cross-entropy alone is no divergence from a teacher")
        return _KERNELS[self.divergence](self)


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
    """(1 - w) CE + w D, times T² on D if asked, for every target token: the definition, on full [N, V] logits.

    Training computes the same from hidden states, without logits of all tokens: `kdscope.objectives.fused`. A term of
    weight 0 is measured but stays out of the graph and of the sum.

    Args:
        objective: w, D and their settings.
        student_logits: [N, V].
        teacher_logits: [N, V], or None if the objective needs no teacher.
        targets: [N], int64.

    Raises:
        ObjectiveError: shapes do not fit, or the teacher's logits are missing.
    """
    reference = cross_entropy(student_logits if objective.reference_factor else student_logits.detach(), targets)
    if not objective.needs_teacher:
        return TokenLosses(reference, reference.detach(), None)
    if teacher_logits is None:
        raise ObjectiveError(f"{objective.divergence} compares with a teacher, but no teacher logits were given")
    compared = student_logits if objective.divergence_factor else student_logits.detach()
    divergence = differentiable(objective.kernel, teacher_logits, compared, objective.temperature)
    return TokenLosses(mix(objective, reference, divergence), reference.detach(), divergence.detach())


def mix(objective: Objective, cross_entropies: Tensor, divergences: Tensor | None) -> Tensor:
    """(1 - w) CE + w D [T²], [N]; without 0 · D, which would be NaN where D is infinite."""
    if divergences is None or objective.divergence_factor == 0.0:
        return cross_entropies
    if objective.reference_factor == 0.0:
        return objective.divergence_factor * divergences
    return objective.reference_factor * cross_entropies + objective.divergence_factor * divergences


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ObjectiveError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


_KERNELS: Mapping[str, Callable[[Objective], Kernel]] = MappingProxyType(
    {
        "forward_kl": lambda o: partial(forward_kl_rows, probability_epsilon=o.probability_epsilon),
        "reverse_kl": lambda o: partial(reverse_kl_rows, probability_epsilon=o.probability_epsilon),
        "jsd": lambda o: partial(jsd_rows, beta=o.beta),
        "skew_kl": lambda o: partial(skew_kl_rows, skew=o.skew),
        "skew_reverse_kl": lambda o: partial(skew_reverse_kl_rows, skew=o.skew),
        "total_variation": lambda o: total_variation_rows,
        "adaptive_kl": lambda o: partial(adaptive_kl_rows, head_mass=o.head_mass),
    }
)

"""The objective: the list of divergences, the mixture of one with cross-entropy, and the loss of every token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Literal, get_args

import torch
from torch import Tensor

from kdscope.core.catalogue import Catalogue
from kdscope.core.errors import ObjectiveError
from kdscope.objectives.adaptive_kl import adaptive_kl
from kdscope.objectives.alpha_beta import alpha_beta
from kdscope.objectives.concrete_score import concrete_score
from kdscope.objectives.divergence import (
    Divergence,
    Kernel,
    at_least_float32,
    check_fraction,
    check_temperature,
)
from kdscope.objectives.entropy_aware_kl import entropy_aware_kl
from kdscope.objectives.forward_kl import forward_kl
from kdscope.objectives.jeffreys import jeffreys
from kdscope.objectives.jsd import jsd
from kdscope.objectives.reverse_kl import reverse_kl
from kdscope.objectives.skew_kl import skew_kl, skew_reverse_kl
from kdscope.objectives.todi import todi
from kdscope.objectives.total_variation import total_variation
from kdscope.results.methods import Value

NO_DIVERGENCE = "none"
"""Of an objective that is cross-entropy alone."""
DIVERGENCES: Catalogue[Divergence] = Catalogue(
    "divergence",
    (
        *(forward_kl, reverse_kl, jsd, skew_kl, skew_reverse_kl, total_variation, adaptive_kl),
        *(jeffreys, todi, alpha_beta, concrete_score, entropy_aware_kl),
    ),
)
Reduction = Literal["token", "sequence"]


@dataclass(frozen=True)
class Objective:
    """(1 - kd_weight) CE(reference) + kd_weight D(teacher, student) [T²], per target token.

    Args:
        divergence: D, a name of `DIVERGENCES`; "none" is cross-entropy alone, whatever the other settings.
        kd_weight: the weight of D, in [0, 1].
        temperature: T > 0 for D; cross-entropy is always at 1.
        t2_scale: multiply D by T², so that its gradient keeps its size over temperatures (Hinton et al. 2015).
        reduction: "token": every token of an optimiser window weighs the same; "sequence": every sequence does.
        settings: of D, such as `beta` of `jsd`; those left out have the divergence's defaults.

    Raises:
        ObjectiveError: a setting lies outside its range, or has no meaning for this divergence.
    """

    divergence: str
    kd_weight: float
    temperature: float = 1.0
    t2_scale: bool = False
    reduction: Reduction = "token"
    settings: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    def __post_init__(self) -> None:
        _check_choice("divergence", self.divergence, (NO_DIVERGENCE, *DIVERGENCES))
        _check_choice("reduction", self.reduction, get_args(Reduction))
        check_fraction("kd_weight", self.kd_weight)
        check_temperature(self.temperature)
        if self.needs_teacher:
            object.__setattr__(self, "settings", self.entry.complete(self.settings))

    @property
    def needs_teacher(self) -> bool:
        """Whether a loss must be given a teacher."""
        return self.divergence != NO_DIVERGENCE

    @property
    def reference_factor(self) -> float:
        """What cross-entropy is multiplied by in the loss."""
        return 1.0 - self.kd_weight if self.needs_teacher else 1.0

    @property
    def divergence_factor(self) -> float:
        """What the divergence is multiplied by in the loss: its weight, times T² if asked."""
        return self.kd_weight * (self.temperature**2 if self.t2_scale else 1.0) if self.needs_teacher else 0.0

    @property
    def entry(self) -> Divergence:
        """D.

        Raises:
            ObjectiveError: there is no divergence.
        """
        if not self.needs_teacher:
            raise ObjectiveError("cross-entropy alone is no divergence from a teacher")
        return DIVERGENCES[self.divergence]

    @property
    def kernel(self) -> Kernel | None:
        """The closed form of the divergence, its settings filled in; None where it has none.

        Raises:
            ObjectiveError: there is no divergence.
        """
        kernel = self.entry.kernel
        return None if kernel is None else partial(kernel, **self.settings)


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
    divergence = objective.entry(teacher_logits, compared, temperature=objective.temperature, **objective.settings)
    return TokenLosses(mix(objective, reference, divergence), reference.detach(), divergence.detach())


def mix(objective: Objective, cross_entropies: Tensor, divergences: Tensor | None) -> Tensor:
    """(1 - w) CE + w D [T²], [N]; without 0 · D, which would be NaN where D is infinite."""
    if divergences is None or objective.divergence_factor == 0.0:
        return cross_entropies
    if objective.reference_factor == 0.0:
        return objective.divergence_factor * divergences
    return objective.reference_factor * cross_entropies + objective.divergence_factor * divergences


def cross_entropy(student_logits: Tensor, targets: Tensor) -> Tensor:
    """-log Q(y) = logsumexp(z) - z[y] per token, in nats, at temperature 1.

    No index means "ignore": tokens that are not to be learnt are left out by the caller, never averaged in.

    Args:
        student_logits: z, [N, V].
        targets: y, [N], int64, 0 <= y < V.

    Returns:
        [N], float32 or float64.

    Raises:
        ObjectiveError: shapes do not fit, or a target is no index of the vocabulary.

    Example:
        >>> import torch
        >>> round(cross_entropy(torch.zeros(1, 4), torch.tensor([2])).item(), 4)  # log 4
        1.3863
    """
    if student_logits.ndim != 2:
        raise ObjectiveError(f"cross-entropy needs logits [tokens, vocabulary], not {list(student_logits.shape)}")
    check_targets(targets, *student_logits.shape)
    logits = at_least_float32(student_logits)
    return logits.logsumexp(dim=-1) - logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def check_targets(targets: Tensor, tokens: int, vocabulary: int) -> None:
    """Raises ObjectiveError unless the targets are one index of the vocabulary for every token."""
    if targets.shape != (tokens,):
        raise ObjectiveError(f"{tokens} tokens need as many targets, not {list(targets.shape)}")
    if targets.dtype != torch.int64:
        raise ObjectiveError(f"targets must be int64 token ids, not {targets.dtype}")
    outside = (targets < 0) | (targets >= vocabulary)
    if outside.any():
        raise ObjectiveError(f"target {int(targets[outside][0])} is no index of {vocabulary} logits")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ObjectiveError(f"{name} must be one of {', '.join(choices)}, not {value!r}")

"""The mixture of cross-entropy and divergence, and the settings that are refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
import torch
from torch import Tensor

from kdscope.core.errors import ObjectiveError
from kdscope.objectives.adaptive_kl import adaptive_kl
from kdscope.objectives.forward_kl import forward_kl
from kdscope.objectives.jsd import jsd
from kdscope.objectives.objective import DIVERGENCES, Objective, cross_entropy, per_token_loss
from kdscope.objectives.reverse_kl import reverse_kl
from kdscope.objectives.skew_kl import skew_kl, skew_reverse_kl
from kdscope.objectives.total_variation import total_variation

Draw = Callable[..., tuple[Tensor, Tensor]]
TARGETS = torch.arange(7)


def torch_cross_entropy(logits: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(logits, TARGETS, reduction="none")


def test_without_divergence_it_is_cross_entropy(draw: Draw) -> None:
    _, student = draw()
    losses = per_token_loss(Objective("none", kd_weight=0.7), student, None, TARGETS)
    torch.testing.assert_close(losses.total, torch_cross_entropy(student))
    assert losses.divergence is None


def test_the_mixture(draw: Draw) -> None:
    teacher, student = draw()
    objective = Objective("forward_kl", kd_weight=0.3, temperature=2.0)
    losses = per_token_loss(objective, student, teacher, TARGETS)
    divergence = forward_kl(teacher, student, temperature=2.0)
    torch.testing.assert_close(losses.total, 0.7 * torch_cross_entropy(student) + 0.3 * divergence)
    torch.testing.assert_close(losses.divergence, divergence)


def test_t2_scale_reaches_the_loss_but_not_the_log(worked_example: tuple[Tensor, Tensor]) -> None:
    teacher, student = worked_example
    objective = Objective("forward_kl", kd_weight=1.0, temperature=2.0, t2_scale=True)
    losses = per_token_loss(objective, student, teacher, torch.tensor([0]))
    assert losses.total.item() == pytest.approx(0.6631276980, abs=1e-9)
    assert losses.divergence is not None
    assert losses.divergence.item() == pytest.approx(0.1657819245, abs=1e-9)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (Objective("reverse_kl", 1.0, temperature=3.0), lambda p, q: reverse_kl(p, q, temperature=3.0)),
        (
            Objective("jsd", 1.0, temperature=3.0, settings={"beta": 0.2}),
            lambda p, q: jsd(p, q, beta=0.2, temperature=3.0),
        ),
        (
            Objective("skew_kl", 1.0, temperature=3.0, settings={"skew": 0.3}),
            lambda p, q: skew_kl(p, q, skew=0.3, temperature=3.0),
        ),
        (
            Objective("skew_reverse_kl", 1.0, temperature=3.0, settings={"skew": 0.3}),
            lambda p, q: skew_reverse_kl(p, q, skew=0.3, temperature=3.0),
        ),
        (
            Objective("adaptive_kl", 1.0, temperature=3.0, settings={"head_mass": 0.3}),
            lambda p, q: adaptive_kl(p, q, head_mass=0.3, temperature=3.0),
        ),
        (Objective("total_variation", 1.0, temperature=3.0), lambda p, q: total_variation(p, q, temperature=3.0)),
        (
            Objective("forward_kl", 1.0, settings={"probability_epsilon": 0.01}),
            lambda p, q: forward_kl(p, q, probability_epsilon=0.01),
        ),
        (
            Objective("reverse_kl", 1.0, settings={"probability_epsilon": 0.01}),
            lambda p, q: reverse_kl(p, q, probability_epsilon=0.01),
        ),
    ],
    ids=lambda value: value.divergence if isinstance(value, Objective) else "",
)
def test_every_setting_reaches_its_divergence(
    objective: Objective, expected: Callable[[Tensor, Tensor], Tensor], draw: Draw
) -> None:
    teacher, student = draw()
    torch.testing.assert_close(per_token_loss(objective, student, teacher, TARGETS).total, expected(teacher, student))


def test_a_term_of_weight_zero_is_measured_but_not_learnt(draw: Draw) -> None:
    teacher, student = draw()
    student.requires_grad_()
    only_teacher = per_token_loss(Objective("forward_kl", 1.0), student, teacher, TARGETS)
    (gradient,) = torch.autograd.grad(only_teacher.total.sum(), student)
    torch.testing.assert_close(gradient, student.softmax(-1).detach() - teacher.softmax(-1))
    torch.testing.assert_close(only_teacher.cross_entropy, torch_cross_entropy(student.detach()))
    only_reference = per_token_loss(Objective("forward_kl", 0.0), student, teacher, TARGETS)
    torch.testing.assert_close(only_reference.total, torch_cross_entropy(student))
    torch.testing.assert_close(only_reference.divergence, forward_kl(teacher, student.detach()))


@pytest.mark.parametrize(
    ("weight", "learnt"),
    [(1.0, lambda p, q: forward_kl(p, q)), (0.0, lambda p, q: cross_entropy(q, TARGETS))],
    ids=["teacher only", "reference only"],
)
def test_a_term_of_weight_zero_keeps_nothing_for_the_gradient(
    weight: float, learnt: Callable[[Tensor, Tensor], Tensor], draw: Draw
) -> None:
    teacher, student = draw()
    student.requires_grad_()

    def elements_kept(compute: Callable[[], object]) -> int:
        kept: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()), lambda _: None):
            compute()
        return sum(kept)

    objective = Objective("forward_kl", weight)
    alone = elements_kept(lambda: learnt(teacher, student))
    kept = elements_kept(lambda: per_token_loss(objective, student, teacher, TARGETS))
    assert 0 < alone <= kept <= alone + len(TARGETS)


def test_an_infinite_divergence_of_weight_zero_does_no_harm(draw: Draw) -> None:
    teacher, student = draw()
    teacher[:, 0] = -math.inf
    student.requires_grad_()
    losses = per_token_loss(Objective("reverse_kl", 0.0), student, teacher, TARGETS)
    losses.total.sum().backward()
    assert losses.divergence is not None
    assert losses.divergence.isinf().all()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_only_the_total_carries_a_gradient(draw: Draw) -> None:
    teacher, student = draw()
    losses = per_token_loss(Objective("jsd", 0.5), student.requires_grad_(), teacher, TARGETS)
    assert losses.total.requires_grad
    assert not losses.cross_entropy.requires_grad
    assert losses.divergence is not None
    assert not losses.divergence.requires_grad


def test_a_missing_teacher_is_named(draw: Draw) -> None:
    with pytest.raises(ObjectiveError, match="jsd compares with a teacher"):
        per_token_loss(Objective("jsd", 0.5), draw()[1], None, TARGETS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"divergence": "kl"}, "divergence must be one of none, forward_kl"),
        ({"reduction": "mean"}, "reduction must be one of token, sequence"),
        ({"kd_weight": 1.1}, "kd_weight"),
        ({"kd_weight": math.nan}, "kd_weight"),
        ({"temperature": 0.0}, "temperature"),
        ({"divergence": "jsd", "settings": {"beta": -0.1}}, "beta"),
        ({"divergence": "skew_kl", "settings": {"skew": 1.0}}, "skew"),
        ({"divergence": "adaptive_kl", "settings": {"head_mass": 0.0}}, "head_mass"),
        ({"divergence": "adaptive_kl", "settings": {"head_mass": 1.0}}, "head_mass"),
        ({"settings": {"probability_epsilon": -1e-9}}, "probability_epsilon"),
        ({"divergence": "jsd", "settings": {"probability_epsilon": 1e-9}}, "no setting of jsd"),
    ],
)
def test_refuses_settings_out_of_range(wrong: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {"divergence": "forward_kl", "kd_weight": 0.5} | wrong
    with pytest.raises(ObjectiveError, match=message):
        Objective(**settings)


def test_the_factors_of_the_mixture() -> None:
    objective = Objective("jsd", 0.3, temperature=2.0, t2_scale=True)
    assert (objective.reference_factor, objective.divergence_factor) == (0.7, 0.3 * 4.0)
    alone = Objective("none", 0.3, temperature=2.0, t2_scale=True)
    assert (alone.reference_factor, alone.divergence_factor) == (1.0, 0.0)
    with pytest.raises(ObjectiveError, match="no divergence"):
        _ = alone.kernel


def test_every_divergence_has_its_kernel(draw: Draw) -> None:
    """A name that `DIVERGENCES` has and nobody implements would fail only in the middle of a study."""
    for name in DIVERGENCES:
        assert per_token_loss(Objective(name, 1.0), *reversed(draw()), TARGETS).total.shape == TARGETS.shape


def test_an_objective_does_not_change() -> None:
    objective = Objective("forward_kl", 0.5)
    with pytest.raises(FrozenInstanceError):
        objective.kd_weight = 1.0  # type: ignore[misc]

"""A cached expectation stands for the teacher's logits exactly: value, sums and gradient."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy.stats import entropy
from torch import Tensor

from kdscope.core.errors import ObjectiveError
from kdscope.objectives import Expectation, FusedLoss, Objective, fused_loss
from tests.objectives.students import Student, make_student


def expectation_of(student: Student, temperature: float) -> Expectation:
    """By its definition, with scipy's entropy."""
    p = (student.teacher.every / temperature).softmax(-1)
    bias = torch.zeros(len(p), dtype=p.dtype) if student.head.bias is None else p @ student.head.bias
    return Expectation(p @ student.head.weight, torch.from_numpy(entropy(p.numpy(), axis=-1)), bias)


def both(objective: Objective, student: Student) -> tuple[tuple[FusedLoss, Tensor], tuple[FusedLoss, Tensor]]:
    """Loss and gradient by the teacher's logits and by the expectation."""
    hidden = student.hidden.requires_grad_()
    results = []
    for teacher in (student.teacher, expectation_of(student, objective.temperature)):
        loss = fused_loss(objective, hidden, student.head, student.targets, student.weights, teacher, chunk_rows=4)
        results.append((loss, torch.autograd.grad(loss.total, hidden)[0]))
    return results[0], results[1]


@pytest.mark.parametrize("head", [{"bias": False}, {"scale": 0.3}], ids=str)
@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_equals_the_teachers_logits(temperature: float, weight: float, head: dict[str, Any]) -> None:
    objective = Objective("forward_kl", weight, temperature=temperature, t2_scale=True)
    (replayed, gradient), (cached, other) = both(objective, make_student(**head))
    for name in ("total", "cross_entropy", "divergence"):
        torch.testing.assert_close(getattr(cached, name), getattr(replayed, name), rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(other, gradient, rtol=1e-9, atol=1e-14)


def test_in_half_precision_it_is_no_worse_than_logits_are() -> None:
    """The large terms of the gradient cancel before anything is rounded to eight bits."""
    exact = make_student(40, 300, 32, bias=False, scale=0.4)
    head = replace(exact.head, weight=exact.head.weight.bfloat16())
    exact = replace(exact, head=replace(head, weight=head.weight.double()), hidden=exact.hidden.bfloat16().double())
    objective = Objective("forward_kl", 1.0, temperature=2.0)
    (reference, expected), _ = both(objective, exact)
    half = replace(exact, head=head, hidden=exact.hidden.detach().float(), weights=exact.weights.float())
    cached = expectation_of(exact, 2.0)
    cached = Expectation(cached.vectors.float(), cached.entropy.float(), cached.bias.float())
    errors = []
    for teacher in (half.teacher, cached):
        hidden = half.hidden.requires_grad_()
        loss = fused_loss(objective, hidden, head, half.targets, half.weights, teacher)
        (gradient,) = torch.autograd.grad(loss.total, hidden)
        errors.append(float((gradient.double() - expected).norm() / expected.norm()))
        assert loss.total.item() == pytest.approx(reference.total.item(), rel=1e-2)
    assert errors[0] < 2e-2
    assert errors[1] < 2e-2


def test_no_tokens() -> None:
    (_, _), (cached, gradient) = both(Objective("forward_kl", 0.5), make_student(tokens=0))
    assert cached.total.item() == 0.0
    assert gradient.shape == (0, 5)


def test_without_a_gradient_it_is_measured_all_the_same() -> None:
    student = make_student(bias=False)
    objective = Objective("forward_kl", 1.0)
    (replayed, _), _ = both(objective, student)
    with torch.no_grad():
        cached = expectation_of(student, 1.0)
        loss = fused_loss(objective, student.hidden, student.head, student.targets, student.weights, cached)
    torch.testing.assert_close(loss.total, replayed.total.detach())
    assert not loss.total.requires_grad


@pytest.mark.parametrize(
    ("objective", "head", "message"),
    [
        (Objective("reverse_kl", 0.5), {}, "plain forward_kl only"),
        (Objective("forward_kl", 0.5, settings={"probability_epsilon": 1e-9}), {}, "plain forward_kl only"),
        (Objective("forward_kl", 0.5), {"softcap": 3.0}, "no softcap"),
        (Objective("forward_kl", 0.5), {"trained": True}, "made with a frozen head"),
    ],
)
def test_refuses_where_it_does_not_hold(objective: Objective, head: dict[str, Any], message: str) -> None:
    student = make_student(softcap=head.get("softcap"))
    cached = expectation_of(student, 1.0)
    student.head.weight.requires_grad_(head.get("trained", False))
    with pytest.raises(ObjectiveError, match=message):
        fused_loss(objective, student.hidden, student.head, student.targets, student.weights, cached)


@pytest.mark.parametrize("name", ["vectors", "entropy", "bias"])
def test_refuses_an_expectation_of_other_tokens(name: str) -> None:
    student = make_student()
    cached = expectation_of(student, 1.0)
    short = replace(cached, **{name: getattr(cached, name)[1:]})
    with pytest.raises(ObjectiveError, match=f"the {name} of the cached expectation must be"):
        fused_loss(Objective("forward_kl", 0.5), student.hidden, student.head, student.targets, student.weights, short)

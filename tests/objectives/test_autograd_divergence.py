"""A divergence without a closed form: value and gradient are those of plain autograd, in the memory of one chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from kdscope.core.errors import ObjectiveError
from kdscope.objectives import DIVERGENCES, Divergence, Objective, fused_loss, per_token_loss
from tests.objectives.students import make_student


def hellinger(teacher_logits: Tensor, student_logits: Tensor, *, temperature: float, power: float = 2.0) -> Tensor:
    p, q = (torch.softmax(logits / temperature, dim=-1) for logits in (teacher_logits, student_logits))
    return 0.5 * (p.sqrt() - q.sqrt()).abs().pow(power).sum(dim=-1)


def check_power(power: float) -> None:
    if power < 1:
        raise ObjectiveError(f"power must be at least 1, not {power}")


@pytest.fixture(autouse=True)
def listed() -> Iterator[None]:
    DIVERGENCES.add(Divergence(name="hellinger", function=hellinger, settings={"power": 2.0}, check=check_power))
    yield
    DIVERGENCES.remove("hellinger")


@pytest.mark.parametrize("power", [2.0, 3.0])
@pytest.mark.parametrize(("weight", "t2_scale"), [(1.0, False), (0.4, True), (0.0, True)])
def test_fused_autograd_divergence_is_the_dense_loss(power: float, weight: float, t2_scale: bool) -> None:
    student = make_student(tokens=11).trainable()
    objective = Objective("hellinger", weight, temperature=1.7, t2_scale=t2_scale, settings={"power": power})
    fused = fused_loss(
        objective, student.hidden, student.head, student.targets, student.weights, student.teacher, chunk_rows=3
    )
    dense = student.dense_total(objective)
    torch.testing.assert_close(fused.total, dense)
    ours, theirs = (torch.autograd.grad(total, student.leaves()) for total in (fused.total, dense))
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, other)


def test_per_token_loss_is_the_function_itself() -> None:
    both = torch.randn(2, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    teacher, student = both[0].requires_grad_(), both[1].requires_grad_()
    losses = per_token_loss(Objective("hellinger", 1.0, temperature=2.0), student, teacher, torch.arange(5))
    expected = hellinger(teacher.detach(), student, temperature=2.0)
    torch.testing.assert_close(losses.total, expected)
    gradients = [torch.autograd.grad(value.sum(), student)[0] for value in (losses.total, expected)]
    torch.testing.assert_close(*gradients)
    assert teacher.grad is None


def test_autograd_keeps_no_more_than_a_block_of_logits() -> None:
    seen: list[int] = []
    student = make_student(tokens=40).trainable()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: seen.append(t.numel()) or t, lambda t: t):
        fused_loss(
            Objective("hellinger", 1.0),
            student.hidden,
            student.head,
            student.targets,
            student.weights,
            student.teacher,
            chunk_rows=4,
        )
    logits_of_all = 40 * student.head.vocabulary
    width = student.hidden.shape[1]
    assert max(size for size in seen if size not in (40 * width, width * student.head.vocabulary)) < logits_of_all


def test_refuses_a_setting_it_does_not_take_or_out_of_range() -> None:
    with pytest.raises(ObjectiveError, match="beta is no setting of hellinger"):
        Objective("hellinger", 1.0, settings={"beta": 0.5})
    with pytest.raises(ObjectiveError, match="power must be at least 1"):
        Objective("hellinger", 1.0, settings={"power": 0.5})


def test_refuses_a_function_that_gives_no_value_per_token() -> None:
    mean = Divergence(name="mean", function=lambda p, q, *, temperature: (p - q).mean() / temperature)
    with pytest.raises(ObjectiveError, match="one value each is due"):
        mean(torch.zeros(2, 3), torch.zeros(2, 3))


def of_function(function: Callable[..., object]) -> Divergence:
    return Divergence(name="odd", function=function)  # type: ignore[arg-type]


def by_autograd(function: Callable[..., object], temperature: float = 2.0) -> tuple[Tensor, Tensor]:
    return of_function(function).by_autograd(torch.ones(2, 3), torch.zeros(2, 3), temperature, {})


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_a_gradient_that_is_a_view_of_one_number_is_taken(temperature: float) -> None:
    value, gradient = by_autograd(lambda t, s, *, temperature: (s - t).sum(-1), temperature)
    assert value.tolist() == [-3.0, -3.0]
    assert gradient.mul_(2.0).tolist() == [[2.0 * temperature] * 3] * 2, "training goes on in place"


def in_place(teacher_logits: Tensor, student_logits: Tensor, *, temperature: float) -> Tensor:
    return (student_logits - teacher_logits.div_(2.0)).sum(-1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_function_in_place_leaves_the_teacher_alone(dtype: torch.dtype) -> None:
    teacher = torch.ones(2, 3, dtype=dtype)
    assert of_function(in_place)(teacher, torch.zeros(2, 3)).tolist() == [-1.5, -1.5]
    of_function(in_place).by_autograd(teacher, torch.zeros(2, 3), 1.0, {})
    assert teacher.tolist() == [[1.0] * 3] * 2


def other(t: Tensor, s: Tensor, *, temperature: float) -> Tensor:
    return t.clone().requires_grad_().sum(-1)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda t, s, *, temperature: 0.5, "gave a value of type float; a tensor"),
        (lambda t, s, *, temperature: None, "gave a value of type NoneType"),
        (lambda t, s, *, temperature: (s - t).sum(), r"gave \[\] for 2 tokens; one value each is due"),
        (lambda t, s, *, temperature: t.sum(-1), "do not depend on the student's logits"),
        (lambda t, s, *, temperature: (s - t).sum(-1).detach(), "do not depend on the student's logits"),
        (other, "do not depend on the student's logits"),
    ],
)
def test_refuses_a_result_that_cannot_be_learnt_from(function: Callable[..., object], message: str) -> None:
    with pytest.raises(ObjectiveError, match=f"odd {message}|odd gave values that {message}"):
        by_autograd(function)

"""The fused loss is the dense one: value and every gradient, for every divergence, setting and precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kdscope.core.errors import ObjectiveError
from kdscope.objectives import DIVERGENCES, Head, Objective, fused_loss, per_token_loss
from tests.objectives.students import GivenLogits, Student, make_student

EVERY = ("none", *DIVERGENCES)
CONSTANT_WEIGHTS = {"adaptive_kl", "todi", "concrete_score"}
every_divergence = pytest.mark.parametrize("divergence", EVERY)
HEADS: list[dict[str, Any]] = [{"bias": False}, {"scale": 0.3}, {"scale": 2.0, "softcap": 4.0}]


def fused(objective: Objective, student: Student, **options: Any) -> Any:
    return fused_loss(
        objective, student.hidden, student.head, student.targets, student.weights, student.teacher, **options
    )


def assert_fused_is_dense(objective: Objective, student: Student, **options: Any) -> None:
    dense = student.dense_total(objective)
    loss = fused(objective, student, **options)
    torch.testing.assert_close(loss.total, dense, rtol=1e-11, atol=1e-13)
    expected = torch.autograd.grad(dense, student.leaves())
    for gradient, other in zip(torch.autograd.grad(loss.total, student.leaves()), expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("head", HEADS, ids=str)
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
@every_divergence
def test_is_the_dense_loss(divergence: str, temperature: float, weight: float, head: dict[str, Any]) -> None:
    objective = Objective(divergence, weight, temperature=temperature, t2_scale=True)
    assert_fused_is_dense(objective, make_student(**head).trainable(), chunk_rows=4)


@pytest.mark.parametrize(
    "objective",
    [
        Objective("jsd", 0.5, settings={"beta": 0.0}),
        Objective("jsd", 0.5, temperature=3.0, settings={"beta": 0.1}),
        Objective("jsd", 0.5, settings={"beta": 1.0}),
        Objective("skew_kl", 0.5, settings={"skew": 0.0}),
        Objective("skew_kl", 0.5, settings={"skew": 0.4}),
        Objective("skew_reverse_kl", 0.5, temperature=0.7, settings={"skew": 0.0}),
        Objective("skew_reverse_kl", 0.5, settings={"skew": 0.4}),
        Objective("adaptive_kl", 0.5, settings={"head_mass": 0.9}),
        Objective("jeffreys", 0.5, settings={"reverse_share": 0.0}),
        Objective("jeffreys", 0.5, temperature=2.0, settings={"reverse_share": 0.9}),
        Objective("alpha_beta", 0.5, settings={"alpha": 0.0, "beta": 0.6}),
        Objective("alpha_beta", 0.5, settings={"alpha": 0.6, "beta": 0.0}),
        Objective("concrete_score", 0.5, temperature=2.0, settings={"first_weight": "teacher"}),
        Objective("concrete_score", 0.5, settings={"second_weight": "uniform"}),
        Objective("entropy_aware_kl", 0.5, settings={"entropy_threshold": 1.5}),
        Objective("forward_kl", 0.5, temperature=2.0, settings={"probability_epsilon": 1e-2}),
        Objective("reverse_kl", 0.5, temperature=2.0, settings={"probability_epsilon": 1e-2}),
        Objective("reverse_kl", 0.5, temperature=2.0),  # T² not asked for
    ],
    ids=str,
)
def test_every_setting_of_a_divergence_counts(objective: Objective) -> None:
    assert_fused_is_dense(objective, make_student(seed=1).trainable())


@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("divergence", [name for name in EVERY if name not in CONSTANT_WEIGHTS])
def test_gradient_is_that_of_the_value(divergence: str, temperature: float, softcap: float | None) -> None:
    """By finite differences, so independently of the dense kernels too, where no weights are constants of it."""
    student = make_student(5, 7, 3, scale=0.8, softcap=softcap).trainable()
    objective = Objective(divergence, 0.6, temperature=temperature, t2_scale=True)

    def total(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        head = replace(student.head, weight=weight, bias=bias)
        return fused(objective, replace(student, hidden=hidden, head=head), chunk_rows=2).total

    assert torch.autograd.gradcheck(total, student.leaves())


def test_the_sums_for_the_log() -> None:
    student = make_student().trainable()
    objective = Objective("jsd", 0.4, temperature=2.0, t2_scale=True)
    losses = per_token_loss(objective, student.head.logits(student.hidden), student.teacher.every, student.targets)
    loss = fused(objective, student, chunk_rows=3)
    torch.testing.assert_close(loss.cross_entropy, losses.cross_entropy.sum())
    assert losses.divergence is not None
    torch.testing.assert_close(loss.divergence, losses.divergence.sum())
    assert not loss.cross_entropy.requires_grad
    assert not loss.divergence.requires_grad
    alone = fused_loss(
        Objective("none", 0.0), student.hidden, student.head, student.targets, torch.ones_like(student.weights)
    )
    torch.testing.assert_close(alone.total.detach(), alone.cross_entropy)
    assert alone.divergence is None


@given(chunk_rows=st.integers(1, 20), order=st.permutations(range(13)), divergence=st.sampled_from(EVERY))
@settings(max_examples=40, deadline=None)
def test_neither_chunks_nor_order_matter(chunk_rows: int, order: list[int], divergence: str) -> None:
    objective = Objective(divergence, 0.5, temperature=1.5)
    student = make_student().trainable()
    whole = torch.autograd.grad(fused(objective, student).total, student.leaves())
    shuffled = torch.autograd.grad(
        fused(objective, student.rows(torch.tensor(order)), chunk_rows=chunk_rows).total, student.leaves()
    )
    for one, other in zip(whole, shuffled, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-14)


@given(cuts=st.lists(st.integers(0, 13), max_size=4), divergence=st.sampled_from(EVERY))
@settings(max_examples=40, deadline=None)
def test_micro_batches_add_up(cuts: list[int], divergence: str) -> None:
    """Empty micro-batches included."""
    objective = Objective(divergence, 0.5, temperature=1.5)
    student = make_student().trainable()
    whole = fused(objective, student)
    whole.total.backward()
    expected = [leaf.grad for leaf in student.leaves()]
    for leaf in student.leaves():
        leaf.grad = None
    parts = [fused(objective, student.rows(slice(*edge))) for edge in pairwise([0, *sorted(cuts), 13])]
    for part in parts:
        part.total.backward()
    torch.testing.assert_close(sum(part.total for part in parts), whole.total)
    torch.testing.assert_close(sum(part.cross_entropy for part in parts), whole.cross_entropy)
    for leaf, gradient in zip(student.leaves(), expected, strict=True):
        torch.testing.assert_close(leaf.grad, gradient, rtol=1e-11, atol=1e-14)


@every_divergence
def test_no_tokens_give_zero_with_a_graph(divergence: str) -> None:
    student = make_student(tokens=0).trainable()
    loss = fused(Objective(divergence, 0.5), student)
    loss.total.backward()
    assert loss.total.item() == 0.0
    assert loss.cross_entropy.item() == 0.0
    assert student.hidden.grad is not None
    assert student.head.weight.grad is not None
    assert student.head.weight.grad.abs().sum() == 0.0


@every_divergence
def test_float32_is_as_good_as_its_precision(divergence: str) -> None:
    exact = make_student(30, 400, 16, scale=0.5)
    objective = Objective(divergence, 0.7, temperature=2.0)
    single = cast(exact, torch.float32)
    loss = fused(objective, single.trainable(), chunk_rows=7)
    dense = exact.trainable().dense_total(objective)
    assert loss.total.dtype == torch.float32
    assert loss.total.item() == pytest.approx(dense.item(), rel=2e-5)
    compare(loss.total, single, dense, exact, relative=2e-5)


@every_divergence
def test_a_half_precision_head(divergence: str) -> None:
    """The product h Wᵀ is rounded to eight bits, which is the model's own precision; what follows is not."""
    exact = cast(cast(make_student(30, 400, 16, scale=0.5), torch.bfloat16), torch.float64)
    half = replace(cast(exact, torch.bfloat16), weights=exact.weights.float())
    half = replace(half, hidden=half.hidden.float())
    objective = Objective(divergence, 0.7, temperature=2.0)
    loss = fused(objective, half.trainable(), chunk_rows=7)
    (hidden, weight, _) = torch.autograd.grad(loss.total, half.leaves(), retain_graph=True)
    assert (loss.total.dtype, hidden.dtype, weight.dtype) == (torch.float32, torch.float32, torch.bfloat16)
    dense = exact.trainable().dense_total(objective)
    assert loss.total.item() == pytest.approx(dense.item(), rel=2e-2)
    compare(loss.total, half, dense, exact, relative=2e-2)


def cast(student: Student, dtype: torch.dtype) -> Student:
    bias = None if student.head.bias is None else student.head.bias.detach().to(dtype)
    return Student(
        student.hidden.detach().to(dtype),
        replace(student.head, weight=student.head.weight.detach().to(dtype), bias=bias),
        student.targets,
        student.weights.to(dtype),
        GivenLogits(student.teacher.every.to(dtype)),
    )


def compare(total: Tensor, student: Student, dense: Tensor, exact: Student, relative: float) -> None:
    """Gradients in the sense of their norms: single entries may be differences of much larger ones."""
    gradients = torch.autograd.grad(total, student.leaves())
    for ours, theirs in zip(gradients, torch.autograd.grad(dense, exact.leaves()), strict=True):
        assert (ours.double() - theirs).norm() < relative * theirs.norm()


def test_autocast_does_not_change_the_heads_precision() -> None:
    student = cast(make_student(), torch.float32).trainable()
    plain = fused(Objective("jsd", 0.5), student).total
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert fused(Objective("jsd", 0.5), student).total.item() == plain.item()


def test_float16_gradients_do_not_vanish_under_small_weights() -> None:
    """A token's weight is one over the tokens of a window: together with a probability less than float16 can hold."""
    exact = make_student(8, 300, 16)
    half = replace(cast(exact, torch.float16), weights=torch.full((8,), 1e-6))
    hidden = half.hidden.float().requires_grad_()
    total = fused(Objective("forward_kl", 1.0), replace(half, hidden=hidden)).total
    (gradient,) = torch.autograd.grad(total, hidden)
    exact = replace(exact, weights=torch.full((8,), 1e-6, dtype=torch.float64)).trainable()
    (expected,) = torch.autograd.grad(exact.dense_total(Objective("forward_kl", 1.0)), [exact.hidden])
    assert (gradient.double() - expected).norm() < 2e-2 * expected.norm()


@every_divergence
def test_only_what_wants_a_gradient_gets_one(divergence: str) -> None:
    student = make_student()
    objective = Objective(divergence, 0.5)
    assert not fused(objective, student).total.requires_grad
    student.hidden.requires_grad_()
    fused(objective, student).total.backward()
    assert student.hidden.grad is not None
    assert student.head.weight.grad is None
    trained = make_student().trainable()
    with torch.no_grad():
        silent = fused(objective, trained)
    torch.testing.assert_close(silent.total, fused(objective, trained).total.detach())
    assert not silent.total.requires_grad


def test_a_loss_is_scaled_like_any_other() -> None:
    student = make_student().trainable()
    plain = torch.autograd.grad(fused(Objective("jsd", 0.5), student).total, student.leaves())
    scaled = torch.autograd.grad(fused(Objective("jsd", 0.5), student).total * -3.0, student.leaves())
    for one, other in zip(plain, scaled, strict=True):
        torch.testing.assert_close(-3.0 * one, other)


def test_tokens_that_cannot_be_said() -> None:
    """A teacher with -inf logits: finite where the divergence is, infinite where it is, harmless where it weighs 0."""
    student = make_student().trainable()
    student.teacher.every[:, 4] = -math.inf
    for divergence in ("forward_kl", "jsd", "skew_kl", "skew_reverse_kl", "total_variation"):
        assert_fused_is_dense(Objective(divergence, 0.5), student)
    assert fused(Objective("reverse_kl", 0.5), student).total.item() == math.inf
    measured = fused(Objective("reverse_kl", 0.0), student)
    assert measured.divergence.item() == math.inf
    assert math.isfinite(measured.total.item())
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(measured.total, student.leaves()))


@every_divergence
def test_what_is_no_number_stays_none(divergence: str) -> None:
    student = make_student()
    student.hidden[2, 0] = math.nan
    assert math.isnan(fused(Objective(divergence, 1.0), student).total.item())


@pytest.mark.parametrize("divergence", [*DIVERGENCES])
def test_a_student_that_equals_its_teacher_has_nothing_to_learn(divergence: str) -> None:
    student = make_student().trainable()
    with torch.no_grad():
        student = replace(student, teacher=GivenLogits(student.head.logits(student.hidden)))
    loss = fused(Objective(divergence, 1.0, temperature=2.0), student)
    assert abs(loss.total.item()) < 1e-14
    for gradient in torch.autograd.grad(loss.total, student.leaves()):
        assert gradient.abs().max() < 1e-14


@given(spread=st.floats(0.1, 30), seed=st.integers(0, 99), share=st.floats(0.01, 0.99))
@settings(max_examples=50, deadline=None)
def test_bounds(spread: float, seed: int, share: float) -> None:
    student = make_student(seed=seed, scale=spread)
    ones = replace(student, weights=torch.ones_like(student.weights))
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    bounds = {
        Objective("jsd", 1.0, settings={"beta": share}): entropy,
        Objective("skew_kl", 1.0, settings={"skew": share}): -math.log(share),
        Objective("skew_reverse_kl", 1.0, settings={"skew": share}): -math.log(share),
        Objective("total_variation", 1.0): 1.0,
        Objective("forward_kl", 1.0): math.inf,
        Objective("reverse_kl", 1.0): math.inf,
        Objective("adaptive_kl", 1.0): math.inf,
    }
    for objective, bound in bounds.items():
        for token in range(3):
            value = fused(objective, ones.rows(slice(token, token + 1))).total.item()
            assert -1e-12 <= value <= bound + 1e-12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden": torch.zeros(13, 4, dtype=torch.float64)}, r"must be \[tokens, 5\] for this head, not \[13, 4\]"),
        ({"targets": torch.full((13,), 19)}, "target 19 is no index of 19 logits"),
        ({"targets": torch.zeros(12, dtype=torch.int64)}, r"13 tokens need as many targets, not \[12\]"),
        ({"weights": torch.zeros(12)}, r"13 tokens need as many weights, not \[12\]"),
        ({"teacher": None}, "jsd compares with a teacher, but none was given"),
        ({"teacher": GivenLogits(torch.zeros(13, 18))}, r"teacher gave logits \[13, 18\] where .* has \[13, 19\]"),
    ],
)
def test_refuses_what_does_not_fit(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ObjectiveError, match=message):
        fused(Objective("jsd", 0.5), replace(make_student(), **change))


def test_refuses_chunks_of_nothing() -> None:
    with pytest.raises(ObjectiveError, match="chunk_rows must be positive, not 0"):
        fused(Objective("none", 0.0), make_student(), chunk_rows=0)


def test_equals_trl(trl_jsd: Callable[..., Tensor]) -> None:
    student = make_student(13, 211, 8, scale=0.5).trainable()
    even = replace(student, weights=torch.full((13,), 1 / 13, dtype=torch.float64))
    logits = even.head.logits(even.hidden)
    theirs = trl_jsd(logits[None], even.teacher.every[None], beta=0.3, temperature=2.0, num_items_in_batch=13)
    ours = fused(Objective("jsd", 1.0, temperature=2.0, settings={"beta": 0.3}), even, chunk_rows=5).total
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-9)
    expected = torch.autograd.grad(theirs, even.leaves())
    for gradient, other in zip(torch.autograd.grad(ours, even.leaves()), expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-6, atol=1e-9)


def test_a_shared_part_of_the_vocabulary() -> None:
    """Only the first rows of the head take part, and only they have a gradient."""
    student = make_student().trainable()
    part = student.head.first_rows(15)
    shared = replace(student, targets=student.targets % 15, teacher=GivenLogits(student.teacher.every[:, :15]))
    loss = fused_loss(Objective("forward_kl", 0.5), shared.hidden, part, shared.targets, shared.weights, shared.teacher)
    cut = replace(shared, head=part)
    torch.testing.assert_close(loss.total, cut.dense_total(Objective("forward_kl", 0.5)))
    (gradient,) = torch.autograd.grad(loss.total, [student.head.weight])
    assert gradient.shape == (19, 5)
    assert gradient[15:].abs().sum() == 0.0
    assert gradient[:15].abs().sum() > 0.0
    assert isinstance(part, Head)

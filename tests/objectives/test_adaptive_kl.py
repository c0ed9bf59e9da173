"""Adaptive KL against its definition written out token by token, and the size of the head it finds."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import rel_entr, softmax
from torch import Tensor

from kdscope.objectives.adaptive_kl import adaptive_kl
from kdscope.objectives.forward_kl import forward_kl
from kdscope.objectives.reverse_kl import reverse_kl

Draw = Callable[..., tuple[Tensor, Tensor]]
Array = np.ndarray


def head_weight(p: Array, q: Array, head_mass: float) -> float:
    """g_h / (g_h + g_t) of one row: tokens enter the head from the likeliest on, until the mass is reached."""
    mass, head = 0.0, []
    for token in sorted(range(len(p)), key=lambda token: -p[token]):
        if mass >= head_mass and p[token] < p[head[-1]]:
            break
        head.append(token)
        mass += p[token]
    gaps = np.abs(p - q)
    return float(gaps[head].sum() / gaps.sum())


def by_definition(teacher: Tensor, student: Tensor, head_mass: float, temperature: float) -> list[float]:
    values = []
    for p, q in zip(
        softmax(teacher.numpy() / temperature, -1), softmax(student.numpy() / temperature, -1), strict=True
    ):
        weight = head_weight(p, q, head_mass)
        values.append(weight * rel_entr(p, q).sum() + (1 - weight) * rel_entr(q, p).sum())
    return values


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("head_mass", [0.1, 0.5, 0.9, 0.999])
def test_is_its_definition(head_mass: float, temperature: float, draw: Draw) -> None:
    teacher, student = draw(tokens=30, vocabulary=40)
    ours = adaptive_kl(teacher, student, head_mass=head_mass, temperature=temperature)
    np.testing.assert_allclose(ours, by_definition(teacher, student, head_mass, temperature), rtol=1e-10)


@pytest.mark.parametrize("spread", [0.05, 0.5, 3.0])
def test_heads_larger_than_the_first_look(spread: float, draw: Draw) -> None:
    """Flat rows, whose heads hold hundreds and thousands of tokens, beside peaked ones."""
    teacher, student = draw(tokens=6, vocabulary=3000, spread=spread)
    teacher[::2, 5] += 12.0
    ours = adaptive_kl(teacher, student, head_mass=0.7)
    np.testing.assert_allclose(ours, by_definition(teacher, student, 0.7, 1.0), rtol=1e-9)


def test_tokens_as_likely_as_the_last_of_the_head_belong_to_it() -> None:
    teacher = torch.zeros(1, 500, dtype=torch.float64)
    teacher[0, 7] = 3.0
    student = torch.arange(500, dtype=torch.float64)[None] / 100
    everything = adaptive_kl(teacher, student, head_mass=0.2)
    torch.testing.assert_close(everything, forward_kl(teacher, student))
    moved = torch.randperm(500, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(adaptive_kl(teacher[:, moved], student[:, moved], head_mass=0.2), everything)


def test_the_weights_are_constants_of_the_gradient(draw: Draw) -> None:
    teacher, student = draw(tokens=9, vocabulary=30)
    student.requires_grad_()
    p, q = (softmax(logits.detach().numpy() / 2.0, -1) for logits in (teacher, student))
    weights = torch.tensor([head_weight(a, b, 0.5) for a, b in zip(p, q, strict=True)], dtype=torch.float64)
    mixed = weights * forward_kl(teacher, student, temperature=2.0)
    mixed = mixed + (1 - weights) * reverse_kl(teacher, student, temperature=2.0)
    (expected,) = torch.autograd.grad(mixed.sum(), student)
    (gradient,) = torch.autograd.grad(adaptive_kl(teacher, student, temperature=2.0).sum(), student)
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-14)


@given(
    logits=arrays(np.float64, (2, 3, 6), elements=st.floats(-30, 30)),
    head_mass=st.floats(0.01, 0.99),
    temperature=st.floats(0.3, 8),
)
@settings(max_examples=60, deadline=None)
def test_lies_between_forward_and_reverse(logits: Array, head_mass: float, temperature: float) -> None:
    teacher, student = torch.from_numpy(logits)
    value = adaptive_kl(teacher, student, head_mass=head_mass, temperature=temperature)
    ends = torch.stack([kl(teacher, student, temperature=temperature) for kl in (forward_kl, reverse_kl)])
    slack = 1e-9 * (1.0 + ends.amax(0))
    assert (value >= ends.amin(0) - slack).all()
    assert (value <= ends.amax(0) + slack).all()


def test_infinite_like_reverse_kl_where_the_teacher_cannot_say_a_token(draw: Draw) -> None:
    teacher, student = draw()
    teacher[:, 2] = -math.inf
    assert adaptive_kl(teacher, student).isposinf().all()
    student[:, 2] = -math.inf
    without = [token for token in range(teacher.shape[1]) if token != 2]
    expected = adaptive_kl(teacher[:, without], student[:, without])
    torch.testing.assert_close(adaptive_kl(teacher, student), expected)

"""A head's logits, its first rows, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from kdscope.core.errors import ObjectiveError
from kdscope.objectives import Head


def test_is_a_linear_layer() -> None:
    layer = nn.Linear(6, 11)
    hidden = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Head(layer.weight, layer.bias).logits(hidden), layer(hidden))


def test_scale_and_softcap() -> None:
    head = Head(torch.tensor([[1.0], [2.0]]), torch.tensor([0.5, 0.0]), scale=3.0, softcap=10.0)
    expected = [10 * math.tanh(3 * (2 + 0.5) / 10), 10 * math.tanh(3 * 4 / 10)]
    assert head.logits(torch.tensor([[2.0]])).tolist() == [pytest.approx(expected)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_multiplies_as_it_is_and_answers_in_float32(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, hidden = torch.randn(9, 64, generator=generator).to(dtype), torch.randn(5, 64, generator=generator)
    logits = Head(weight, scale=0.5).logits(hidden)
    assert logits.dtype == torch.float32
    exact = 0.5 * (hidden.to(dtype).double() @ weight.double().T)
    torch.testing.assert_close(logits.double(), exact, rtol=2 * torch.finfo(dtype).eps, atol=1e-2)


def test_the_first_rows_are_those_of_the_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    head = Head(torch.randn(7, 3, generator=generator), torch.randn(7, generator=generator), scale=2.0, softcap=5.0)
    hidden = torch.randn(4, 3, generator=generator)
    torch.testing.assert_close(head.first_rows(5).logits(hidden), head.logits(hidden)[:, :5])
    assert head.first_rows(7) is head
    for count in (0, 8):
        with pytest.raises(ObjectiveError, match=f"7 tokens has no first {count}"):
            head.first_rows(count)


def test_the_gradient_reaches_a_head_that_was_cut() -> None:
    weight = torch.ones(4, 2, requires_grad=True)
    Head(weight).first_rows(3).logits(torch.ones(1, 2)).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[1.0, 1.0]] * 3 + [[0.0, 0.0]]


def test_refuses_what_is_no_head() -> None:
    with pytest.raises(ObjectiveError, match=r"not \[4\]"):
        Head(torch.zeros(4))
    with pytest.raises(ObjectiveError, match=r"\[4, 2\] with a bias \[2\]"):
        Head(torch.zeros(4, 2), torch.zeros(2))
    with pytest.raises(ObjectiveError, match="softcap must be positive, not 0"):
        Head(torch.zeros(4, 2), softcap=0.0)

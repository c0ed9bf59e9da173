"""Cross-entropy with the reference tokens."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import Tensor

from kdscope.core.errors import ObjectiveError
from kdscope.objectives.objective import cross_entropy

Draw = Callable[..., tuple[Tensor, Tensor]]


def test_agrees_with_scipy(draw: Draw) -> None:
    logits, _ = draw(tokens=9, vocabulary=40)
    targets = torch.arange(9) * 4
    expected = -log_softmax(logits.numpy(), axis=-1)[np.arange(9), targets.numpy()]
    np.testing.assert_allclose(cross_entropy(logits, targets), expected, rtol=1e-12)


def test_gradient(draw: Draw) -> None:
    logits, _ = draw(tokens=3, vocabulary=5)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: cross_entropy(z, torch.tensor([0, 4, 2])), (logits,))


def test_half_precision_is_computed_in_float32(draw: Draw) -> None:
    logits = draw(tokens=4, vocabulary=3000)[0].to(torch.bfloat16)
    targets = torch.arange(4)
    values = cross_entropy(logits, targets)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values.double(), cross_entropy(logits.double(), targets), rtol=1e-6, atol=1e-6)


def test_huge_logits_do_not_overflow() -> None:
    assert cross_entropy(torch.tensor([[3e4, 0.0]]), torch.tensor([1])).item() == 3e4


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (torch.tensor([0, -100]), "target -100 is no index of 3 logits"),
        (torch.tensor([3, 0]), "target 3 is no index"),
        (torch.tensor([0]), "2 tokens need as many targets, not \\[1\\]"),
        (torch.tensor([0, 1], dtype=torch.int32), "int64"),
    ],
)
def test_refuses_targets_that_are_no_tokens(targets: Tensor, message: str) -> None:
    with pytest.raises(ObjectiveError, match=message):
        cross_entropy(torch.zeros(2, 3), targets)


def test_refuses_logits_of_another_shape() -> None:
    with pytest.raises(ObjectiveError, match=r"not \[1, 2, 3\]"):
        cross_entropy(torch.zeros(1, 2, 3), torch.zeros(1, dtype=torch.int64))


def test_no_tokens_no_values() -> None:
    assert cross_entropy(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)).shape == (0,)

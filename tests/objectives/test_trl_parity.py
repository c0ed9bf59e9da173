"""The generalised Jensen-Shannon divergence is the one TRL trains with, value and gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from kdscope.objectives.jsd import jsd

Draw = Callable[..., tuple[Tensor, Tensor]]


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_equals_trl(beta: float, temperature: float, trl_jsd: Any, draw: Draw) -> None:
    teacher, student = draw(tokens=13, vocabulary=211)
    ours, theirs = student.clone().requires_grad_(), student.clone().requires_grad_()
    loss = jsd(teacher, ours, beta=beta, temperature=temperature).mean()
    reference = trl_jsd(theirs[None], teacher[None], beta=beta, temperature=temperature, num_items_in_batch=13)
    loss.backward()
    reference.backward()
    assert loss.item() == pytest.approx(reference.item(), abs=1e-6)
    assert ours.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-6)


def test_equals_trl_in_float32_with_padding(trl_jsd: Any, draw: Draw) -> None:
    teacher, student = (logits.float() for logits in draw(tokens=10, vocabulary=97))
    target = torch.arange(10) % 3 != 0
    labels = torch.where(target, 1, -100)
    theirs = trl_jsd(student[None], teacher[None], labels=labels[None], num_items_in_batch=int(target.sum()))
    assert jsd(teacher[target], student[target]).mean().item() == pytest.approx(theirs.item(), abs=1e-6)

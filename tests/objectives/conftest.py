"""Logits for the objectives: the hand-worked example of the methods, and random ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

Draw = Callable[..., tuple[Tensor, Tensor]]


@pytest.fixture
def worked_example() -> tuple[Tensor, Tensor]:
    """Teacher and student logits [1, 4] whose divergences were worked out in float64 by hand."""
    teacher = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
    student = torch.tensor([[0.5, 1.0, 1.5, -0.5]], dtype=torch.float64)
    return teacher, student


@pytest.fixture
def draw() -> Draw:
    """A function (tokens, vocabulary, spread) -> random teacher and student logits, float64."""

    def logits(tokens: int = 7, vocabulary: int = 11, spread: float = 3.0, seed: int = 0) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        both = torch.randn(2, tokens, vocabulary, generator=generator, dtype=torch.float64) * spread
        return both[0], both[1]

    return logits


@pytest.fixture(scope="session")
def trl_jsd() -> Any:
    """TRL's function; importing TRL warns of things that are none of our business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("trl.experimental.gkd").GKDTrainer.generalized_jsd_loss

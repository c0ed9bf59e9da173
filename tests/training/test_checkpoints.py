"""The step that each rule keeps, on logs written by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from kdscope.training.checkpoints import kept_step, measured_at


def log(*measured: tuple[float | None, float | None]) -> list[dict[str, Any]]:
    """A row a step: validation loss and validation accuracy."""
    return [
        {"step": step, "validation_loss": loss, "validation_accuracy": accuracy}
        for step, (loss, accuracy) in enumerate(measured, 1)
    ]


LOG = log((0.3, 0.4), (None, None), (0.2, 0.6), (0.2, 0.6), (0.5, 0.1), (None, None))


@pytest.mark.parametrize(("rule", "step"), [("last", 6), ("best_accuracy", 4), ("best_loss", 3)])
def test_accuracy_goes_to_the_later_of_equals_and_loss_to_the_earlier(rule: str, step: int) -> None:
    assert kept_step(rule, LOG) == step


@pytest.mark.parametrize("rule", ["last", "best_accuracy", "best_loss"])
def test_nothing_is_kept_of_an_empty_log(rule: str) -> None:
    assert kept_step(rule, []) is None


@pytest.mark.parametrize("rule", ["best_accuracy", "best_loss"])
def test_what_was_not_measured_is_not_compared(rule: str) -> None:
    assert kept_step(rule, log((None, None), (None, None))) is None


def test_a_loss_that_is_no_number_is_never_kept() -> None:
    assert kept_step("best_loss", log((math.inf, None), (math.nan, None), (9.0, None), (math.nan, None))) == 3
    assert kept_step("best_loss", log((math.nan, None))) is None


def test_an_accuracy_of_zero_is_a_score() -> None:
    assert kept_step("best_accuracy", log((0.1, 0.0), (0.1, 0.0))) == 2


def test_what_was_measured_at_a_step() -> None:
    assert measured_at(3, "validation_loss", LOG) == 0.2
    assert measured_at(2, "validation_loss", LOG) is None
    assert measured_at(9, "validation_loss", LOG) is None

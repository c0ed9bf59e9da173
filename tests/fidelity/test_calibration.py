"""Calibration against loops over bins and numbers worked out by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.calibration import pair_confidences
from kdscope.fidelity.measures import values_of


def calibration(sure: list[float], right: list[bool], bins: int = 10) -> SimpleNamespace:
    """The measures of one model, paired with itself."""
    return SimpleNamespace(**values_of(pair_confidences(sure, sure, right, right, bins=bins)))


ITEMS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30)


def error_by_loops(sure: list[float], right: list[bool], bins: int) -> float:
    """Guo 2017, equation 3: bin m holds the confidences in ((m - 1) / M, m / M]."""
    total = 0.0
    for m in range(1, bins + 1):
        here = [i for i, c in enumerate(sure) if (m - 1) < c * bins <= m or (m == 1 and c == 0)]
        if here:
            total += len(here) * abs(np.mean([right[i] for i in here]) - np.mean([sure[i] for i in here]))
    return total / len(sure)


@given(ITEMS, st.integers(1, 12))
def test_expected_calibration_error_by_loops(items: list[tuple[float, bool]], bins: int) -> None:
    sure, right = (list(side) for side in zip(*items, strict=True))
    assert calibration(sure, right, bins=bins).ece == pytest.approx(error_by_loops(sure, right, bins), abs=1e-12)


@given(ITEMS)
def test_brier_and_log_loss_are_statements_about_single_items(items: list[tuple[float, bool]]) -> None:
    sure, right = (list(side) for side in zip(*items, strict=True))
    found = calibration(sure, right)
    assert found.brier == pytest.approx(np.mean([(c - r) ** 2 for c, r in items]))
    given_ = [c if r else 1 - c for c, r in items]
    if min(given_) > 1e-300:
        assert found.nll == pytest.approx(np.mean([-math.log(p) for p in given_]))
    else:
        assert math.isfinite(found.nll), "sure and wrong is the largest finite surprise"


def test_worked_out_by_hand() -> None:
    """Bins (.5, .6] and (.8, .9]: |.55 - 1/2| of two items and |.9 - 1/3| of three."""
    found = calibration([0.55, 0.55, 0.9, 0.9, 0.9], [1, 0, 1, 0, 0])
    assert found.ece == pytest.approx((2 * 0.05 + 3 * (0.9 - 1 / 3)) / 5)
    assert found.brier == pytest.approx((0.45**2 + 0.55**2 + 0.1**2 + 2 * 0.9**2) / 5)


@given(st.lists(st.tuples(*[st.floats(0, 1), st.booleans()] * 2), min_size=1, max_size=20))
def test_gaps_are_differences_of_the_two_models(items: list[tuple[float, bool, float, bool]]) -> None:
    t_sure, t_right, s_sure, s_right = (list(side) for side in zip(*items, strict=True))
    found = values_of(pair_confidences(t_sure, s_sure, t_right, s_right))
    student, teacher = vars(calibration(s_sure, s_right)), vars(calibration(t_sure, t_right))
    for name in ("ece", "brier", "nll"):
        assert found[name] == pytest.approx(student[name], abs=1e-12)
        assert found[f"{name}_gap"] == pytest.approx(student[name] - teacher[name], abs=1e-9)
    assert found["confidence_distance"] == pytest.approx(np.mean(np.abs(np.subtract(s_sure, t_sure))))


def test_a_model_is_calibrated_like_itself() -> None:
    sure, right = [0.2, 0.9, 0.6], [0, 1, 0]
    found = values_of(pair_confidences(sure, sure, right, right))
    assert {name: found[name] for name in found if name.endswith(("_gap", "_distance"))} == {
        "ece_gap": 0.0,
        "brier_gap": 0.0,
        "nll_gap": 0.0,
        "confidence_distance": 0.0,
    }


@pytest.mark.parametrize(
    ("sure", "right"), [([], []), ([0.5], [1, 0]), ([1.1], [1]), ([-0.1], [1]), ([math.nan], [1]), ([0.5], [2])]
)
def test_what_is_no_confidence_is_refused(sure: list[float], right: list[int]) -> None:
    with pytest.raises(StatisticsError):
        calibration(sure, right)


def test_other_refusals() -> None:
    with pytest.raises(StatisticsError, match="different numbers"):
        pair_confidences([0.5], [0.5, 0.5], [1], [1, 0])
    with pytest.raises(StatisticsError, match="bin"):
        calibration([0.5], [1], bins=0)

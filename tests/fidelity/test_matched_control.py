"""The control carried over to another accuracy: against scipy's normal integral, and planted latent correlations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import multivariate_normal

from kdscope.fidelity import agreement_beyond_matched_control, pair_answers, resample
from kdscope.fidelity.bootstrap import ResampledSums, join_columns, select_columns
from kdscope.fidelity.matched_control import COLUMNS, both_above, tetrachoric
from kdscope.fidelity.measures import columns


@pytest.mark.parametrize("correlation", [-0.97, -0.4, 0.0, 0.3, 0.8, 0.98])
@pytest.mark.parametrize(("first", "second"), [(0.5, 0.5), (0.81, 0.6), (0.02, 0.97)])
def test_the_joint_share_is_that_of_scipy(first: float, second: float, correlation: float) -> None:
    normal = multivariate_normal([0, 0], [[1, correlation], [correlation, 1]])
    expected = normal.cdf([ndtri(first), ndtri(second)])
    found = both_above(*(np.float64(x) for x in (first, second, correlation)))
    assert found == pytest.approx(expected, abs=1e-8)


def test_the_correlation_comes_back() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.uniform(0.1, 0.9, (2, 500))
    planted = rng.uniform(-0.9, 0.9, 500)
    assert tetrachoric(both_above(first, second, planted), first, second) == pytest.approx(planted, abs=1e-4)


def test_equal_halves_have_the_closed_form() -> None:
    """P(X < 0, Y < 0) = 1/4 + arcsin(r) / (2 pi) (Sheppard 1899)."""
    share = np.float64(0.25 + np.arcsin(0.6) / (2 * np.pi))
    assert tetrachoric(share, np.float64(0.5), np.float64(0.5)) == pytest.approx(0.6)


def test_what_does_not_vary_has_no_correlation() -> None:
    assert tetrachoric(np.array([0.3, 0.0]), np.array([0.3, 0.0]), np.array([1.0, 0.4])).tolist() == [0.0, 0.0]


def beyond(teacher: np.ndarray, student: np.ndarray, control: np.ndarray, draws: int = 2) -> float:
    sums: dict[str, dict[str, ResampledSums]] = {}
    for role, own in (("student", student), ("control", control)):
        pairing = pair_answers(teacher, own, teacher == 0, own == 0)
        together = resample(pairing.paired(), [str(i) for i in range(len(teacher))], draws, 0)
        places = zip(pairing.measures, columns(pairing.measures), strict=True)
        sums[role] = {measure.name: select_columns(together, place) for measure, place in places}
    return agreement_beyond_matched_control([join_columns([sums[role][name] for role, name in COLUMNS])]).value


def models(accuracies: tuple[float, ...], n: int, mistakes: float, unparsed: float = 0.0) -> list[np.ndarray]:
    """Thresholds of a shared difficulty (half of the variance) and noise; wrong answers are a common mistake or 9."""
    rng = np.random.default_rng(1)
    difficulty = rng.normal(size=n)
    found = []
    for number, accuracy in enumerate(accuracies):
        right = np.sqrt(0.5) * (difficulty + rng.normal(size=n)) < ndtri(accuracy)
        own = np.where(right, 0, np.where(rng.random(n) < mistakes, 1, 10 + number))
        found.append(np.where(rng.random(n) < (unparsed if number else 0.0), -1, own))
    return found


@pytest.mark.parametrize("accuracies", [(0.81, 0.75, 0.6), (0.81, 0.45, 0.3), (0.9, 0.9, 0.5), (0.6, 0.5, 0.8)])
@pytest.mark.parametrize(("mistakes", "unparsed"), [(0.0, 0.0), (0.5, 0.0), (0.5, 0.2)])
def test_a_student_that_shares_difficulty_only_has_nothing_beyond(
    accuracies: tuple[float, ...], mistakes: float, unparsed: float
) -> None:
    teacher, student, control = models(accuracies, 60_000, mistakes, unparsed)
    assert beyond(teacher, student, control) == pytest.approx(0, abs=0.008), "four standard errors of 60,000 items"


def test_a_copier_has_what_it_copies() -> None:
    teacher, student, control = models((0.81, 0.6, 0.6), 60_000, 0.0)
    copied = np.where(np.random.default_rng(2).random(60_000) < 0.2, teacher, student)
    right = both_above(np.float64(0.81), np.float64(0.6), np.float64(0.5))
    accuracy = 0.2 * 0.81 + 0.8 * 0.6
    expected = 0.2 + 0.8 * right - both_above(np.float64(0.81), np.float64(accuracy), np.float64(0.5))
    assert beyond(teacher, copied, control) == pytest.approx(float(expected), abs=0.008)


def test_the_control_itself_has_nothing_beyond() -> None:
    teacher, _, control = models((0.81, 0.6, 0.6), 400, 0.4, 0.1)
    assert beyond(teacher, control, control) == pytest.approx(0, abs=1e-6)

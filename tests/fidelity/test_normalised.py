"""The normalised score: a student that copies its teacher with probability p scores p."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kdscope.fidelity import Estimate, Normalised, encode_answers, estimate, normalise, pair_answers, resample
from kdscope.fidelity.bootstrap import select_columns
from kdscope.fidelity.measures import columns


def answers(rng: np.random.Generator, n: int, accuracy: float, options: int) -> np.ndarray:
    """Answers to n items whose right answer is 0; wrong ones are uniform."""
    return np.where(rng.random(n) < accuracy, 0, rng.integers(1, options, n))


def planted(rng: np.random.Generator, p: float, n: int, draws: int) -> Normalised:
    """A student that copies its teacher with probability p and else answers independently of it.

    Its control answers independently too, with the same accuracy; the ceiling is the teacher's own answers. Then the
    expected agreements are c for the control, 1 for the ceiling and p + (1 - p) c for the student: normalised, p.
    """
    teacher, own, control = (answers(rng, n, accuracy, 5) for accuracy in (0.7, 0.5, 0.5))
    student = np.where(rng.random(n) < p, teacher, own)
    found = [pair_answers(teacher, other, teacher == 0, other == 0) for other in (student, control, teacher)]
    cut = columns(found[0].measures)[0]
    width = cut.stop - cut.start
    together = np.hstack([pairing.paired()[:, cut] for pairing in found])
    sums = resample(together, [str(i) for i in range(n)], draws, int(rng.integers(1 << 32)))
    parts = [select_columns(sums, slice(i * width, (i + 1) * width)) for i in range(3)]
    return normalise(*(estimate(found[0].measures[:1], [part]) for part in parts), 1)


def coverage(p: float, simulations: int, n: int, draws: int) -> float:
    found = [planted(np.random.default_rng([17, i]), p, n, draws) for i in range(simulations)]
    return float(np.mean([score.low <= p <= score.high for score in found]))


def test_the_interval_recovers_a_planted_student() -> None:
    """Of 200 intervals that hold their value 95% of the time, 182 to 197 do (99.7% of all sets of 200)."""
    assert 0.91 <= coverage(0.4, simulations=200, n=200, draws=400) <= 0.985


@pytest.mark.slow
@pytest.mark.parametrize("p", [0.1, 0.4, 0.8])
def test_the_interval_recovers_a_planted_student_at_its_level(p: float) -> None:
    assert 0.93 <= coverage(p, simulations=1000, n=400, draws=1000) <= 0.97


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_a_large_planted_student_is_measured_closely(p: float) -> None:
    score = planted(np.random.default_rng(1), p, n=20_000, draws=200)
    assert score.reason == ""
    assert score.value == pytest.approx(p, abs=0.03)


def fixed(value: float, spread: float = 0.01, seed: int = 0) -> Estimate:
    rng = np.random.default_rng(seed)
    return Estimate(value, value + spread * rng.normal(size=999), value + spread / 30 * rng.normal(size=99))


def test_the_score_is_the_place_between_control_and_ceiling() -> None:
    assert normalise(fixed(0.5), fixed(0.4), fixed(0.9), 1).value == pytest.approx(0.2)
    assert normalise(fixed(0.5), fixed(0.6), fixed(0.1), -1).value == pytest.approx(0.2)
    assert normalise(fixed(0.4), fixed(0.4), fixed(0.9), 1).value == 0.0
    assert normalise(fixed(0.9), fixed(0.4), fixed(0.9), 1).value == 1.0
    assert normalise(fixed(0.3), fixed(0.4), fixed(0.9), 1).value == pytest.approx(-0.2), "less alike than the control"


@pytest.mark.parametrize(
    ("control", "ceiling", "direction", "reason"),
    [
        (None, fixed(0.9), 1, "no control"),
        (fixed(0.4), None, 1, "no ceiling"),
        (None, None, 1, "no control and no ceiling"),
        (None, None, 0, "neither more nor less of it is more like the teacher"),
        (fixed(0.4), fixed(math.nan), 1, "undefined for the ceiling"),
        (fixed(0.4), fixed(0.39), 1, "the ceiling is not clearly beyond the control"),
        (fixed(0.4), fixed(0.41, seed=1), 1, "the ceiling is not clearly beyond the control"),
        (fixed(0.4), fixed(0.9), -1, "the ceiling is not clearly beyond the control"),
        (fixed(0.4, 0.0), fixed(0.4, 0.0), 1, "the ceiling is not clearly beyond the control"),
    ],
)
def test_no_score_without_a_reason(
    control: Estimate | None, ceiling: Estimate | None, direction: int, reason: str
) -> None:
    score = normalise(fixed(0.5), control, ceiling, direction)
    assert score.reason == reason
    assert all(math.isnan(number) for number in (score.value, score.low, score.high))


def test_an_undefined_student_is_named() -> None:
    assert normalise(fixed(math.nan), fixed(0.4), fixed(0.9), 1).reason == "undefined for the student"


def test_students_of_one_kind_are_encoded_alike() -> None:
    first, second = encode_answers([["7", None, "8"], ["8", "7", None]])
    assert (first.tolist(), second.tolist()) == ([0, -1, 1], [1, 0, -1])

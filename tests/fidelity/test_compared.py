"""Two students' fidelity compared: against brute-force resampling of items, and its own identities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr

from kdscope.core.errors import StatisticsError
from kdscope.fidelity import Estimate, answer_fidelity, compare_fidelity, estimate, pair_answers, resample
from kdscope.fidelity.bootstrap import select_columns
from kdscope.fidelity.measures import columns

MEASURE = "agreement_beyond_accuracy"
Answers = np.ndarray


def simulated(rng: np.random.Generator, n: int = 240) -> list[Answers]:
    """Answers of a teacher, two students, the first of which copies more, and two controls; the right one is 0."""
    own = [np.where(rng.random(n) < 0.6, 0, rng.integers(1, 5, n)) for _ in range(5)]
    teacher = own[0]
    copied = [
        np.where(rng.random(n) < share, teacher, alone) for share, alone in zip((0.5, 0.2), own[1:3], strict=True)
    ]
    return [teacher, *copied, *own[3:]]


def resampled(models: list[Answers], draws: int, seed: int) -> list[Estimate]:
    """The measure of each model but the first against the first."""
    teacher, *others = models
    pairings = [pair_answers(teacher, one, teacher == 0, one == 0) for one in others]
    measures = pairings[0].measures
    place = [m.name for m in measures].index(MEASURE)
    cut, width = columns(measures)[place], sum(m.width for m in measures)
    names = [str(i) for i in range(len(teacher))]
    together = resample(np.hstack([pairing.paired() for pairing in pairings]), names, draws, seed)
    parts = [slice(i * width + cut.start, i * width + cut.stop) for i in range(len(others))]
    return [estimate([measures[place]], [select_columns(together, part)]) for part in parts]


def beyond(teacher: Answers, student: Answers) -> float:
    return answer_fidelity(teacher.tolist(), student.tolist(), teacher == 0, student == 0).agreement_beyond_accuracy


@pytest.mark.parametrize("with_controls", [False, True])
def test_error_and_interval_are_those_of_items_drawn_again_one_by_one(with_controls: bool) -> None:
    rng = np.random.default_rng(3)
    models = simulated(rng)
    first, second, *controls = resampled(models, draws=3000, seed=0)
    found = compare_fidelity(first, second, margin=0.05, controls=(controls[0], controls[1]) if with_controls else None)

    def difference(items: Answers) -> float:
        teacher, *others = (model[items] for model in models)
        one, other, *alone = (beyond(teacher, model) for model in others)
        return one - other - ((alone[0] - alone[1]) if with_controls else 0.0)

    n = len(models[0])
    again = [difference(rng.integers(n, size=n)) for _ in range(1500)]
    assert found.difference == pytest.approx(difference(np.arange(n)))
    assert found.standard_error == pytest.approx(np.std(again), rel=0.06), "1,500 draws: 1.8% each way, thrice"
    low, high = np.quantile(again, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.2 * found.standard_error)


def fixed(value: float, error: float, seed: int) -> Estimate:
    """Draws of exactly this standard deviation."""
    draws = np.random.default_rng(seed).normal(size=2000)
    return Estimate(value, value + error * (draws - draws.mean()) / draws.std(ddof=1), np.array([value]))


def test_p_values_are_those_of_the_normal_distribution() -> None:
    nothing = Estimate(0.0, np.zeros(2000), np.zeros(1))
    found = compare_fidelity(fixed(0.03, 0.02, 0), nothing, margin=0.01)
    assert found.p_value == pytest.approx(2 * ndtr(-1.5))
    assert found.p_noninferiority == pytest.approx(ndtr(-2.0))
    assert (found.low, found.high) == pytest.approx((0.03 - 1.959964 * 0.02, 0.03 + 1.959964 * 0.02), rel=1e-5)
    less = compare_fidelity(fixed(0.03, 0.02, 0), nothing, margin=0.01, direction=-1)
    assert less.p_noninferiority == pytest.approx(ndtr(1.0)), "more of a divergence is less faithful"
    assert math.isnan(compare_fidelity(fixed(0.03, 0.02, 0), nothing, margin=0.01, direction=0).p_noninferiority)


def test_the_interval_excludes_nothing_exactly_where_p_is_below_five_percent() -> None:
    nothing = Estimate(0.0, np.zeros(2000), np.zeros(1))
    for value in (0.038, 0.0391, 0.0393, 0.045):
        found = compare_fidelity(fixed(value, 0.02, 1), nothing, margin=0.01)
        assert (found.low > 0) == (found.p_value < 0.05)


def test_swapping_the_two_mirrors_the_comparison() -> None:
    first, second, *_ = resampled(simulated(np.random.default_rng(5)), draws=500, seed=1)
    one, other = compare_fidelity(first, second, margin=0.05), compare_fidelity(second, first, margin=0.05)
    assert (one.difference, one.low) == pytest.approx((-other.difference, -other.high))
    assert one.p_value == pytest.approx(other.p_value)


def test_a_control_of_both_changes_nothing() -> None:
    first, second, control, _ = resampled(simulated(np.random.default_rng(5)), draws=500, seed=1)
    alone = compare_fidelity(first, second, margin=0.05)
    beside = compare_fidelity(first, second, margin=0.05, controls=(control, control))
    assert (beside.difference, beside.standard_error, beside.p_noninferiority) == pytest.approx(
        (alone.difference, alone.standard_error, alone.p_noninferiority)
    )


def test_nothing_is_said_of_a_student_and_itself() -> None:
    same = fixed(0.3, 0.02, 0)
    found = compare_fidelity(same, same, margin=0.01)
    assert found.difference == 0
    assert all(math.isnan(number) for number in (found.low, found.high, found.p_value, found.p_noninferiority))


@pytest.mark.parametrize(("keywords", "message"), [({"margin": 0.0}, "margin"), ({"confidence": 1.0}, "confidence")])
def test_settings_that_make_no_sense_are_refused(keywords: dict[str, float], message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        compare_fidelity(fixed(0.1, 0.01, 0), fixed(0.1, 0.01, 1), **({"margin": 0.01} | keywords))


def test_what_was_not_resampled_together_is_refused() -> None:
    other = Estimate(0.1, np.zeros(7), np.zeros(1))
    with pytest.raises(StatisticsError, match="resampled together"):
        compare_fidelity(fixed(0.1, 0.01, 0), other, margin=0.01)

"""Normalised scores and comparisons of two students: identities, coverage, and their gates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.agreement import encode_answers, pair_answers
from kdscope.fidelity.bootstrap import ResampledValue, estimate, resample, select_columns
from kdscope.fidelity.comparison import ABOVE_CEILING, Normalised, compare_fidelity, normalise
from kdscope.fidelity.measures import columns, values_of


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


def fixed(value: float, spread: float = 0.01, seed: int = 0) -> ResampledValue:
    rng = np.random.default_rng(seed)
    return ResampledValue(value, value + spread * rng.normal(size=999), value + spread / 30 * rng.normal(size=99))


def test_the_score_is_the_place_between_control_and_ceiling() -> None:
    assert normalise(fixed(0.5), fixed(0.4), fixed(0.9), 1).value == pytest.approx(0.2)
    assert normalise(fixed(0.5), fixed(0.6), fixed(0.1), -1).value == pytest.approx(0.2)
    assert normalise(fixed(0.4), fixed(0.4), fixed(0.9), 1).value == 0.0
    assert normalise(fixed(0.9), fixed(0.4), fixed(0.9), 1).value == 1.0
    assert normalise(fixed(0.3), fixed(0.4), fixed(0.9), 1).value == pytest.approx(-0.2), "less alike than the control"


def fieller_by_search(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """All t, on a grid, for which x - t y is within 1.96 standard errors of 0; x and y: value first, then draws."""
    grid = np.linspace(-5, 5, 100_001)
    moments = np.cov(x[1:], y[1:])
    spread = np.sqrt(moments[0, 0] - 2 * grid * moments[0, 1] + grid**2 * moments[1, 1])
    inside = grid[np.abs(x[0] - grid * y[0]) <= 1.959964 * spread]
    return float(inside.min()), float(inside.max())


def test_the_interval_is_all_scores_that_are_not_rejected() -> None:
    found, control, ceiling = fixed(0.5, 0.04), fixed(0.4, 0.04, seed=1), fixed(0.7, 0.04, seed=2)
    score = normalise(found, control, ceiling, 1)
    parts = [np.append(one.value, one.draws) for one in (found, control, ceiling)]
    expected = fieller_by_search(parts[0] - parts[1], parts[2] - parts[1])
    assert (score.low, score.high) == pytest.approx(expected, abs=2e-4)


def test_a_perfect_copy_is_the_teacher_itself_and_above_its_second_seed() -> None:
    itself, control, again = fixed(0.9), fixed(0.4, seed=1), fixed(0.7, seed=2)
    identity, second = normalise(itself, control, itself, 1), normalise(itself, control, again, 1)
    assert (identity.value, identity.reason) == (1.0, "")
    assert math.isnan(identity.low), "it does not vary"
    assert second.value == pytest.approx(5 / 3)
    assert second.reason == ABOVE_CEILING
    near = normalise(fixed(0.701), control, again, 1)
    assert near.value > 1
    assert near.reason == "", "above by chance, perhaps"
    fewer = normalise(fixed(0.1), fixed(0.6, seed=1), fixed(0.3, seed=2), -1)
    assert fewer.reason == ABOVE_CEILING, "where less is more alike"


@pytest.mark.parametrize("margin", [1.9, 2.0])
def test_a_score_is_shown_exactly_where_its_interval_is_bounded(margin: float) -> None:
    """The distance from control to ceiling, in its standard errors."""
    draws = fixed(0.0, 1.0).draws
    draws = (draws - draws.mean()) / draws.std(ddof=1)
    room = ResampledValue(margin, margin + draws, np.array([margin]))
    nothing = ResampledValue(0.0, np.zeros(999), np.zeros(1))
    score = normalise(fixed(0.5, seed=3), nothing, room, 1)
    assert math.isfinite(score.value) == math.isfinite(score.low) == (margin > 1.96)


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
    control: ResampledValue | None, ceiling: ResampledValue | None, direction: int, reason: str
) -> None:
    score = normalise(fixed(0.5), control, ceiling, direction)
    assert score.reason == reason
    assert all(math.isnan(number) for number in (score.value, score.low, score.high))


def test_an_undefined_student_is_named() -> None:
    assert normalise(fixed(math.nan), fixed(0.4), fixed(0.9), 1).reason == "undefined for the student"


def test_students_of_one_kind_are_encoded_alike() -> None:
    first, second = encode_answers([["7", None, "8"], ["8", "7", None]])
    assert (first.tolist(), second.tolist()) == ([0, -1, 1], [1, 0, -1])


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


def resampled(models: list[Answers], draws: int, seed: int) -> list[ResampledValue]:
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
    return values_of(pair_answers(teacher, student, teacher == 0, student == 0))[MEASURE]


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


def drawn_around(value: float, error: float, seed: int) -> ResampledValue:
    """Draws of exactly this standard deviation."""
    draws = np.random.default_rng(seed).normal(size=2000)
    return ResampledValue(value, value + error * (draws - draws.mean()) / draws.std(ddof=1), np.array([value]))


def test_p_values_are_those_of_the_normal_distribution() -> None:
    nothing = ResampledValue(0.0, np.zeros(2000), np.zeros(1))
    found = compare_fidelity(drawn_around(0.03, 0.02, 0), nothing, margin=0.01)
    assert found.p_value == pytest.approx(2 * ndtr(-1.5))
    assert found.p_noninferiority == pytest.approx(ndtr(-2.0))
    assert (found.low, found.high) == pytest.approx((0.03 - 1.959964 * 0.02, 0.03 + 1.959964 * 0.02), rel=1e-5)
    less = compare_fidelity(drawn_around(0.03, 0.02, 0), nothing, margin=0.01, direction=-1)
    assert less.p_noninferiority == pytest.approx(ndtr(1.0)), "more of a divergence is less faithful"
    assert math.isnan(compare_fidelity(drawn_around(0.03, 0.02, 0), nothing, margin=0.01, direction=0).p_noninferiority)


def test_the_interval_excludes_nothing_exactly_where_p_is_below_five_percent() -> None:
    nothing = ResampledValue(0.0, np.zeros(2000), np.zeros(1))
    for value in (0.038, 0.0391, 0.0393, 0.045):
        found = compare_fidelity(drawn_around(value, 0.02, 1), nothing, margin=0.01)
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
    same = drawn_around(0.3, 0.02, 0)
    found = compare_fidelity(same, same, margin=0.01)
    assert found.difference == 0
    assert all(math.isnan(number) for number in (found.low, found.high, found.p_value, found.p_noninferiority))


@pytest.mark.parametrize(("keywords", "message"), [({"margin": 0.0}, "margin"), ({"confidence": 1.0}, "confidence")])
def test_settings_that_make_no_sense_are_refused(keywords: dict[str, float], message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        compare_fidelity(drawn_around(0.1, 0.01, 0), drawn_around(0.1, 0.01, 1), **({"margin": 0.01} | keywords))


def test_what_was_not_resampled_together_is_refused() -> None:
    other = ResampledValue(0.1, np.zeros(7), np.zeros(1))
    with pytest.raises(StatisticsError, match="resampled together"):
        compare_fidelity(drawn_around(0.1, 0.01, 0), other, margin=0.01)

"""Floors of shuffled items, and agreement beyond a matched control."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import multivariate_normal

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.agreement import encode_answers, pair_answers
from kdscope.fidelity.bootstrap import ResampledSums, join_columns, resample, select_columns
from kdscope.fidelity.controls import (
    COLUMNS,
    agreement_beyond_matched_control,
    both_above,
    floor,
    shuffled_orders,
    tetrachoric,
)
from kdscope.fidelity.measures import Pairing, columns

LABELS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=24)


def names(n: int) -> list[str]:
    return [f"item {i:03}" for i in range(n)]


def paired(teacher: list[str | None], student: list[str | None]) -> Pairing:
    wrong = np.zeros(len(teacher))
    return pair_answers(*encode_answers([teacher, student]), wrong, wrong)


def floor_of(pairing: Pairing, measure: str, repeats: int, seed: int = 0):
    place = [m.name for m in pairing.measures].index(measure)
    cut = columns(pairing.measures)[place]
    orders = shuffled_orders(names(pairing.items), repeats, seed)
    sums = [pairing.contributions(order)[:, cut].sum(axis=0) for order in orders]
    return floor([pairing.measures[place]], [sums])


@settings(deadline=None)
@given(LABELS, st.integers(0, 99))
def test_no_item_meets_its_own_question(labels: list[str], seed: int) -> None:
    orders = shuffled_orders(labels, 3, seed)
    assert len(orders) == (0 if 2 * max(Counter(labels).values()) > len(labels) else 3)
    for order in orders:
        assert sorted(order.tolist()) == list(range(len(labels)))
        assert all(labels[item] != labels[other] for item, other in enumerate(order))


def test_every_derangement_is_as_likely() -> None:
    orders = Counter(tuple(order.tolist()) for order in shuffled_orders(list("abcd"), 9000, 0))
    assert len(orders) == 9
    assert max(abs(count - 1000) for count in orders.values()) < 150


def test_many_copies_are_shuffled_too() -> None:
    """Ten questions asked thirty times each: chance would hardly find such an order."""
    labels = [name for name in names(10) for _ in range(30)]
    (order,) = shuffled_orders(labels, 1, 0)
    assert not any(labels[item] == labels[other] for item, other in enumerate(order))


def test_the_mean_converges_to_that_of_all_derangements() -> None:
    teacher, student = list("AABBC"), list("ABBCA")
    orders = [o for o in itertools.permutations(range(5)) if all(i != place for place, i in enumerate(o))]
    assert len(orders) == 44
    possible = [fmean(t == student[i] for t, i in zip(teacher, order, strict=True)) for order in orders]
    found = floor_of(paired(teacher, student), "agreement", 4000)
    assert found.mean == pytest.approx(fmean(possible), abs=0.015)
    assert found.spread == pytest.approx(np.std(possible), abs=0.015)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from(["A", "B", None])] * 2), min_size=2, max_size=12))
def test_the_analytic_floor_of_agreement(pairs: list[tuple[str | None, str | None]]) -> None:
    """An item is as likely to meet any other: (sum over answers of n_T(a) n_S(a) - agreements) / (n (n - 1))."""
    teacher, student = (list(side) for side in zip(*pairs, strict=True))
    n, repeats = len(pairs), 200
    counts = [Counter(answer for answer in side if answer is not None) for side in (teacher, student)]
    agreements = sum(t is not None and t == s for t, s in pairs)
    expected = (sum(counts[0][a] * counts[1][a] for a in "AB") - agreements) / (n * (n - 1))
    found = floor_of(paired(teacher, student), "agreement", repeats)
    assert found.mean == pytest.approx(expected, abs=5 * found.spread / math.sqrt(repeats) + 1e-9)


def test_with_many_items_it_is_the_agreement_of_independent_answers() -> None:
    """Sum over answers of p_T(a) p_S(a)."""
    rng = np.random.default_rng(0)
    shares = [np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])]
    teacher, student = (rng.choice(list("ABC"), 4000, p=p).tolist() for p in shares)
    assert floor_of(paired(teacher, student), "agreement", 5).mean == pytest.approx(shares[0] @ shares[1], abs=0.02)


def test_a_part_of_a_composition_has_no_floor() -> None:
    found = floor_of(paired(list("ABCD"), list("ABCD")), "both_right", 3)
    assert math.isnan(found.mean)
    assert math.isnan(found.spread)


def test_a_task_that_cannot_be_shuffled_leaves_no_floor() -> None:
    pairing = paired(list("AB"), list("AB"))
    cut = columns(pairing.measures)[0]
    sums = [pairing.paired()[:, cut].sum(axis=0)]
    assert math.isnan(floor(pairing.measures[:1] * 2, [sums, []]).mean)
    assert floor(pairing.measures[:1] * 2, [sums, sums]).mean == 1.0
    assert math.isnan(floor(pairing.measures[:1], [sums]).spread), "one shuffle has no spread"


def test_the_seed_decides() -> None:
    def drawn(seed: int) -> list[list[int]]:
        return [order.tolist() for order in shuffled_orders(names(8), 3, seed)]

    assert drawn(3) == drawn(3) != drawn(4)


def test_one_item_has_no_other() -> None:
    assert shuffled_orders(["alone"], 3, 0) == []
    assert shuffled_orders(["same", "same", "other"], 3, 0) == []


@pytest.mark.parametrize(("labels", "repeats"), [([], 1), (["a", "b"], 0)])
def test_what_cannot_be_shuffled_is_refused(labels: list[str], repeats: int) -> None:
    with pytest.raises(StatisticsError, match="shuffling"):
        shuffled_orders(labels, repeats, 0)


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

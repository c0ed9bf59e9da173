"""The two splits: no calculation that a reader finds in the one is in the other; and how many there are to find."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Iterable
from itertools import islice, product
from typing import get_args

import pytest

from kdscope.tasks import mini_rows
from kdscope.tasks.mini import MINI_MAKERS, MiniProblem, MiniSplit, mini_problems, row_of
from tests.tasks.mini.readers import equations

OF_ONE_STEP = ("mini-one-step", "mini-distractor", "mini-compare", "mini-choose")


def calculation(row: dict[str, str]) -> tuple[Hashable, ...]:
    """What is computed, whatever is told around it and in whatever order its first two numbers come."""
    (a, sign, b, _), *later = equations(row["output"])
    first = (a, b) if sign == "-" else (min(a, b), max(a, b))
    return (sign, *first, *((sign, b) for _, sign, b, _ in later))


def test_no_calculation_is_in_both_splits_of_any_two_tasks() -> None:
    train = {calculation(row) for task in MINI_MAKERS for row in mini_rows(task, "train", 3000, 1)}
    test = {calculation(row) for task in MINI_MAKERS for row in mini_rows(task, "test", 1000, 2)}
    assert min(len(train), len(test)) > 1500
    assert not train & test


@pytest.mark.parametrize("other", ["mini-distractor", "mini-compare", "mini-choose"])
def test_the_calculation_decides_the_split_whatever_the_task_and_its_words(other: str) -> None:
    splits: dict[Hashable, set[MiniSplit]] = {}
    tasks: dict[Hashable, set[str]] = {}
    for task, seed in product(("mini-one-step", other), range(4000)):
        problem = MINI_MAKERS[task](random.Random(f"{task} {seed}"))
        found = calculation(row_of(task, problem))
        splits.setdefault(found, set()).add(problem.split)
        tasks.setdefault(found, set()).add(task)
    assert sum(len(told) == 2 for told in tasks.values()) > 300
    assert {len(found) for found in splits.values()} == {1}
    assert set().union(*splits.values()) == {"train", "test"}


@pytest.mark.parametrize("sign", "+*")
def test_the_first_two_numbers_are_in_one_split_in_both_orders(sign: str) -> None:
    """3 + 5 and 5 + 3: both are drawn, as different problems, and neither order is in the other split."""
    ordered = {
        split: {
            (a, b)
            for row in mini_rows("mini-one-step", split, 4000)
            for a, found, b, _ in equations(row["output"])
            if found == sign and a != b
        }
        for split in get_args(MiniSplit)
    }
    for split, other in (("train", "test"), ("test", "train")):
        swapped = {(b, a) for a, b in ordered[split]}
        assert len(swapped & ordered[split]) >= 10
        assert not swapped & ordered[other]


@pytest.mark.parametrize("task", MINI_MAKERS)
def test_the_key_is_the_calculation_and_nothing_else(task: str) -> None:
    problems = [MINI_MAKERS[task](random.Random(seed)) for seed in range(3000)]
    pairs = {(problem.key, calculation(row_of(task, problem))) for problem in problems}
    assert len(pairs) == len({key for key, _ in pairs}) == len({found for _, found in pairs})


def splits_of(keys: Iterable[tuple[object, ...]]) -> Counter[str]:
    return Counter(MiniProblem("", "", "", "", key).split for key in keys)


def test_few_calculations_are_of_one_step() -> None:
    """The numbers that `mini_rows` warns of."""
    sums = {("calculation", "+", *sorted((a, b))) for a in range(3, 61) for b in range(2, 40)}
    differences = {("calculation", "-", a, b) for a in range(4, 61) for b in range(2, min(a, 40))}
    products = {("calculation", "*", a, b) for a in range(2, 10) for b in range(a, 10)}
    possible = sums | differences | products
    assert splits_of(possible) == {"train": 2435, "test": 639}
    assert splits_of(products)["test"] == 7
    for task in OF_ONE_STEP:
        assert {MINI_MAKERS[task](random.Random(seed)).key for seed in range(3000)} < possible
        tested = [problem.key for problem in islice(mini_problems(task, "test"), 1000)]
        assert 350 < len(set(tested)) < 450
        assert 280 < sum(key in products for key in tested) < 390


def test_most_one_step_test_problems_are_a_step_of_some_training_problem() -> None:
    longer = [row for task in ("mini-two-step", "mini-three-step") for row in mini_rows(task, "train", 3000)]
    steps = {step for row in longer for step in equations(row["output"])}
    recurring = [set(equations(row["output"])) <= steps for row in mini_rows("mini-one-step", "test", 500)]
    assert sum(recurring) / 500 > 0.5


def test_about_a_fifth_of_all_problems_is_for_testing() -> None:
    drawn = [maker(random.Random(seed)).split for maker in MINI_MAKERS.values() for seed in range(1000)]
    assert 0.17 < drawn.count("test") / len(drawn) < 0.23

from __future__ import annotations

from fractions import Fraction

import pytest

from kdscope.answers.options import matching_options, option_number
from kdscope.tasks import get_task, list_tasks


def test_letters() -> None:
    instruction = "If event (A) and (B), then? Answer Choices: (A) 1 (B) two words (C) $3 (D) 4/5 (E) none"
    assert get_task("AQuA").options(instruction) == {
        "A": "1",
        "B": "two words",
        "C": "$3",
        "D": "4/5",
        "E": "none",
    }


def test_labels_on_one_line_or_several() -> None:
    one = "Choose: why?\n\nOption1: Sarah Option2: Maria Answer format: option1/option2"
    assert get_task("winogrande").options(one) == {"option1": "Sarah", "option2": "Maria"}
    several = "Choose: how?\n\nSolution1: twist.\n\nSolution2: freeze.\n\nAnswer format: solution1/solution2"
    assert get_task("piqa").options(several) == {"solution1": "twist.", "solution2": "freeze."}


def test_typography_is_plain() -> None:
    assert get_task("AQuA").options("Answer Choices: (A) −2 (B) 9½") == {"A": "-2", "B": "9 1/2"}


@pytest.mark.parametrize(
    ("option", "number"),
    [
        ("$1,500.50", "1500.50"),
        ("Rs. 40 a day", "40"),
        ("+30", "30"),
        ("-5 km/h", "-5"),
        ("A) 59", "59"),
        ("3/4", "3/4"),
        ("7!", None),
        ("M/ (D-3)", None),
        ("y/400", None),
        ("√3", None),
        ("10, 8", None),
        ("none", None),
    ],
)
def test_the_number_an_option_is(option: str, number: str | None) -> None:
    assert option_number(option) == (None if number is None else Fraction(number))


def test_formulas_are_compared_as_written() -> None:
    options = {"A": "(a+b) /2", "B": "7!", "C": "2y"}
    assert matching_options(options, "It is (a + b)/2.") == ["A"]
    assert matching_options(options, "It is 7.") == []


OPTION_TASKS = [task.name for task in list_tasks() if task.labels and task.name != "boolq" and not task.generated]


@pytest.mark.parametrize("name", ["gsm8k", "boolq", "AQuA", "piqa"])
@pytest.mark.parametrize("instruction", ["", "No options here."])
def test_nothing_to_parse(name: str, instruction: str) -> None:
    assert get_task(name).options(instruction) == {}


@pytest.mark.parametrize("name", OPTION_TASKS)
def test_every_real_item_has_its_gold_among_its_options(name: str, real_data) -> None:
    task = get_task(name)
    for item in real_data.items(name):
        options = task.options(item["instruction"])
        assert tuple(options) == task.labels[: len(options)]
        assert item["answer"] in options
        assert 2 <= len(options) <= 5


def test_the_longest_option_wins() -> None:
    options = {"a": "gravity", "b": "moon gravity", "c": "wind", "d": ""}
    assert matching_options(options, "the moon gravity") == ["b"]
    assert matching_options(options, "gravity, not wind") == ["a", "c"]
    assert matching_options(options, "windy") == []

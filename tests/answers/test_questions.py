from __future__ import annotations

import pytest

from kdscope.answers.quantities import find_quantities
from kdscope.answers.questions import parse_question


@pytest.mark.parametrize(
    ("question", "units"),
    [
        ("How many more apples does she have?", {"apple"}),
        ("How many green and yellow peaches are left?", {"green", "peach"}),
        ("How many dozens of eggs will she need?", {"dozen", "egg"}),
        ("How many hours does he spend on TV and reading in 4 weeks?", {"hour"}),
        ("How many days until it opens?", {"day"}),
        ("How much money did he earn?", {"$"}),
        ("What is the total cost of two pens?", {"$"}),
        ("How many dollars did she pay?", {"dollar", "$"}),
        ("What percentage of them is left?", {"%"}),
        ("How far did he walk? He walked 3 miles.", set()),
        ("", set()),
    ],
)
def test_the_units_asked_for(question: str, units: set[str]) -> None:
    assert parse_question(question).units == units


def test_the_numbers_given_are_those_before_the_choices() -> None:
    question = parse_question("Two trains leave at 3. Which is 45% faster? Answer Choices: (A) 7 (B) 8")
    assert {int(number) for number in question.given} == {2, 3, 45}


@pytest.mark.parametrize(
    ("question", "text", "asked"),
    [
        ("How many boxes?", "4 boxes", True),
        ("How many boxes?", "4 red wooden boxes", True),
        ("How many boxes?", "4 in each of 7 boxes", False),
        ("How much money?", "$4", True),
        ("How much money?", "4 dollars", True),
        ("How much money?", "4 boxes", False),
        ("What percentage?", "4%", True),
        ("What percentage?", "4 percent", True),
        ("How many miles does it go?", "4 gallons per mile", False),
    ],
)
def test_a_number_with_the_unit_asked_for(question: str, text: str, asked: bool) -> None:
    assert parse_question(question).asks_for(find_quantities(text)[0], text) is asked

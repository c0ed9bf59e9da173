from __future__ import annotations

import pytest

from kdscope.answers.quantities import find_quantities
from kdscope.answers.relations import computes, equated, is_listed, is_part_of, is_undecided, main_numbers, results


def numbers(text: str):
    return find_quantities(text)


@pytest.mark.parametrize(
    ("text", "main"),
    [
        ("less than 12", []),
        ("more than 12 and 3", ["3"]),
        ("> 12", []),
        ("10 less than 30", ["10", "30"]),
        ("not 28 but 12", ["12"]),
        ("12 instead of 28", ["12"]),
        ("horse #12 of the 9 wins 3", ["3"]),
        ("the 9 adults", ["9"]),
        ("5:30 and 7", ["7"]),
    ],
)
def test_numbers_that_say_how_many(text: str, main: list[str]) -> None:
    assert [str(number.value) for number in main_numbers(text, numbers(text))] == main


@pytest.mark.parametrize(
    ("text", "result"),
    [("20 - 8 = 12", ["12"]), ("12 = 20 - 8", ["12"]), ("3 + 9 = 20 - 8", ["20", "8"]), ("20 - 8", [])],
)
def test_the_result_of_an_equation(text: str, result: list[str]) -> None:
    assert [str(number.value) for number in results(text, numbers(text))] == result


@pytest.mark.parametrize("text", ["20 - 8", "20 minus 8", "3 × 4", "20 divided by 8", "3 less than 8"])
def test_two_numbers_that_are_computed_with(text: str) -> None:
    assert computes(text, *numbers(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20 - 8, i.e. 12", "12"),
        ("20 minus 8, which is 12", "12"),
        ("20 - 8 gives 12", "12"),
        ("4 out of 8, or 1/2", "1/2"),
        ("20 - 8, 12", None),
        ("20 and 8, which is 12", None),
        ("20 - 8, which is 12 or 13", None),
    ],
)
def test_what_a_computation_is_said_to_give(text: str, value: str | None) -> None:
    found = equated(text, numbers(text))
    assert (str(found.value) if found else None) == value


@pytest.mark.parametrize(("text", "listed"), [("12, 8", True), ("12, and 8.", True), ("12, 8 more than 4", False)])
def test_a_list_without_units(text: str, listed: bool) -> None:
    assert is_listed(text, *numbers(text)[:2]) is listed


@pytest.mark.parametrize(
    ("text", "undecided"),
    [
        ("x = 12, y = 8", True),
        ("x = 12", False),
        ("x = 12, y = 8, so x + y = 20", False),
        ("between 5 and 6", True),
        ("either 5 or 6", True),
        ("5 or 6", False),
    ],
)
def test_several_unknowns_and_ranges_decide_nothing(text: str, undecided: bool) -> None:
    assert is_undecided(text, numbers(text)[0]) is undecided


def test_a_number_of_so_many() -> None:
    assert is_part_of("4 out of the 8", *numbers("4 out of the 8"))
    assert not is_part_of("4 or 8", *numbers("4 or 8"))

from __future__ import annotations

import pytest

from kdscope.answers.spelled import spelled_numbers


def values(text: str, counted: tuple[str, ...] = ()) -> list[str]:
    return [str(number.value) for number in spelled_numbers(text, counted)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Seven.", ["7"]),
        ("twenty-one or thirty two", ["21", "32"]),
        ("one hundred and five", ["105"]),
        ("two thousand three hundred", ["2300"]),
        ("one thousand, two hundred", ["1200"]),
        ("twelve hundred", ["1200"]),
        ("one million", ["1000000"]),
        ("a million, half a million", ["1000000", "500000"]),
        ("three point five", ["7/2"]),
        ("minus seven, negative twenty-one", ["-7", "-21"]),
        ("thirty minus seven", ["30", "7"]),
        ("one half, a third, three-fourths, two fifths", ["1/2", "1/3", "3/4", "2/5"]),
        ("two and a half, one and three quarters", ["5/2", "7/4"]),
        ("half of them", ["1/2"]),
        ("half as many, half a mile", []),
        ("three times as many", []),
        ("two dozen eggs", []),
        ("three and four", []),
        ("two three", []),
        ("hundred", []),
        ("one of them", []),
        ("a ten-year plan", []),
        ("someone often", []),
    ],
)
def test_numbers_in_words(text: str, expected: list[str]) -> None:
    assert values(text) == expected


def test_quarters_that_are_counted_are_coins_and_no_fractions() -> None:
    assert values("three quarters", counted=("quarter",)) == ["3"]


def test_a_sign_in_words_belongs_to_the_number() -> None:
    (number,) = spelled_numbers("It is minus seven now.")
    assert (number.start, number.end) == (6, 17)

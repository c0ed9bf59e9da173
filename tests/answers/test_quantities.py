from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdscope.answers import numbers_match
from kdscope.answers.quantities import canonical_number, find_quantities, parse_number
from kdscope.core.errors import DataError


def values(text: str) -> list[str]:
    return [str(number.value) for number in find_quantities(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10-3", ["10", "3"]),
        ("10 -3", ["10", "3"]),
        ("10 - 3", ["10", "3"]),
        ("(10)-3", ["10", "3"]),
        ("is -3", ["-3"]),
        ("= -3", ["-3"]),
        ("x-3", ["3"]),
        ("a 3-inch nail", ["3"]),
        ("- 3 apples", ["3"]),
        ("-$5, $-6", ["-5", "-6"]),
        ("1,234,567.25", ["4938269/4"]),
        ("1,00,000", ["100000"]),
        ("1, 2,3", ["1", "2", "3"]),
        ("12,3456", ["12", "3456"]),
        ("5.", ["5"]),
        (".5", ["1/2"]),
        ("Rs.5", ["5"]),
        ("1.5e3", ["1500"]),
        ("3/4", ["3/4"]),
        ("-3/4", ["-3/4"]),
        ("2 1/2", ["5/2"]),
        ("-2 1/2", ["-5/2"]),
        ("2 and 1/2", ["5/2"]),
        ("3/0", ["3", "0"]),
        ("1/2/2020", ["1", "2", "2020"]),
        ("mp3 answer1 H2O", []),
        ("5kg", ["5"]),
        ("$372 000 and £1 250 000", ["372000", "1250000"]),
        ("in 2010 150 people", ["2010", "150"]),
        ("4:00 pm, 4:30", ["4", "4", "30"]),
        ("1/2/3/4", ["1", "2", "3", "4"]),
        ("3 / 4", ["3/4"]),
        ("1,11,11", ["1", "11", "11"]),
        ("7" * 61, []),
        ("٣", []),
        ("", []),
        ("1 234.50 and 12 000", ["2469/2", "12000"]),
        ("1'234.50, 1_234_500", ["2469/2", "1234500"]),
        ("1.234,50 and 1.234.567 and 12,50", ["2469/2", "1234567", "25/2"]),
        ("1.5 million, 2 hundred, 3 hundred thousand", ["1500000", "200", "300000"]),
        ("2.5 lakh, 3 Crore", ["250000", "30000000"]),
        ("a 5 thousand-mile trip", ["5"]),
        ("$1.5M, $3m, 3m, 12k", ["1500000", "3000000", "3", "12000"]),
        ("1.5e6.", ["1500000"]),
        ("1.5 × 10^6, 3 x 10^4, 2^5, 2**5, 10^-2", ["1500000", "30000", "32", "32", "1/100"]),
        ("10^400", []),
        ("0^-1", []),
        ("12 cm^2", ["12"]),
        ("minus 7, is negative 8, 9 degrees below zero", ["-7", "-8", "-9"]),
        ("20 minus 8", ["20", "8"]),
        ("it is - 7", ["-7"]),
        ("2 and a half", ["5/2"]),
        ("3 over 4", ["3/4"]),
        ("USD12 and Rs40", ["12", "40"]),
    ],
)
def test_finding(text: str, expected: list[str]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("17:30", []),
        ("4:00 pm", ["4"]),
        ("2 hours 30 minutes", []),
        ("2 hours and 30 minutes, or 150 minutes", ["150"]),
        ("5 feet 3 inches", []),
        ("12 dollars and 50 cents", []),
        ("2 hours, 30 apples", ["2", "30"]),
        ("5 days, 8 hours a day", ["5", "8"]),
        ("5!. 4! = 24", ["24"]),
        ("12!", ["12"]),
        ("\\sqrt{16} and √9", []),
        ("2\\sqrt{3}/2", []),
        ("2π", []),
        ("2^n", []),
        ("90^\\circ", ["90"]),
    ],
)
def test_parts_of_times_amounts_and_formulas_are_no_numbers_by_themselves(text: str, whole: list[str]) -> None:
    assert [str(number.value) for number in find_quantities(text) if not number.partial] == whole


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=3))
def test_any_decimal_is_found_exactly(number) -> None:
    assert [found.value for found in find_quantities(f"It is {number:,} now.")] == [Fraction(number)]


@given(st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=1000))
def test_a_canonical_number_reads_back(number: Fraction) -> None:
    text = canonical_number(number)
    assert numbers_match(text, str(number), relative_tolerance=1e-12)
    assert parse_number(text) == (number if number.denominator == 1 else Fraction(float(text).__repr__()))


@given(st.text())
def test_finding_never_fails_and_spans_are_in_order(text: str) -> None:
    found = find_quantities(text)
    assert all(number.start < number.end <= len(text) for number in found)
    assert all(left.end <= right.start for left, right in itertools.pairwise(found))


@pytest.mark.parametrize(
    ("predicted", "gold", "same"),
    [
        ("576", "576.0", True),
        ("4.0", "4", True),
        ("4.0000001", "4", False),
        ("3.9999999", "4.0", False),
        ("9007199254740993", "9007199254740992", False),
        ("0.1666667", "0.16666666666666666", True),
        ("0.1667", "0.16666666666666666", False),
        ("1/6", "0.16666666666666666", True),
        ("-0.5", "0.5", False),
        ("0", "0.0", True),
        ("seven", "7", False),
        ("1/0", "7", False),
        ("inf", "7", False),
        ("nan", "7", False),
        ("1" * 500, "7", False),
    ],
)
def test_matching(predicted: str, gold: str, same: bool) -> None:
    assert numbers_match(predicted, gold) is same


def test_the_tolerance_is_relative() -> None:
    assert numbers_match("1000000.5", "1000000.25")
    assert not numbers_match("1.5", "1.25")
    assert numbers_match("1.5", "1.25", relative_tolerance=0.2)


@pytest.mark.parametrize("gold", ["", "A", "inf", "1/0"])
def test_a_gold_that_is_no_number(gold: str) -> None:
    with pytest.raises(DataError, match="is not a number"):
        numbers_match("7", gold)

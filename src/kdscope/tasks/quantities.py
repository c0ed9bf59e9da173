"""Numbers in text: found, read exactly, compared."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from kdscope.errors import DataError

_DIGITS = r"(?:\d{1,3}(?:,\d{2,3})*,\d{3}(?!\d)|\d+)"
_PLAIN = re.compile(
    rf"(?<![A-Za-z_\d])(?:{_DIGITS}(?:\.\d+)?|(?<![\w.])\.\d+)(?:[eE][+-]?\d{{1,2}}(?![\w.]))?", re.ASCII
)
_LONGEST_NUMBER = 60


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in a text: its exact value and where it stands."""

    value: Fraction
    start: int
    end: int


def find_quantities(text: str) -> list[Quantity]:
    """Every number of `text`, in order: thousands commas, decimals, fractions, mixed numbers, minus signs.

    A hyphen between two numbers is an operator or a range, never a sign. Digits glued to a word (``x2``, ``answer1``)
    are not numbers, and neither is a run of more than 60 digits, which is a model that got stuck.

    >>> [str(number.value) for number in find_quantities("10-3 is 7, -$1,200.50 or 2 1/2")]
    ['10', '3', '7', '-2401/2', '5/2']
    """
    found: list[Quantity] = []
    for number in _plain_numbers(text):
        if found and (joined := _joined(text, found, number)):
            found = joined
        else:
            found.append(number)
    return found


def mentioned_numbers(text: str) -> frozenset[Fraction]:
    """Every number a text mentions, in digits or as a word up to twelve."""
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    words = re.findall(r"[a-z]+", text.lower())
    spelled = {Fraction(names.index(word)) for word in words if word in names}
    return frozenset(spelled | {number.value for number in find_quantities(text)})


def canonical_number(value: Fraction) -> str:
    """An integer in full, anything else as the shortest decimal of its float.

    >>> canonical_number(Fraction("576.0")), canonical_number(Fraction(1, 6))
    ('576', '0.16666666666666666')
    """
    return str(value.numerator) if value.denominator == 1 else repr(float(value))


def parse_number(text: str) -> Fraction | None:
    """The number that `text` is, ``"576.0"`` or ``"3/4"``; None when it is none."""
    if len(text) > 2 * _LONGEST_NUMBER or re.search(r"[eE][-+]?\d{4}", text):
        return None  # a number nobody means, and one that takes forever to write out
    try:
        return Fraction(text.strip())
    except (ValueError, ZeroDivisionError):
        return None


def numbers_match(predicted: str, gold: str, relative_tolerance: float = 1e-6) -> bool:
    """Whether two numbers are the same: exactly for an integer gold, to a relative tolerance otherwise.

    Raises:
        DataError: The gold answer is not a number.

    >>> numbers_match("4", "4.0"), numbers_match("1/6", "0.16666666666666666"), numbers_match("3.999", "4")
    (True, True, False)
    """
    expected, actual = parse_number(gold), parse_number(predicted)
    if expected is None:
        raise DataError(f"the gold answer {gold!r} is not a number")
    if actual is None:
        return False
    if expected.denominator == 1:
        return actual == expected
    return abs(actual - expected) <= Fraction(relative_tolerance) * abs(expected)


def _plain_numbers(text: str) -> list[Quantity]:
    found = []
    for match in _PLAIN.finditer(text):
        digits = match[0].replace(",", "")
        if len(digits) <= _LONGEST_NUMBER:
            value = Fraction(digits)
            found.append(Quantity(-value if _is_negative(text, match.start()) else value, *match.span()))
    return found


def _is_negative(text: str, start: int) -> bool:
    """Whether the number at `start` carries a minus sign rather than following a minus operator."""
    before = text[max(0, start - 40) : start]
    sign = re.search(r"(?P<left>.?)(?P<space>[ ]*)-(?P<gap>[ ]?)[$£€]?$", before, re.DOTALL)
    if sign is None:
        return False
    left, spaced = sign["left"], bool(sign["space"])
    if sign["gap"]:
        return left in ("=", ":", "(")
    if left.isdigit() or left in (")", "]", "}", "%"):
        return False
    if left.isalpha():
        # "is -3" has a sign, "x-3", "x -3" and "inch-3" an operator.
        return spaced and re.search(r"\w\w[ ]*-[$£€]?$", before) is not None
    return True


def _joined(text: str, found: list[Quantity], last: Quantity) -> list[Quantity] | None:
    """`found` with its end and `last` read as one fraction or mixed number, None when they are not one."""
    numerator = found[-1]
    if not _is_fraction(text, numerator, last):
        return None
    joined = Quantity(numerator.value / last.value, numerator.start, last.end)
    if len(found) > 1 and _is_mixed(text, found[-2], joined):
        whole = found[-2]
        value = whole.value - joined.value if whole.value < 0 else whole.value + joined.value
        return [*found[:-2], Quantity(value, whole.start, last.end)]
    return [*found[:-1], joined]


def _is_fraction(text: str, numerator: Quantity, denominator: Quantity) -> bool:
    between = text[numerator.end : denominator.start]
    whole = numerator.value.denominator == denominator.value.denominator == 1 and denominator.value > 0
    chained = text[: numerator.start].rstrip().endswith("/") or text[denominator.end :].lstrip().startswith("/")
    return whole and not chained and re.fullmatch(r" ?/ ?", between) is not None


def _is_mixed(text: str, whole: Quantity, part: Quantity) -> bool:
    between = text[whole.end : part.start]
    return whole.value.denominator == 1 and 0 < part.value < 1 and re.fullmatch(r" {1,2}(?:and )?", between) is not None

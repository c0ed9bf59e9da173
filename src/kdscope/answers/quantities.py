"""Numbers in text, in digits or spelled out: found, read exactly as fractions, compared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from kdscope.core.errors import DataError

_DIGITS = r"(?:\d{1,3}(?:,\d{2,3}){0,20},\d{3}(?!\d)|(?<=[$£€])\d{1,3}(?: \d{3}){1,6}(?!\d)|\d++)"
_PLAIN = re.compile(
    rf"(?<![A-Za-z_\d])(?:{_DIGITS}(?:\.\d+)?|(?<![\w.])\.\d+)(?:[eE][+-]?\d{{1,2}}(?![\w.]))?"
    r"(?P<clock>(?<=\d):00\b)?",
    re.ASCII,
)
_SIGN = re.compile(r"(?P<left>.?)(?P<space>[ ]*+)-(?P<gap>[ ]?)[$£€]?\Z", re.DOTALL)
_SLASH = re.compile(r" ?/ ?")
_SPACE_OR_AND = re.compile(r" {1,2}(?:and )?")
_LONGEST_NUMBER = 60
_LONGEST_GAP = 40
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_UNITS = f"zero one two three four five six seven eight nine {_TEENS}".split()
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = {word: value for value, word in enumerate(_UNITS)} | {word: 20 + 10 * i for i, word in enumerate(_TENS)}
_LARGE = {"hundred": 100, "thousand": 1000, "million": 10**6}
_WORD = "|".join([*_SMALL, *_LARGE])
_SPELLED = re.compile(rf"\b(?:{_WORD})\b(?:(?:\s|-|\sand\s)(?:{_WORD})\b){{0,12}}(?!-\w)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in a text: its exact value and where it stands."""

    value: Fraction
    start: int
    end: int


def find_quantities(text: str) -> list[Quantity]:
    """Every number of `text`, in order: thousands commas, decimals, fractions, mixed numbers, minus signs.

    A hyphen between two numbers is an operator or a range, never a sign. After a currency sign a space may separate
    thousands; of 4:00 the number is the hour. Digits glued to a word (``x2``, ``answer1``)
    are not numbers, and neither is a run of more than 60 digits, which is a model that got stuck.

    >>> [str(number.value) for number in find_quantities("10-3 is 7, -$1,200.50 or 2 1/2")]
    ['10', '3', '7', '-2401/2', '5/2']
    """
    found: list[Quantity] = []
    for number in _plain_numbers(text):
        _append(found, number, text)
    return found


def spelled_numbers(text: str) -> list[Quantity]:
    """Every whole number spelled out in English, in order; ``one of`` and a bare ``hundred`` are not numbers.

    >>> [int(number.value) for number in spelled_numbers("Two hundred and five is not twenty-one.")]
    [205, 21]
    """
    found = []
    for match in _SPELLED.finditer(text):
        value = _spelled_value(re.findall(r"[a-z]+", match[0].lower()))
        if value is not None and not re.match(r"\s+of\b", text[match.end() : match.end() + 8]):
            found.append(Quantity(Fraction(value), *match.span()))
    return found


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


def number_key(text: str) -> str:
    """A number in a form that is equal for equal numbers, those that are not integers to six digits; else the text.

    Unlike a tolerance around one of the two, it does not matter which of two answers is asked first.

    >>> number_key("4.0") == number_key("4"), number_key("0.333333333") == number_key("1/3"), number_key("none")
    (True, True, 'none')
    """
    number = parse_number(text)
    if number is None:
        return text
    return str(number.numerator) if number.denominator == 1 else f"{float(number):.6g} or so"


def _plain_numbers(text: str) -> Iterator[Quantity]:
    for match in _PLAIN.finditer(text):
        digits = match[0].removesuffix(match["clock"] or "").replace(",", "").replace(" ", "")
        if len(digits) <= _LONGEST_NUMBER:
            value = Fraction(digits)
            yield Quantity(-value if _is_negative(text, match.start()) else value, *match.span())


def _is_negative(text: str, start: int) -> bool:
    """Whether the number at `start` carries a minus sign rather than following a minus operator."""
    sign = _SIGN.search(text, max(0, start - _LONGEST_GAP), start) if "-" in text[max(0, start - 3) : start] else None
    if sign is None:
        return False
    left, spaced = sign["left"], bool(sign["space"])
    if sign["gap"]:
        return left in ("=", ":", "(")
    if left.isdigit() or left in (")", "]", "}", "%"):
        return False
    if left.isalpha():
        # "is -3" has a sign, "x-3", "x -3" and "inch-3" an operator.
        return spaced and re.search(r"\w\w\Z", text[max(0, sign.start() - 1) : sign.start() + 1]) is not None
    return True


def _append(found: list[Quantity], last: Quantity, text: str) -> None:
    """Adds `last`, as the end of a fraction or mixed number if it is one."""
    if not found or not _is_fraction(text, found[-1], last):
        found.append(last)
        return
    numerator = found.pop()
    part = Quantity(numerator.value / last.value, numerator.start, last.end)
    if found and _is_mixed(text, found[-1], part):
        whole = found.pop()
        value = whole.value - part.value if whole.value < 0 else whole.value + part.value
        part = Quantity(value, whole.start, last.end)
    found.append(part)


def _is_fraction(text: str, numerator: Quantity, denominator: Quantity) -> bool:
    if not _SLASH.fullmatch(text, numerator.end, denominator.start):
        return False
    whole = numerator.value.denominator == denominator.value.denominator == 1 and denominator.value > 0
    before, after = text[max(0, numerator.start - 3) : numerator.start], text[denominator.end : denominator.end + 3]
    return whole and not before.rstrip().endswith("/") and not after.lstrip().startswith("/")


def _is_mixed(text: str, whole: Quantity, part: Quantity) -> bool:
    joined = _SPACE_OR_AND.fullmatch(text, whole.end, part.start)
    return joined is not None and whole.value.denominator == 1 and 0 < part.value < 1


def _spelled_value(words: list[str]) -> int | None:
    """The number that `words` spell; None when they spell none, or several side by side (``two three``)."""
    total = group = 0
    room = 10**9
    if words[0] in _LARGE:
        return None
    for word in words:
        if word == "and":
            continue
        if word in _SMALL:
            value = _SMALL[word]
            if value >= room:
                return None
            group, room = group + value, (10 if value >= 20 else 0)
        elif word == "hundred":
            group, room = group * 100, 100
        else:
            total, group, room = total + group * _LARGE[word], 0, 1000
    return total + group

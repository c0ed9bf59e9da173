"""Numbers in text, written in digits: found, read exactly as fractions, compared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from kdscope.core.errors import DataError

LARGE = {"hundred": 100, "thousand": 10**3, "lakh": 10**5, "million": 10**6, "crore": 10**7} | {
    "billion": 10**9, "trillion": 10**12,
}  # fmt: skip
"""Words that multiply the number before them."""
_SUFFIXES = {"k": 10**3, "m": 10**6, "b": 10**9, "mn": 10**6, "mln": 10**6, "bn": 10**9, "tn": 10**12}
# 1,234 and 1,23,456; 1 234, 1'234 and 1_234; 1.234,50 and 1.234.567; 12,50.
_DIGITS = (
    r"(?:\d{1,3}(?:,\d{2,3}){0,20},\d{3}(?!\d)|\d{1,3}(?P<gap>[ '_])\d{3}(?:(?P=gap)\d{3}){0,5}(?!\d)(?:,\d\d(?!\d))?"
    r"|\d{1,3}(?:\.\d{3}){1,5},\d{1,2}(?![\d,])|\d{1,3}(?:\.\d{3}){2,5}(?!\.?\d)|(?<!\d,)\d{1,9},\d\d(?![\d,]|\.\d)|\d++)"
)
_POWER = r"(?:\^|\*\*)(?P<{}>[+-]?\d{{1,3}})(?!\d|\.\d)"
_PLAIN = re.compile(
    rf"(?=[.\d])(?:(?<![A-Za-z_\d])(?<!\^)(?<!\^-)|(?<=USD)|(?<=EUR)|(?<=GBP)|(?<=INR)|(?<=Rs))(?P<number>(?:{_DIGITS}(?:\.\d+)?|(?<![\w.])\.\d+)(?:[eE][+-]?\d{{1,2}}(?!\w|\.\d))?)"
    rf"(?: ?[x×*·⋅] ?10{_POWER.format('ten')}|{_POWER.format('power')})?"
    rf"(?: {{0,3}}[ -](?P<scale>(?i:(?:{'|'.join(LARGE)})(?: (?:thousand|million|billion|crore)){{0,2}}))s?\b(?!-\w)"
    r"|(?P<suffix> ?[kKmMbB]| ?(?:[MmBbTt]n|mln))(?![\w^*/+=(]))?"
    r"(?P<clock>(?<=\d):00\b)?",
    re.ASCII,
)
_EUROPEAN = re.compile(r"[\d. ]*,\d\d?|\d+(?:\.\d{3}){2,}", re.ASCII)
_SIGN = re.compile(r"(?P<left>.?)(?P<space>[ ]*+)-(?P<gap>[ ]?)[$£€]?\Z", re.DOTALL)
_SIGN_AFTER_VERB = re.compile(r"\b(?:is|are|was|were|be|equals?|to) {1,2}- [$£€]?\Z", re.IGNORECASE)
_MINUS_WORD = re.compile(
    r"(?:(?<!\bnon-)\b(?P<negative>negative)|(?:\A\W*|[:=(,]\s?|\b(?:is|are|was|were|be|equals?|to|of|at|about|by|or|becomes)\s"
    r"(?:(?:now|then|still|only|[a-z]{3,9}ly)\s)?)(?P<minus>minus))\s{1,2}[$£€]?\Z",
    re.IGNORECASE,
)
_BELOW_ZERO = re.compile(
    r"(?=[\s°])\s?(?:°\s?[CF]?|degrees?(?:\s(?:celsius|fahrenheit|c|f))?)?\sbelow\szero\b", re.IGNORECASE
)
_AND_A_HALF = re.compile(r"\sand\s(?:a|one)[\s-](half|third|quarter)\b", re.IGNORECASE)
_PARTS = {"half": Fraction(1, 2), "third": Fraction(1, 3), "quarter": Fraction(1, 4)}
_CURRENCY_BEFORE = re.compile(r"[$£€₹¥]\s?\Z")
_BEFORE_PART = frozenset("√:{[(*/ ")
_AFTER_PART = frozenset(":!^√π\\ ")
# 5:30, 5! and √5: what stands next to a number that is none by itself.
_MINUTES_AFTER = re.compile(r":[0-5]\d(?!\d)")
_HOUR_BEFORE = re.compile(r"(?<!\d)\d\d?:\Z")
_FUNCTION_AFTER = re.compile(
    r"!(?=\s?[.=*/^)-])|\s?(?:√|\\sqrt|π|\\pi\b)|\^\{?[A-Za-z]|\s(?:squared|cubed)\b"
    r"(?!\s\w*(?:met|feet|foot|inch|yard|mile|unit))"
)
_FUNCTION_BEFORE = re.compile(r"(?:√|\\sqrt|\bsqrt|\\(?:log|ln|sin|cos|tan|[cdt]?frac)|(?:π|\\pi|e)[*/])[\s({]{0,3}\Z")
_OPERATED = re.compile(r"\s?[})]*\s?(?:[*/+×·-]|\{)\s?[({]*\s?")
_DIMENSIONS = (
    r"seconds?|secs?|s|minutes?|mins?|min|hours?|hrs?|h|days?|weeks?|months?|years?",
    r"inch(?:es)?|in|feet|foot|ft|yards?|miles?|millimet(?:er|re)s?|centimet(?:er|re)s?|cm|met(?:er|re)s?|m|kilomet(?:er|re)s?|km",
    r"ounces?|oz|pounds?|lbs?|grams?|g|kilograms?|kg",
    r"cups?|pints?|quarts?|gallons?",
    r"dollars?|euros?|cents?|pence",
)
_UNIT = re.compile(r"\s?[A-Za-z]{1,12}\.?,?\s(?:and\s)?")
_NEXT_UNIT = [
    (
        re.compile(rf"\s?(?:{units})\.?,?\s(?:and\s)?\Z", re.IGNORECASE),
        re.compile(rf"\s?(?:{units})\b(?!\s(?:an?|per|each|every)\b)", re.IGNORECASE),
    )
    for units in _DIMENSIONS
]
_SLASH = re.compile(r" ?/ ?| over ")
_SPACE_OR_AND = re.compile(r" {1,2}(?:and )?")
_LONGEST_NUMBER = 60
_LONGEST_GAP = 40


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in a text: its exact value and where it stands.

    Attributes:
        value: Exactly.
        start: Where it begins, a sign in words included.
        end: Where it ends, its magnitude (``million``) included.
        partial: It is no number by itself, but part of a time of day, of an amount in two units or of a formula.
    """

    value: Fraction
    start: int
    end: int
    partial: bool = False


def find_quantities(text: str) -> list[Quantity]:
    """Every number of `text`, in order: separators of thousands, decimals, fractions, powers, minus signs, millions.

    A hyphen between two numbers is an operator or a range, never a sign; of 4:00 the number is the hour. Digits glued
    to a word (``x2``, ``answer1``) are not numbers, and neither are exponents of letters and a run of more than 60
    digits, which is a model that got stuck.

    >>> [str(number.value) for number in find_quantities("10-3 is 7, -$1,200.50, 2 1/2 or 1.5 million")]
    ['10', '3', '7', '-2401/2', '5/2', '1500000']
    """
    found: list[Quantity] = []
    for number in _plain_numbers(text):
        _append(found, number, text)
    for place in range(len(found) - 1):
        first, second = found[place : place + 2]
        operated = first.partial and _OPERATED.fullmatch(text, first.end, second.start) is not None
        if operated or _are_one_amount(text, first, second):
            found[place : place + 2] = replace(first, partial=True), replace(second, partial=True)
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


def minus_word(text: str, start: int) -> tuple[int, bool]:
    """Where the number at `start` begins with its sign, and whether that is ``minus`` or ``negative``."""
    if "us" not in text[max(0, start - 4) : start] and "ve" not in text[max(0, start - 4) : start].lower():
        return start, False
    sign = _MINUS_WORD.search(text, max(0, start - _LONGEST_GAP), start)
    return (sign.start(sign.lastgroup or 0), True) if sign else (start, False)


def is_below_zero(text: str, end: int) -> bool:
    """Whether the number that ends at `end` goes on as ``degrees below zero``."""
    return _BELOW_ZERO.match(text, end) is not None


def _plain_numbers(text: str) -> Iterator[Quantity]:
    for match in _PLAIN.finditer(text):
        value, end = _magnitude(match), match.end()
        if value is None:
            continue
        if value.denominator == 1 and (part := _AND_A_HALF.match(text, end)):
            value, end = value + _PARTS[part[1].lower()], part.end()
        start, negative = minus_word(text, match.start())
        negative = negative or _is_negative(text, match.start()) or is_below_zero(text, end)
        yield Quantity(-value if negative else value, start, end, partial=_is_partial(text, *match.span()))


def _magnitude(match: re.Match[str]) -> Fraction | None:
    """The value of a match without its sign; None when it has too many digits to be meant."""
    digits = match["number"]
    if match.lastgroup == "number" and digits.isdecimal():
        return Fraction(int(digits)) if len(digits) <= _LONGEST_NUMBER else None
    if _EUROPEAN.fullmatch(digits):
        digits = digits.replace(".", "").replace(",", ".")
    digits = re.sub("[,' _]", "", digits)
    if match.lastgroup == "number":
        return Fraction(digits) if len(digits) <= _LONGEST_NUMBER else None
    power, ten = int(match["power"] or 1), int(match["ten"] or 0)
    if len(digits) * max(1, abs(power)) + abs(ten) > _LONGEST_NUMBER or (power < 0 and not Fraction(digits)):
        return None
    value = Fraction(digits) ** power * Fraction(10) ** ten
    suffix = (match["suffix"] or "").strip()
    if (suffix in ("m", "b") or match["suffix"] in (" k", " K", " M", " B")) and not _CURRENCY_BEFORE.search(
        match.string, max(0, match.start() - 2), match.start()
    ):
        return value  # 3 metres
    for word in (match["scale"] or "").lower().split():
        value *= LARGE[word]
    return value * _SUFFIXES.get(suffix.lower(), 1)


def _is_partial(text: str, start: int, end: int) -> bool:
    if text[start - 1 : start] not in _BEFORE_PART and text[end : end + 1] not in _AFTER_PART:
        return False
    return (
        _MINUTES_AFTER.match(text, end) is not None
        or (end - start == 2 and _HOUR_BEFORE.search(text, max(0, start - 4), start) is not None)
        or _FUNCTION_AFTER.match(text, end) is not None
        or _FUNCTION_BEFORE.search(text, max(0, start - 9), start) is not None
    )


def _are_one_amount(text: str, first: Quantity, second: Quantity) -> bool:
    """Whether two numbers count units of one amount, as in ``2 hours 30 minutes``."""
    return _UNIT.fullmatch(text, first.end, second.start) is not None and any(
        unit.match(text, first.end, second.start) and next_unit.match(text, second.end)
        for unit, next_unit in _NEXT_UNIT
    )


def _is_negative(text: str, start: int) -> bool:
    """Whether the number at `start` carries a minus sign rather than following a minus operator."""
    sign = _SIGN.search(text, max(0, start - _LONGEST_GAP), start) if "-" in text[max(0, start - 3) : start] else None
    if sign is None:
        return False
    left, spaced = sign["left"], bool(sign["space"])
    if sign["gap"]:
        return left in ("=", ":", "(") or bool(_SIGN_AFTER_VERB.search(text, max(0, start - _LONGEST_GAP), start))
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
    partial = numerator.partial or last.partial
    part = Quantity(numerator.value / last.value, numerator.start, last.end, partial)
    if found and _is_mixed(text, found[-1], part):
        whole = found.pop()
        value = whole.value - part.value if whole.value < 0 else whole.value + part.value
        part = Quantity(value, whole.start, last.end, partial or whole.partial)
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

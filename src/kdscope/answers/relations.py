"""How the numbers of a sentence belong together: computed, equated, listed, bounded, denied."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kdscope.answers.quantities import Quantity

_OPERATION = re.compile(
    r"\s*(?:[-+*/x×÷^]|minus|plus|times|(?:less|more|fewer)(?: than)?|divided by|multiplied by|over)\s*[($£€]*\s*",
    re.IGNORECASE,
)
_PART_OF = re.compile(r"\s(?:out\s)?of\s(?:the\s)?")
_EQUATED = re.compile(
    r"(?:\b(?:is|equals|gives|makes|leaves|i\.e\.|that is|namely|so|or)|=|\s\()[\s,:$£€-]{0,4}\Z", re.IGNORECASE
)
_LISTED = re.compile(r"\s*,\s*(?:and\s)?[$£€]?")
_LIST_GOES_ON = re.compile(r"\s*(?:[,.;]\W*(?![A-Za-z])|and\b|\Z)")
_UNKNOWN = re.compile(r"(?<![+*/^-]\s)(?<![+*/-])\b([a-z])\s?=\s?(?=-?[$£€]?\d)", re.IGNORECASE)
_OR = re.compile(r"\bor\b")
_SO = re.compile(r"\b(?:so|then|thus|hence|therefore|gives)\b", re.IGNORECASE)
_BOUND = re.compile(
    r"(?:(?<!\d\s)\b(?:(?:less|fewer|more|greater|larger|smaller|higher|lower)\sthan|over|under|above|below"
    r"|half past|quarter (?:past|to))\s|(?<![=-])[<>]\s?)[$£€]?\Z",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\b(?:between|either)\s[$£€]?\Z", re.IGNORECASE)
_DENIED = re.compile(r"(?:\bnot|n't|\binstead of|\brather than)\s[$£€]?\Z", re.IGNORECASE)
# The 7th grade, a 36-minute call; horse #12, the 9 adults, all 5 baskets: numbers that name or describe.
_NAMED_AFTER = re.compile(r"(?:st|nd|rd|th)\b|-(?=[A-Za-z])", re.IGNORECASE)
_NAMED_BEFORE = re.compile(
    r"(?:#|\b(?:the|these|those|all|both|every|first|last|next|remaining|other|his|her|their|its)\s)\Z", re.IGNORECASE
)
_LONGEST_WORD_BEFORE = 14


def main_numbers(text: str, numbers: Sequence[Quantity]) -> list[Quantity]:
    """Those that say how many, without bounds and parts, and without names and what is denied if others remain.

    >>> from kdscope.answers.quantities import find_quantities
    >>> text = "The 9 adults pay less than 50, not 20 but 30."
    >>> [str(number.value) for number in main_numbers(text, find_quantities(text))]
    ['30']
    """
    found = [number for number in numbers if not number.partial and not _comes_after(_BOUND, number, text)]
    return [number for number in found if not _is_name(number, text)] or found


def values(numbers: Sequence[Quantity]) -> set[object]:
    """The different values."""
    return {number.value for number in numbers}


def results(text: str, numbers: Sequence[Quantity]) -> list[Quantity]:
    """The numbers after the last equals sign; the one before it in ``12 = 20 - 8``."""
    equals = text.rfind("=")
    if equals < 0:
        return []
    left = [number for number in numbers if number.start < equals]
    right = list(numbers[len(left) :])
    if left and len(right) > 1 and computes(text, *right[:2]) and not (left[1:] and computes(text, *left[-2:])):
        return left[-1:]
    return right


def computes(text: str, first: Quantity, second: Quantity) -> bool:
    """Whether only an operator stands between two numbers."""
    return _OPERATION.fullmatch(text, first.end, second.start) is not None


def is_part_of(text: str, first: Quantity, second: Quantity) -> bool:
    """Whether the first of two numbers is so many of the second: "4 out of 8"."""
    return _PART_OF.fullmatch(text, first.end, second.start) is not None


def is_equated(text: str, start: int, number: Quantity) -> bool:
    """Whether what stands between `start` and a number says that it is the same: "or", "i.e.", "which is"."""
    return _EQUATED.search(text, start, number.start) is not None


def equated(text: str, numbers: Sequence[Quantity]) -> Quantity | None:
    """What a computation by the first two numbers is said to give: "20 - 8, i.e. 12"."""
    if not computes(text, *numbers[:2]) and not is_part_of(text, *numbers[:2]):
        return None
    start = numbers[1].end
    given = [number for number in numbers if number.start > start and is_equated(text, start, number)]
    return given[-1] if len(values(given)) == 1 else None


def is_listed(text: str, first: Quantity, second: Quantity) -> bool:
    """Whether two numbers are members of a list without units: "12, 8"."""
    listed = _LISTED.fullmatch(text, first.end, second.start) is not None
    return listed and _LIST_GOES_ON.match(text, second.end) is not None


def is_undecided(text: str, first: Quantity) -> bool:
    """Whether a sentence gives several unknowns, or one of several values, or opens a range or a choice.

    Such are "x = 12, y = 8", "x = 12 or x = 8", "between 5 and 6", and not "x = 12, so y = 8".
    """
    unknowns = list(_UNKNOWN.finditer(text))
    names = {unknown[1].lower() for unknown in unknowns}
    if len(unknowns) > 1 and _SO.search(text, unknowns[-2].end(), unknowns[-1].start()):
        return False
    several = len(names) > 1 or (len(unknowns) > 1 and _OR.search(text, unknowns[-2].end(), unknowns[-1].start()))
    return bool(several and "=" not in text[unknowns[-1].end() :]) or _comes_after(_RANGE, first, text)


def _is_name(number: Quantity, text: str) -> bool:
    if _comes_after(_NAMED_BEFORE, number, text) or _comes_after(_DENIED, number, text):
        return True
    return _NAMED_AFTER.match(text, number.end) is not None


def _comes_after(pattern: re.Pattern[str], number: Quantity, text: str) -> bool:
    return pattern.search(text, max(0, number.start - _LONGEST_WORD_BEFORE), number.start) is not None

"""Numbers spelled out in English."""

from __future__ import annotations

import re
from collections.abc import Collection
from fractions import Fraction

from kdscope.answers.quantities import LARGE, Quantity, is_below_zero, minus_word

_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_UNITS = f"zero one two three four five six seven eight nine {_TEENS}".split()
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = {word: value for value, word in enumerate(_UNITS)} | {word: 20 + 10 * i for i, word in enumerate(_TENS)}
_PARTS = {"half": 2, "halve": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7} | {
    "eighth": 8, "ninth": 9, "tenth": 10, "twelfth": 12, "sixteenth": 16, "twentieth": 20, "hundredth": 100,
}  # fmt: skip
_DIGIT = "|".join(_UNITS[:10])
_LARGE_WORD = "|".join(LARGE)
_WORD = f"{'|'.join(_SMALL)}|{_LARGE_WORD}"
_PART_WORD = f"(?:{'|'.join(_PARTS)})s?"
_WHOLE = (
    rf"(?:an?\s(?=(?:{_LARGE_WORD})\b))?(?:{_WORD})\b"
    rf"(?:(?:\s|-|\sand\s(?!(?:{_DIGIT})[\s-]{_PART_WORD}\b)|(?<=thousand),\s|(?<=[mb]illion),\s)(?:{_WORD})\b){{0,12}}(?:\spoint(?P<decimals>(?:[\s-](?:{_DIGIT})\b){{1,15}}))?"
)
_SPELLED = re.compile(
    rf"\b(?=[abcefhlmnostz])(?:(?P<half>half\s(?:an?\s)?(?=(?:{_LARGE_WORD})\b))?(?P<whole>{_WHOLE})"
    rf"(?:\sand\s(?P<count>an?|{'|'.join(_UNITS)})[\s-](?P<part>{_PART_WORD})\b)?"
    rf"|(?P<only>an?)(?=\s{_PART_WORD}\b)|(?P<bare>half)\b(?!-|\s(?:as|an?)\b))(?!-(?!{_PART_WORD}\b)\w|\spast\b)",
    re.IGNORECASE,
)
_DENOMINATOR = re.compile(rf"[\s-](?P<part>{_PART_WORD})\b", re.IGNORECASE)
_NO_COUNT = re.compile(r"\s(?:of|dozens?|times (?:as|more|the))\b", re.IGNORECASE)


def spelled_numbers(text: str, counted: Collection[str] = ()) -> list[Quantity]:
    """Every number spelled out in English, in order; ``one of``, dozens and a bare ``hundred`` are not numbers.

    Args:
        text: Where to look.
        counted: Nouns that are things and no fractions: of quarters that are counted, three are 3.

    >>> [str(number.value) for number in spelled_numbers("Two hundred and five, minus twenty-one and a half.")]
    ['205', '-43/2']
    >>> [str(number.value) for number in spelled_numbers("three quarters, one thousand, two hundred, three point five")]
    ['3/4', '1200', '7/2']
    """
    found: list[Quantity] = []
    for match in _SPELLED.finditer(text):
        if found and match.start() < found[-1].end:
            continue  # the half of "one half"
        value, end = _value(match), match.end()
        part = None if match["part"] or match["bare"] else _DENOMINATOR.match(text, end)
        if part and value is not None and _noun(part["part"]) not in counted:
            value, end = value / _PARTS[_noun(part["part"])], part.end()
        elif match["only"]:
            continue
        if value is not None and (part or match["bare"] or not _NO_COUNT.match(text, end)):
            start, negative = minus_word(text, match.start())
            found.append(Quantity(-value if negative or is_below_zero(text, end) else value, start, end))
    return found


def _value(match: re.Match[str]) -> Fraction | None:
    if match["bare"]:
        return Fraction(1, 2)
    if match["only"]:
        return Fraction(1)
    words = re.findall(r"[a-z]+", match["whole"].lower().partition(" point")[0])
    value = _spelled_value(
        words[1:] if words[0] in ("a", "an") else words, opened=bool(match["half"]) or words[0] in ("a", "an")
    )
    if value is None:
        return None
    if match["decimals"]:
        digits = [str(_SMALL[word]) for word in re.findall(r"[a-z]+", match["decimals"].lower())]
        return value + Fraction(f"0.{''.join(digits)}")
    if match["part"]:
        return value + Fraction(_SMALL.get(match["count"].lower(), 1), _PARTS[_noun(match["part"])])
    return value / 2 if match["half"] else value


def _noun(word: str) -> str:
    return word.lower().removesuffix("s")


def _spelled_value(words: list[str], *, opened: bool) -> Fraction | None:
    """The number that `words` spell; None when they spell none, or several side by side (``two three``)."""
    total, group, room = 0, int(opened), 10**12
    if words[0] in LARGE and not opened:
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
            total, group, room = total + group * LARGE[word], 0, 1000
    return Fraction(total + group)

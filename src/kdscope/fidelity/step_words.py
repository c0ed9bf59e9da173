"""Words and numbers of worked solutions: which stand for a number, which for an unknown, which end an expression."""

from __future__ import annotations

import math
import re
from typing import NamedTuple


class Number(NamedTuple):
    """A written number: 60 for ``60%``, the decimals it is written with, and whether a percent sign follows."""

    written: float
    decimals: int = 0
    percent: bool = False

    @property
    def value(self) -> float:
        """The number it stands for: 0.6 for ``60%``."""
        return float(f"{self.written / 100:.12g}") if self.percent else self.written


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


UNKNOWN = Number(math.nan)
NUMERALS = {
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
}
PARTS = {
    "half": 2,
    "third": 3,
    "quarter": 4,
    "fourth": 4,
    "fifth": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
    "ninth": 9,
    "tenth": 10,
}
CURRENCIES = _words("rs. rs usd inr eur")
# Left out between an operator and its number, and between an equals sign and the result.
FILLERS = _words(
    "the a an his her their its our your my another other additional remaining about approximately around roughly only "
    "exactly nearly just total of"
)
# No unit holds one of these: an expression ends before it.
STOPS = _words(
    "and so then therefore thus hence because since if but while whereas or as we she he they it i you is are was were "
    "be has have had will would could which that this who where when now let let's there here not plus minus"
)
_UNIT_LETTERS = frozenset("mghslkLCF")
_SHORT_UNITS = _words("cm mm km kg mg ml dl lb oz ft in yd hr am pm th st nd rd pc qt gb mb kb cc sq")
_INDEXED = re.compile(r"[^\W\d_]_?\d+")
_SHARE = re.compile(r"(?:(\w+)[ -])?(\w+?)s?\s+of")
_MOST_DIGITS = 40


def written_number(text: str) -> Number:
    """A number in digits with thousands commas, decimals and percent sign; unknown above 40 digits: a stuck model.

    >>> written_number("1,200.50"), written_number("60%").value
    (Number(written=1200.5, decimals=2, percent=False), 0.6)
    """
    digits = text.replace(",", "")
    percent = not digits[-1].isdigit()
    if percent:
        digits = digits.rstrip("% percnt")
    whole, _, decimals = digits.partition(".")
    return UNKNOWN if len(whole) > _MOST_DIGITS else Number(float(digits), len(decimals), percent)


def mixed_number(text: str) -> Number:
    """``2 1/2``; unknown unless its fraction is a proper one.

    >>> mixed_number("2 1/2").value
    2.5
    """
    whole, upper, lower = (int(digits) for digits in re.findall(r"\d+", text))
    return Number(whole + upper / lower, 12) if 0 < upper < lower else UNKNOWN


def share(text: str) -> tuple[Number, Number]:
    """Numerator and denominator of ``two thirds of``.

    >>> [number.value for number in share("two thirds of")]
    [2.0, 3.0]
    """
    match = _SHARE.fullmatch(text.lower())
    count, part = match.groups("one") if match else ("one", "half")
    return Number(float(NUMERALS.get(count, 1))), Number(float(PARTS[part]))


def is_unknown(word: str, glued: bool) -> bool:
    """Whether a word behind a number or an operator is a quantity without a value, ``3x``, not a unit, ``3 kg``.

    Args:
        word: the word as written.
        glued: whether it touches what stands before it.
    """
    if word[1:2] in ("", "/") or (word[1] == "-" and len(word) == 3):  # x, x/y and x-y; not m/s, t-shirts
        return word[0] not in _UNIT_LETTERS and (glued or word not in "aA")
    if len(word) == 2 and glued and not word[1].isdigit():
        return word.lower() not in _SHORT_UNITS
    return "π" in word or _INDEXED.fullmatch(word) is not None

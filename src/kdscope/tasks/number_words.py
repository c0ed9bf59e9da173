"""Numbers written as words."""

from __future__ import annotations

import re
from fractions import Fraction

from kdscope.tasks.quantities import Quantity

_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_UNITS = f"zero one two three four five six seven eight nine {_TEENS}".split()
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = {word: value for value, word in enumerate(_UNITS)} | {word: 20 + 10 * i for i, word in enumerate(_TENS)}
_LARGE = {"hundred": 100, "thousand": 1000, "million": 10**6}
_WORD = "|".join([*_SMALL, *_LARGE])
_SPELLED = re.compile(rf"\b(?:{_WORD})\b(?:(?:\s|-|\sand\s)(?:{_WORD})\b){{0,12}}(?!-\w)", re.IGNORECASE)


def spelled_numbers(text: str) -> list[Quantity]:
    """Every whole number spelled out in English, in order; ``one of`` and a bare ``hundred`` are not numbers.

    >>> [int(number.value) for number in spelled_numbers("Two hundred and five is not twenty-one.")]
    [205, 21]
    """
    found = []
    for match in _SPELLED.finditer(text):
        value = _value(re.findall(r"[a-z]+", match[0].lower()))
        if value is not None and not re.match(r"\s+of\b", text[match.end() : match.end() + 8]):
            found.append(Quantity(Fraction(value), *match.span()))
    return found


def _value(words: list[str]) -> int | None:
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

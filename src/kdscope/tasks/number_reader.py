"""Reading a free number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from kdscope.tasks.quantities import Quantity, canonical_number, find_quantities
from kdscope.tasks.readers import Reading

_HEDGE = (
    r"(?:about|approximately|roughly|around|only|exactly|just|simply|equal|to|a|rs|usd|us"
    r"|(?:the\s+)?(?:total|number)\s+of)\b"
    r"|[a-z]\s*="
)
_OPENING = re.compile(rf"\W*(?:(?:{_HEDGE})\W*)*", re.IGNORECASE)
_EXPLANATION = re.compile(r"\b(?:which|because|since|meaning)\b", re.IGNORECASE)
_CLAUSE_END = re.compile(r"[;(]|,\s|\b(?:which|because|since|so|as|meaning|where|when|if|not)\b", re.IGNORECASE)
_ALTERNATIVE = re.compile(r"\b(?:or|and|to)\b|^\W*$|^\s*[-+*/x×÷^]\s*$", re.IGNORECASE)
_LIST_MARK = re.compile(r"^[ \t]*\d{1,2}[.)](?=[ \t]+\S)", re.MULTILINE)
_LONGEST_BARE_ANSWER_WORDS = 6


@dataclass(frozen=True, slots=True)
class NumberReader:
    """Reads a number; knows which numbers the question itself gave."""

    given: frozenset[Fraction]

    def stated(self, sentence: str) -> Reading | None:
        """The number the sentence opens with or computes, else the only one, else the only one not in the question."""
        sentence = _EXPLANATION.split(sentence, maxsplit=1)[0]
        numbers = find_quantities(sentence)
        if not numbers:
            return None
        if len({number.value for number in numbers}) == 1:
            return _reading(numbers[0])
        if _OPENING.fullmatch(sentence[: numbers[0].start]):
            return _opening_number(sentence, numbers)
        return _result(sentence, numbers) or self._only_new(numbers)

    def whole(self, text: str) -> Reading | None:
        """A completion that is nothing but a number and perhaps its unit."""
        numbers = find_quantities(text)
        if len(numbers) != 1 or "\n" in text.strip() or len(text.split()) > _LONGEST_BARE_ANSWER_WORDS:
            return None
        return _reading(numbers[0]) if _OPENING.fullmatch(text[: numbers[0].start]) else None

    def inferred(self, text: str) -> Reading | None:
        """The last number, list numbering aside."""
        marks = {match.end() - 1 for match in _LIST_MARK.finditer(text)}
        numbers = [number for number in find_quantities(text) if number.end not in marks]
        return _reading(numbers[-1]) if numbers else None

    def _only_new(self, numbers: list[Quantity]) -> Reading:
        new = {number.value for number in numbers} - self.given
        return Reading(canonical_number(new.pop()) if len(new) == 1 else None)


def _opening_number(sentence: str, numbers: list[Quantity]) -> Reading:
    """The number a sentence opens with, unless its clause goes on to compute or offers another."""
    first = numbers[0]
    clause_end = _CLAUSE_END.search(sentence, first.end)
    end = clause_end.start() if clause_end else len(sentence)
    clause = [number for number in numbers if number.start < end]
    result = _result(sentence[:end], clause)
    if result is not None:
        return result
    others = [number for number in clause if number.value != first.value]
    if others and _ALTERNATIVE.search(sentence[first.end : others[0].start]):
        return Reading(None)
    return _reading(first)


def _result(text: str, numbers: list[Quantity]) -> Reading | None:
    """The number after the last equals sign."""
    equals = text.rfind("=")
    results = [number for number in numbers if number.start > equals]
    return _reading(results[0]) if equals >= 0 and results else None


def _reading(number: Quantity) -> Reading:
    return Reading(canonical_number(number.value))

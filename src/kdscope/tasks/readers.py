"""What it means to recognise an answer in a piece of text; `robust` decides which piece to read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

_LONGEST_SENTENCE = 1_000
# A full stop before white space ends a sentence, but not in "Mr. Tan", "Rs. 40" or "5 p.m. on Monday".
_SENTENCE_END = re.compile(
    r"\n+|(?<=[.!?])(?<!\b[MD]r\.)(?<!\bMs\.)(?<!\bMrs\.)(?<!\bRs\.)(?<!\bNo\.)(?<!\bSt\.)[ \t]+(?![a-z])"
)

_CONCLUSIVE = re.compile(
    r"\W{0,9}(?:\d{1,2}[.)]\s{0,3})?(?:and\s|so,?\s|but\s)?(?:therefore|thus|hence|so|consequently|accordingly"
    r"|in conclusion|in total|as a result|finally|altogether)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a piece of text answers: a value, or None when it names several and nothing decides."""

    value: str | None


@dataclass(frozen=True, slots=True)
class Mention:
    """A possible answer named in a text, and where."""

    value: str
    start: int
    end: int


class Reader(Protocol):
    """Recognises one kind of answer; every method returns None when it sees no answer at all."""

    def stated(self, sentence: str) -> Reading | None:
        """The answer in the sentence that follows an answer marker, or in a box."""

    def whole(self, text: str) -> Reading | None:
        """The answer when the text as a whole states one without a marker."""

    def concluded(self, sentence: str) -> Reading | None:
        """The answer in a sentence that concludes, as in "Therefore, ..."."""

    def inferred(self, text: str) -> Reading | None:
        """The answer that a finished text without a statement ends on."""

    def overrules(self, conclusion: str, statement: Reading) -> Reading | None:
        """The answer of a conclusion that follows `statement` and contradicts it."""


def decide(text: str, mentions: Sequence[Mention]) -> Reading | None:
    """One value named: that one. Several: the one the text opens with, unless it is offered as an alternative."""
    if not mentions:
        return None
    values = {mention.value for mention in mentions}
    if len(values) == 1 or _opens_alone(text, mentions):
        return Reading(mentions[0].value)
    return Reading(None)


def sentences(text: str) -> list[tuple[int, str]]:
    """Every sentence or line that holds a word, with its position."""
    found, start = [], 0
    for match in _SENTENCE_END.finditer(text):
        found.append((start, text[start : match.start()]))
        start = match.end()
    found.append((start, text[start:]))
    return [(position, sentence) for position, sentence in found if re.search(r"\w", sentence)]


def is_conclusive(sentence: str) -> bool:
    """Whether a sentence opens as conclusions do: therefore, thus, so, ..."""
    return _CONCLUSIVE.match(sentence) is not None


def first_sentence(text: str) -> str:
    """The text up to its first sentence end."""
    return _SENTENCE_END.split(text, maxsplit=1)[0]


def last_sentence(text: str, *, with_digit: bool = False) -> str:
    """The last sentence or line that holds a word, or a digit if asked; of a very long one its last part."""
    fitting = [sentence for _, sentence in sentences(text) if not with_digit or re.search(r"\d", sentence)]
    return fitting[-1][-_LONGEST_SENTENCE:] if fitting else ""


def _opens_alone(text: str, mentions: Sequence[Mention]) -> bool:
    if re.search(r"[^\W_]", text[: mentions[0].start]):
        return False
    other = next(mention for mention in mentions if mention.value != mentions[0].value)
    words = re.findall(r"\w+", text[mentions[0].end : other.start].lower())
    return bool(words) and words != ["and"] and "or" not in words[-2:]

"""What it means to recognise an answer in a piece of text; `robust` decides which piece to read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


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

    def inferred(self, text: str) -> Reading | None:
        """The answer that a finished text without a statement ends on."""


def decide(text: str, mentions: Sequence[Mention]) -> Reading | None:
    """One value named: that one. Several: the one the text opens with, unless it is offered as an alternative."""
    if not mentions:
        return None
    values = {mention.value for mention in mentions}
    if len(values) == 1 or _opens_alone(text, mentions):
        return Reading(mentions[0].value)
    return Reading(None)


def last_sentence(text: str) -> str:
    """The last sentence or line that holds a word."""
    sentences = [part for part in re.split(r"\n|(?<=[.!?])\s+", text) if re.search(r"\w", part)]
    return sentences[-1] if sentences else ""


def _opens_alone(text: str, mentions: Sequence[Mention]) -> bool:
    if re.search(r"[^\W_]", text[: mentions[0].start]):
        return False
    other = next(mention for mention in mentions if mention.value != mentions[0].value)
    between = text[mentions[0].end : other.start]
    return re.fullmatch(r"\W*|.*\b(?:or|and/or)\b\W*\w*\W*|\W*and\W*", between, re.IGNORECASE | re.DOTALL) is None

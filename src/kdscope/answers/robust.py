"""The robust rules: a completion's explicit statements first, guesses last and marked as such.

What a number, a letter or a label looks like is a `Reader`'s; here is in which part of the completion to look for it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from kdscope.answers.answer_format import Extraction, Status
from kdscope.answers.completion import first_answer, without_unfinished_end
from kdscope.answers.statements import (
    Statement,
    find_conclusion,
    find_corrections,
    find_hashes,
    find_retraction,
    find_statements,
    refuses,
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


class Reader(ABC):
    """Recognises one kind of answer; every method returns None when it sees no answer at all."""

    may_be_cut_short: ClassVar[bool] = True
    """Whether what the length limit leaves of an answer may look like another one: 1 of 12, an A of "Apples"."""
    knows_short_marker: ClassVar[bool] = False
    """Whether ``A:`` announces an answer."""

    @abstractmethod
    def stated(self, sentence: str) -> Reading | None:
        """The answer in the sentence that follows an answer marker, or in a box."""

    @abstractmethod
    def whole(self, text: str) -> Reading | None:
        """The answer when the text as a whole states one without a marker."""

    @abstractmethod
    def concluded(self, sentence: str) -> Reading | None:
        """The answer in a sentence that concludes, as in "Therefore, ..."."""

    @abstractmethod
    def inferred(self, text: str) -> Reading | None:
        """The answer that a finished text without a statement ends on."""

    def overrules(self, conclusion: str, statement: Reading) -> Reading | None:
        """The answer of a conclusion that follows `statement` and contradicts it; a stated choice stands."""
        del conclusion, statement
        return None


def read_answer(reader: Reader, completion: str, finish_reason: str) -> Extraction:
    r"""The answer a completion gives, by the first rule that finds one.

    1. The text ends at an end token, a new instruction or a second question; runaway text is read at its two ends
       (see `first_answer`).
    2. ``marker``: the last "the answer is ..." (or "Answer: ...") that is followed by an answer; ``boxed``: the last
       ``\boxed{...}``, if it comes later, or the last ``####``.
    3. ``whole``: the text itself is the answer, or names one choice only.
    4. ``conclusion``: a closing "Therefore, ...". One that comes after a marker and says another number overrules it.
    5. ``inferred``: what the last sentence with a number says, or the choice the text ends on; only if the model
       stopped by itself.

    A sentence with several numbers is read for its result, for the number with the unit asked for, or for the only one
    the question did not give. Numbers in words count where they open a statement or carry the unit asked for.
    Statements that name several answers, with no way to choose, are ambiguous. When the length limit cut the answer,
    an unfinished last number or letter is not read, and neither is a concluding step of a list.

    Args:
        reader: Recognises answers of the task's kind.
        completion: What the model wrote after the prompt, special tokens included or not.
        finish_reason: ``"stop"`` if the model ended by itself, ``"length"`` if the token limit did, ``"run_on"`` if
            generation was ended because the model began a new prompt: the answer is whole, but nothing is inferred.
    """
    answer = first_answer(completion)
    truncated = finish_reason == "length" and not answer.ended
    text = without_unfinished_end(answer.text) if truncated and reader.may_be_cut_short else answer.text
    ambiguous = ""
    for rule, reading in _readings(reader, text, truncated=truncated, may_infer=finish_reason == "stop"):
        if reading.value is not None:
            status: Status = "fallback" if rule == "inferred" else "explicit"
            return Extraction(reading.value, rule, status, truncated)
        ambiguous = ambiguous or rule
    if ambiguous:
        return Extraction(None, ambiguous, "ambiguous", truncated)
    return Extraction(None, "none", "unparsed", truncated)


def decide(text: str, mentions: Sequence[Mention]) -> Reading | None:
    """One value named: that one. Several: the one the text opens with, unless it is offered as an alternative."""
    if not mentions:
        return None
    values = {mention.value for mention in mentions}
    if len(values) == 1 or _opens_alone(text, mentions):
        return Reading(mentions[0].value)
    return Reading(None)


def only_choice(labels: Sequence[str]) -> Reading | None:
    """The choice that stands alone; several are ambiguous, none is no reading."""
    if not labels:
        return None
    return Reading(labels[0] if len(labels) == 1 else None)


def _readings(reader: Reader, text: str, *, truncated: bool, may_infer: bool) -> Iterator[tuple[str, Reading]]:
    """What each rule reads, best rule first."""
    conclusion = find_conclusion(text, complete=not truncated)
    stated = _first_stated(reader, find_statements(text, short_marker=reader.knows_short_marker))
    if stated:
        corrected = _corrected(reader, text, stated[0].start)
        yield from [("marker", corrected)] if corrected else _unless_overruled(reader, *stated, conclusion)
    hashes = next((reading for line in find_hashes(text) if (reading := reader.whole(line))), None)
    if hashes:
        yield "boxed", hashes
    # A statement that named several answers is not overruled by a guess from the text around it.
    if stated:
        return
    corrected = _corrected_last(reader, text)
    for rule, reading in (
        ("whole", corrected),
        ("whole", reader.whole(text)),
        ("conclusion", reader.concluded(conclusion.text) if conclusion else None),
        ("inferred", reader.inferred(text) if may_infer and not refuses(text) else None),
    ):
        if reading:
            yield rule, reading


def _first_stated(reader: Reader, statements: list[Statement]) -> tuple[Statement, Reading] | None:
    return next(((part, reading) for part in statements if (reading := reader.stated(part.text))), None)


def _corrected(reader: Reader, text: str, start: int) -> Reading | None:
    """What the text puts in the place of the answer stated at `start`; no value where it takes that back only."""
    replaced = _replaced(reader, text, start)
    if replaced:
        return replaced
    retracted = find_retraction(text, start)
    return None if retracted is None else reader.inferred(retracted) or Reading(None)


def _replaced(reader: Reader, text: str, start: int) -> Reading | None:
    return next((reading for after, _ in find_corrections(text, start) if (reading := reader.whole(after))), None)


def _corrected_last(reader: Reader, text: str) -> Reading | None:
    """What a text without a statement ends on by correcting itself, unless it goes on to another answer."""
    for after, rest in find_corrections(text, 0):
        if reading := reader.whole(after):
            later = reader.inferred(rest)
            return reading if later is None or later == reading else None
    return None


def _unless_overruled(
    reader: Reader, statement: Statement, stated: Reading, conclusion: Statement | None
) -> Iterator[tuple[str, Reading]]:
    """What a statement says, unless a conclusion after it says something else."""
    if conclusion and conclusion.start > statement.start:
        overruling = reader.overrules(conclusion.text, stated)
        if overruling:
            yield "conclusion", overruling
    yield statement.rule, stated


def _opens_alone(text: str, mentions: Sequence[Mention]) -> bool:
    if re.search(r"[^\W_]", text[: mentions[0].start]):
        return False
    other = next(mention for mention in mentions if mention.value != mentions[0].value)
    words = re.findall(r"\w+", text[mentions[0].end : other.start].lower())
    return bool(words) and words != ["and"] and "or" not in words[-2:]

"""The kinds of answers, each a file and a line here, and which of them a training row's reference states."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from kdscope.answers.answer_format import AnswerFormat
from kdscope.answers.label import LabelFormat
from kdscope.answers.letter import LetterFormat
from kdscope.answers.number import NumberFormat
from kdscope.answers.options import parse_options
from kdscope.answers.text import TextFormat
from kdscope.core.errors import DataError

AnswerKind = Literal["number", "letter", "label", "text"]

ANSWER_KINDS: Mapping[str, type[AnswerFormat]] = MappingProxyType(
    {
        "number": NumberFormat,  # a free number
        "letter": LetterFormat,  # A to at most E
        "label": LabelFormat,  # one word numbered from 1, such as answer3, or true and false
        "text": TextFormat,  # free text, compared with references
    }
)
_FORMAT = re.compile(r"\banswer\s+format\s*:\s*(\w+(?:/\w+)+)\s*\Z", re.IGNORECASE)
# A number that merely ends a text is no answer; one that is announced, boxed or all there is, is.
_STATED = frozenset({"marker", "boxed", "whole"})


@lru_cache(maxsize=256)
def answer_format(kind: AnswerKind, labels: tuple[str, ...] = ()) -> AnswerFormat:
    """The answers of this kind with these labels.

    Raises:
        DataError: There is no such kind, or its labels cannot be read.

    >>> answer_format("number").extract("She has 3 left. The answer is 3 of 24.").value
    '3'
    """
    if kind not in ANSWER_KINDS:
        raise DataError(f"there is no kind of answer {kind!r} (known: {', '.join(ANSWER_KINDS)})")
    made = ANSWER_KINDS[kind](labels)
    if bool(labels) != bool(made.label_form):
        raise DataError("a number or text task has no labels, every other task has some")
    if not made.labels_are_readable():
        raise DataError(f"labels must be {made.label_form}, not {', '.join(labels)}")
    return made


@dataclass(frozen=True, slots=True)
class ReferenceAnswer:
    """What a reference answers.

    Attributes:
        format: The kind of answer, which reads completions as an evaluation would.
        gold: The answer.
    """

    format: AnswerFormat
    gold: str

    def is_given_by(self, completion: str, *, finish_reason: str, instruction: str) -> bool:
        """Whether a completion gives this answer, by the robust rules."""
        value = self.format.extract(completion, finish_reason=finish_reason, instruction=instruction).value
        return value is not None and self.format.matches(value, self.gold, "robust")


def read_reference(instruction: str, output: str) -> ReferenceAnswer | None:
    """The answer that a reference output states; None where it states none, as free text does.

    The kind of answer follows from the row: one of the labels of an "Answer format: true/false" that ends the
    instruction, a letter where the instruction lists options "(A) ... (B) ...", else a number. The robust rules read
    it, as they read completions.

    >>> answer = read_reference("Ann has 3 pens and gets 4. How many now?", "3 + 4 = 7. The answer is 7.")
    >>> answer.gold if answer else None
    '7'
    >>> read_reference("Name a fruit.", "An apple.") is None
    True
    """
    for candidate in _formats(instruction):
        found = candidate.extract(output, instruction=instruction)
        if found.value is not None and found.status == "explicit" and (candidate.labels or found.rule in _STATED):
            return ReferenceAnswer(candidate, found.value)
    return None


def _formats(instruction: str) -> list[AnswerFormat]:
    """What the answer may be, the likeliest kind first."""
    if (listed := _FORMAT.search(instruction)) is not None:
        try:
            return [answer_format("label", tuple(listed[1].split("/")))]
        except DataError:
            return []  # labels that no reader knows
    letters = LetterFormat.default_labels
    options = tuple(parse_options(letters, instruction))
    if len(options) < 2 or options != letters[: len(options)]:
        return [answer_format("number")]
    return [answer_format("letter", options), answer_format("number")]

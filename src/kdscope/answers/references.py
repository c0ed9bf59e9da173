"""The answer that a training row's reference states, and the kind of answer it is: rows name no task."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kdscope.answers.answer_format import AnswerFormat
from kdscope.answers.kinds import answer_format
from kdscope.answers.letter import LetterFormat
from kdscope.answers.options import parse_options
from kdscope.core.errors import DataError

_FORMAT = re.compile(r"\banswer\s+format\s*:\s*(\w+(?:/\w+)+)\s*\Z", re.IGNORECASE)
# A number that merely ends a text is no answer; one that is announced, boxed or all there is, is.
_STATED = frozenset({"marker", "boxed", "whole"})


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

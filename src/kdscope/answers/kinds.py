"""The kinds of answers: each is a file and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from kdscope.answers.answer_format import AnswerFormat
from kdscope.answers.label import LabelFormat
from kdscope.answers.letter import LetterFormat
from kdscope.answers.number import NumberFormat
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

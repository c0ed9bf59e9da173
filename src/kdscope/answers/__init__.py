"""Reading the answer out of a completion, and comparing it with the right one.

One kind of answer a file (`number`, `letter`, `label`, `text`), listed in `kinds`. Standard library only.
"""

from kdscope.answers.answer_format import AnswerFormat, Extraction, Rules, Score, Status
from kdscope.answers.kinds import ANSWER_KINDS, AnswerKind, ReferenceAnswer, answer_format, read_reference
from kdscope.answers.quantities import numbers_match

__all__ = [
    "ANSWER_KINDS",
    "AnswerFormat",
    "AnswerKind",
    "Extraction",
    "ReferenceAnswer",
    "Rules",
    "Score",
    "Status",
    "answer_format",
    "numbers_match",
    "read_reference",
]

"""The answer that a training row's reference states, and the kind of answer it is: rows name no task."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kdscope.core.errors import DataError
from kdscope.tasks.options import parse_options
from kdscope.tasks.registry import AnswerKind, Task
from kdscope.tasks.robust import extract_robust

_FORMAT = re.compile(r"\banswer\s+format\s*:\s*(\w+(?:/\w+)+)\s*\Z", re.IGNORECASE)
_LETTERS = ("A", "B", "C", "D", "E")
# A number that merely ends a text is no answer; one that is announced, boxed or all there is, is.
_STATED = frozenset({"marker", "boxed", "whole"})


@dataclass(frozen=True, slots=True)
class ReferenceAnswer:
    """What a reference answers.

    Attributes:
        task: A task with answers of this kind, which reads completions as an evaluation would.
        gold: The answer.
    """

    task: Task
    gold: str


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
    for task in _tasks(instruction):
        found = extract_robust(task, output, finish_reason="stop", instruction=instruction)
        if found.value is not None and found.status == "explicit" and (task.labels or found.rule in _STATED):
            return ReferenceAnswer(task, found.value)
    return None


def _tasks(instruction: str) -> list[Task]:
    """What the answer may be, the likeliest kind first."""
    number = _task("number", ())
    if (format_ := _FORMAT.search(instruction)) is not None:
        try:
            return [_task("label", tuple(format_[1].split("/")))]
        except DataError:
            return []  # labels that no reader knows
    letters = _task("letter", _LETTERS)
    options = tuple(parse_options(letters, instruction))
    if len(options) < 2 or options != _LETTERS[: len(options)]:
        return [number]
    return [_task("letter", options), number]


def _task(kind: AnswerKind, labels: tuple[str, ...]) -> Task:
    chance = 1 / len(labels) if labels else 0.0
    return Task(f"reference-{kind}", "math", kind, labels, chance, None, "", "", "an answer of a training row")

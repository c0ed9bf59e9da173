"""What reading an answer out of a completion yields, and the rules of the paper's own evaluation code."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from kdscope.tasks.registry import Rules as Rules
from kdscope.tasks.registry import Task
from kdscope.tasks.segments import free_text

Status = Literal["explicit", "fallback", "ambiguous", "unparsed"]

# What a match can consist of, backwards from the last digit; and the matches before the last one in it.
_LAST_STRETCH = re.compile(r"\d[\d.]*+-?")
_EARLIER_MATCHES = re.compile(r"\A-?\.*+(?:\d++\.\d*+\.*+(?=\d))++")


@dataclass(frozen=True, slots=True)
class Extraction:
    """The answer read from one completion.

    Attributes:
        value: The answer as text, None when ambiguous or unparsed.
        rule: Name of the rule that decided.
        status: Whether the model stated its answer, it was inferred, it stated several, or none was found.
        truncated: The length limit cut the answer itself, not merely text that ran on after it.
    """

    value: str | None
    rule: str
    status: Status
    truncated: bool


def extract_published(task: Task, completion: str) -> Extraction:
    r"""The answer by the paper's evaluation code (Ramesh et al. 2025, after Hu et al. 2023, arXiv 2304.01933).

    Numbers: commas removed, the last match of ``-?\d+\.?\d*`` as a float. Letters: the first capital A to E anywhere,
    even inside a word. Labels: the first of the task's labels, case-sensitive (tasks with ``answerN`` labels share
    answer1 to answer5, whatever the number of options). The text ends at a repeated response header, where that code
    splits. Values are written as Python floats (``"4.0"``); a number too large for a float
    counts as unparsed, as that code gives both infinity. `truncated` is always False: these rules do not know it.
    A free text is the completion itself, as in the robust rules.
    """
    if task.answer_kind == "text":
        return extract_text(completion, "stop")
    answer = completion.partition("### Response:")[0].strip()
    value = _last_float(answer) if task.answer_kind == "number" else _first_label(answer, _published_labels(task))
    if value is None:
        return Extraction(None, "published", "unparsed", truncated=False)
    return Extraction(value, "published", "fallback" if task.answer_kind == "number" else "explicit", truncated=False)


def extract_text(completion: str, finish_reason: str) -> Extraction:
    """A free-text answer: the completion up to its end or the next prompt, unparsed when nothing is left."""
    answer = free_text(completion)
    truncated = finish_reason == "length" and not answer.ended
    return Extraction(answer.text or None, "text", "explicit" if answer.text else "unparsed", truncated)


def _last_float(text: str) -> str | None:
    r"""The last match of ``-?\d+\.?\d*`` as a float, found from the end of the text."""
    stretch = _LAST_STRETCH.search(text.replace(",", "")[::-1])
    if stretch is None:
        return None
    last = _EARLIER_MATCHES.sub("", stretch[0][::-1], count=1)
    number = float(re.findall(r"-?\d+\.?\d*", last)[-1])
    return str(number) if math.isfinite(number) else None


def _published_labels(task: Task) -> tuple[str, ...]:
    if task.labels[0] == "answer1":
        return ("answer1", "answer2", "answer3", "answer4", "answer5")
    return task.labels


def _first_label(text: str, labels: tuple[str, ...]) -> str | None:
    match = re.search("|".join(re.escape(label) for label in labels), text)
    return match[0] if match else None

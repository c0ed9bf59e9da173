"""Reading the answer a model meant: explicit statements first, guesses last and marked as such."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kdscope.tasks.choice_readers import LabelReader, LetterReader, TruthReader
from kdscope.tasks.extraction import Extraction, Status
from kdscope.tasks.number_reader import NumberReader
from kdscope.tasks.options import parse_options
from kdscope.tasks.quantities import mentioned_numbers
from kdscope.tasks.readers import Reader, Reading
from kdscope.tasks.registry import Task
from kdscope.tasks.segments import first_answer

_MARKER = re.compile(
    r"\banswers?\b[^\d.\n:=]{0,60}?(?:\b(?:is|are|was|be|equals)\b\s*:?|[:=])"
    r"|\b(?:correct|right|best|final)\s+(?:option|choice|solution|ending|result|value)\b[^\d.\n:=]{0,40}?(?:\bis\b\s*:?|:)",
    re.IGNORECASE,
)
_SHORT_MARKER = re.compile(r"^[ \t]*A[ \t]*:", re.MULTILINE)
_BOX_OPENING = re.compile(r"\\boxed\s*\{|\\fbox\s*\{")
_HASHES = re.compile(r"####[ \t]*([^\n]+)")
# Models that loop repeat a marker hundreds of times; reading each to the end would take quadratic time.
_MOST_MARKERS = 50
_LONGEST_STATEMENT = 1000
_UNFINISHED = re.compile(r"[\w.,$%/^-]+\Z")


def extract_robust(task: Task, completion: str, *, finish_reason: str, instruction: str = "") -> Extraction:
    r"""The answer a completion gives, by the first rule that finds one.

    1. The text ends at an end token, a new instruction or a second question.
    2. ``marker``: the last "the answer is ..." (or "Answer: ...") that is followed by an answer.
    3. ``boxed``: the last ``\boxed{...}``, then the last ``####``.
    4. ``whole``: the text itself is the answer, or names one choice only.
    5. ``inferred``: the last number, or the choice the text ends on; only if the model stopped by itself.

    Statements that name several answers, with no way to choose, are ambiguous. When the length limit cut the answer,
    an unfinished last number or letter is not read.

    Args:
        task: The task, for its kind of answer and its labels.
        completion: What the model wrote after the prompt, special tokens included or not.
        finish_reason: ``"stop"`` if the model ended by itself, ``"length"`` if the token limit did.
        instruction: The item's instruction, to know its options and given numbers.
    """
    answer = first_answer(completion)
    truncated = finish_reason == "length" and not answer.ended
    text = _UNFINISHED.sub("", answer.text) if truncated and task.answer_kind != "label" else answer.text
    reader = _reader(task, instruction)
    several = ""
    for rule, reading in _readings(task, reader, text, may_infer=finish_reason == "stop"):
        if reading.value is not None:
            status: Status = "fallback" if rule == "inferred" else "explicit"
            return Extraction(reading.value, rule, status, truncated)
        several = several or rule
    if several:
        return Extraction(None, several, "ambiguous", truncated)
    return Extraction(None, "none", "unparsed", truncated)


def _readings(task: Task, reader: Reader, text: str, *, may_infer: bool) -> Iterator[tuple[str, Reading]]:
    """What each rule reads, best rule first."""
    marked = _first_reading(reader, _after_markers(task, text))
    if marked:
        yield "marker", marked
    boxed = _first_reading(reader, [*_boxes(text), *reversed(_HASHES.findall(text))])
    if boxed:
        yield "boxed", boxed
    # A marker that named several answers is not overruled by a guess from the text around it.
    if marked and marked.value is None:
        return
    whole = reader.whole(text)
    if whole:
        yield "whole", whole
    inferred = reader.inferred(text) if may_infer else None
    if inferred:
        yield "inferred", inferred


def _first_reading(reader: Reader, payloads: list[str]) -> Reading | None:
    return next((reading for payload in payloads if (reading := reader.stated(payload))), None)


def _after_markers(task: Task, text: str) -> list[str]:
    """The sentence after each marker, last marker first."""
    ends = {match.end() for match in _MARKER.finditer(text)}
    if task.answer_kind == "number":
        ends |= {match.end() for match in _SHORT_MARKER.finditer(text)}
    last_ends = sorted(ends, reverse=True)[:_MOST_MARKERS]
    return [sentence for end in last_ends if (sentence := _sentence(text[end : end + _LONGEST_STATEMENT]))]


def _sentence(text: str) -> str:
    """The first sentence; empty when it denies."""
    sentence = re.split(r"\n|(?<=[.!?])\s+", text.lstrip(" \t\n:=*_>"), maxsplit=1)[0]
    return "" if re.match(r"(?:not|n't|unknown|unclear)\b", sentence, re.IGNORECASE) else sentence


def _boxes(text: str) -> list[str]:
    """The contents of every box, last first."""
    ends = [match.end() for match in _BOX_OPENING.finditer(text)][: -_MOST_MARKERS - 1 : -1]
    return [_balanced(text[end : end + _LONGEST_STATEMENT]) for end in ends]


def _balanced(text: str) -> str:
    depth = 1
    for position, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return text[:position]
    return ""


def _reader(task: Task, instruction: str) -> Reader:
    if task.answer_kind == "number":
        return NumberReader(mentioned_numbers(instruction))
    options = parse_options(task, instruction)
    if task.answer_kind == "letter":
        return LetterReader(options)
    return TruthReader() if set(task.labels) == {"true", "false"} else LabelReader(task.labels, options)

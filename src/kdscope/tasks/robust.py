"""Reading the answer a model meant: explicit statements first, guesses last and marked as such."""

from __future__ import annotations

from collections.abc import Iterator

from kdscope.tasks.choice_readers import LabelReader, LetterReader, TruthReader
from kdscope.tasks.extraction import Extraction, Status, extract_text
from kdscope.tasks.number_reader import NumberReader
from kdscope.tasks.options import parse_options
from kdscope.tasks.questions import parse_question
from kdscope.tasks.readers import Reader, Reading
from kdscope.tasks.registry import Task
from kdscope.tasks.segments import first_answer, without_unfinished_end
from kdscope.tasks.statements import Statement, find_conclusion, find_hashes, find_statements


def extract_robust(task: Task, completion: str, *, finish_reason: str, instruction: str = "") -> Extraction:
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
    an unfinished last number or letter is not read, and neither is a concluding step of a list. A free text is the
    completion itself.

    Args:
        task: The task, for its kind of answer and its labels.
        completion: What the model wrote after the prompt, special tokens included or not.
        finish_reason: ``"stop"`` if the model ended by itself, ``"length"`` if the token limit did, ``"run_on"`` if
            generation was ended because the model began a new prompt: the answer is whole, but nothing is inferred.
        instruction: The item's instruction, to know its options, given numbers and the unit asked for.
    """
    if task.answer_kind == "text":
        return extract_text(completion, finish_reason)
    answer = first_answer(completion)
    truncated = finish_reason == "length" and not answer.ended
    text = without_unfinished_end(answer.text) if truncated and task.answer_kind != "label" else answer.text
    ambiguous = ""
    for rule, reading in _readings(task, text, instruction, truncated=truncated, may_infer=finish_reason == "stop"):
        if reading.value is not None:
            status: Status = "fallback" if rule == "inferred" else "explicit"
            return Extraction(reading.value, rule, status, truncated)
        ambiguous = ambiguous or rule
    if ambiguous:
        return Extraction(None, ambiguous, "ambiguous", truncated)
    return Extraction(None, "none", "unparsed", truncated)


def _readings(
    task: Task, text: str, instruction: str, *, truncated: bool, may_infer: bool
) -> Iterator[tuple[str, Reading]]:
    """What each rule reads, best rule first."""
    reader = _reader(task, instruction)
    conclusion = find_conclusion(text, complete=not truncated)
    stated = _first_stated(reader, find_statements(text, short_marker=task.answer_kind == "number"))
    if stated:
        yield from _unless_overruled(reader, *stated, conclusion)
    hashes = next((reading for line in find_hashes(text) if (reading := reader.whole(line))), None)
    if hashes:
        yield "boxed", hashes
    # A statement that named several answers is not overruled by a guess from the text around it.
    if stated:
        return
    for rule, reading in (
        ("whole", reader.whole(text)),
        ("conclusion", reader.concluded(conclusion.text) if conclusion else None),
        ("inferred", reader.inferred(text) if may_infer else None),
    ):
        if reading:
            yield rule, reading


def _first_stated(reader: Reader, statements: list[Statement]) -> tuple[Statement, Reading] | None:
    return next(((part, reading) for part in statements if (reading := reader.stated(part.text))), None)


def _unless_overruled(
    reader: Reader, statement: Statement, stated: Reading, conclusion: Statement | None
) -> Iterator[tuple[str, Reading]]:
    """What a statement says, unless a conclusion after it says something else."""
    if conclusion and conclusion.start > statement.start:
        overruling = reader.overrules(conclusion.text, stated)
        if overruling:
            yield "conclusion", overruling
    yield statement.rule, stated


def _reader(task: Task, instruction: str) -> Reader:
    question = parse_question(instruction)
    if task.answer_kind == "number":
        return NumberReader(question)
    options = parse_options(task, instruction)
    if task.answer_kind == "letter":
        return LetterReader(options, question)
    return TruthReader() if set(task.labels) == {"true", "false"} else LabelReader(task.labels, options)

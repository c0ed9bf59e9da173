"""What holds for every text: no error, no contradiction, no more time than its length allows."""

from __future__ import annotations

import math
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.answers import Score
from kdscope.answers.completion import clean_text
from kdscope.tasks import Task, get_task

# One task of each kind: a number, a letter, a numbered label, true or false, a free text.
TASKS = [get_task(name) for name in ("gsm8k", "AQuA", "piqa", "boolq", "dolly")]
GOLD = {"gsm8k": "3", "AQuA": "B", "piqa": "solution1", "boolq": "true", "dolly": "A poem."}
INSTRUCTIONS = {
    "gsm8k": "Sam has 3 nets and $4. How many more fish do the two men need?",
    "AQuA": "How far is it? Answer Choices: (A) 1 km (B) two words (C) $3 (D) 4/5 (E) none of these",
    "piqa": "Choose: how?\n\nSolution1: twist it.\n\nSolution2: freeze it.\n\nAnswer format: solution1/solution2",
    "boolq": "Is it so?\n\nAnswer format: true/false",
    "dolly": "Write a poem.",
}
FRAGMENTS = [
    "the answer is",
    "Answer:",
    "A:",
    "The final answer is not",
    "answers are",
    "Therefore,",
    "So",
    "In total",
    "\\boxed{",
    "}",
    "####",
    "### Response:",
    "### Instruction:",
    "Below is an instruction that describes",
    "Question 2:",
    "</s>",
    "<|im_end|>",
    "<|im_start|>",
    "<s>",
    "[INST]",
    "<<3=",
    ">>",
    "**",
    "(B)",
    "(A|B)",
    "E)",
    "A",
    "b.",
    "option",
    "Option 2",
    "answer1",
    "Answer 3",
    "solution2",
    "true",
    "False",
    "yes",
    "No",
    "not",
    "or",
    "and",
    "which means",
    "=",
    "3/4",
    "1/0",
    "2 1/2",
    "½",
    "1,000",
    "1,00",
    "-5",
    "−5",
    "10-3",
    "- 3",
    "$",
    "$1 000",
    "%",
    "1e9",
    "1.5e3",
    ".5",
    "5.",
    "4:00",
    "7th",
    "#12",
    "٣",
    "three",
    "twenty-one",
    "one hundred",
    "fish",
    "two words",
    "twist it",
    "\n",
    "\n\n",
    "\t",
    ".",
    ". ",
    ":",
    ",",
    "\\frac{1}{2}",
    "\\text{",
    "P(A or B)",
    "\u00a0",
    "\u200b",
    "\u0000",
    "\U0001f600",
    "<think>",
    "</think>",
    "<answer>",
    "no, wait:",
    "that is wrong.",
    "but it is",
    "minus",
    "million",
    "× 10^6",
    "2^99",
    "5!",
    "√16",
    "two and a half",
    "2 hours 30 minutes",
    "x = 1, y = 2",
    "less than",
    "I don't know.",
    "１２",
    "*",
    "~~",
]
CHARACTERS = st.characters(exclude_categories=["Cs"])
PIECES = st.one_of(st.sampled_from(FRAGMENTS), st.text(CHARACTERS, max_size=4), st.integers().map(str))
TEXTS = st.one_of(
    st.lists(PIECES, max_size=25).map(" ".join), st.lists(PIECES, max_size=25).map("".join), st.text(CHARACTERS)
)
REASONS = st.sampled_from(["stop", "length", "run_on"])


@given(completion=TEXTS, instruction=st.one_of(st.none(), TEXTS), reason=REASONS)
@settings(max_examples=2000, deadline=None)
def test_any_text_is_read_without_error_or_contradiction(completion: str, instruction: str | None, reason: str) -> None:
    """2,000 texts, each read as every kind of answer: 10,000 cases."""
    for task in TASKS:
        given_instruction = INSTRUCTIONS[task.name] if instruction is None else instruction
        score = task.score(completion, GOLD[task.name], finish_reason=reason, instruction=given_instruction)
        _check_consistency(task, score, reason)


def _check_consistency(task: Task, score: Score, reason: str) -> None:
    assert (score.robust_value is None) == (score.robust_status in ("ambiguous", "unparsed"))
    assert not (score.robust_status == "fallback" and reason != "stop")
    assert not (score.truncated and reason != "length")
    for value, correct in (
        (score.robust_value, score.correct_robust),
        (score.published_value, score.correct_published),
    ):
        assert not (correct and value is None)
        assert value is None or not task.labels or value in task.labels
        assert value is None or task.answer_kind != "number" or math.isfinite(float(value))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@given(completion=TEXTS)
@settings(max_examples=300, deadline=None)
def test_ending_at_a_new_prompt_reads_as_the_text_with_that_prompt(task: Task, completion: str) -> None:
    instruction = INSTRUCTIONS[task.name]
    uncut = f"{completion}\n\n### Instruction:\nfoo"
    ended = task.extract(completion, finish_reason="run_on", instruction=instruction)
    whole = task.extract(uncut, finish_reason="length", instruction=instruction)
    assert (ended.value, ended.status) == (whole.value, whole.status)


@given(st.text("0123456789.-, ab٣\n", max_size=30))
@settings(max_examples=500, deadline=None)
def test_the_published_number_is_the_last_match_of_its_pattern(text: str) -> None:
    matches = re.findall(r"-?\d+\.?\d*", text.replace(",", ""))
    assert get_task("gsm8k").extract(text, "published").value == (str(float(matches[-1])) if matches else None)


@given(number=st.integers(-(10**9), 10**9), tail=st.sampled_from(["", ".", "!", " apples.", "\n\nDone.", "</s>junk 7"]))
def test_a_stated_integer_is_read_whatever_follows(number: int, tail: str) -> None:
    text = f"First 12 and then 3. The answer is {number:,}{tail}"
    assert get_task("gsm8k").extract(text, finish_reason="stop").value == str(number)


@given(TEXTS)
def test_a_clean_text_is_clean(text: str) -> None:
    cleaned = clean_text(text)
    assert cleaned == cleaned.strip()
    assert "</s>" not in cleaned


REPEATED = {
    "digits": "7",
    "numbers": "1 2 3 ",
    "groups": "1,11",
    "points": "1.1",
    "fractions": "1/",
    "half": "½",
    "signs": "-",
    "minus": "−3 ",
    "full stops": ".",
    "spaces": " ",
    "lines": "\n",
    "word": "a",
    "marker": "the answer is ",
    "answers": "answer: 5\n",
    "denials": "the answer is not ",
    "boxes": "\\boxed{",
    "hashes": "####",
    "choices": "(A) ",
    "closed": "A)",
    "list": "1. ",
    "truths": "True or false ",
    "labels": "solution1 or ",
    "conclusions": "Therefore, ",
    "words for numbers": "one hundred ",
    "instructions": "### Instruction:",
    "questions": "Q:\n",
    "end tokens": "</s>",
    "brackets": "<<",
    "LaTeX": "\\frac{",
    "reasoning": "<think>a</think>",
    "headings": "[Reasoning] a ",
    "corrections": "28. no, 12. ",
    "subjects": "28 but is 12, ",
    "magnitudes": "1 million ",
    "powers": "2^5 ",
    "spaced thousands": "1 234 ",
    "signs in words": "minus 7 ",
    "fractions in words": "one half and a ",
    "emphasis": "*a",
    "blanks": "_",
    "prose": "She had been to see it or not and so on, which is why. ",
}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize("piece", REPEATED.values(), ids=REPEATED)
def test_time_grows_with_length_at_most(task: Task, piece: str) -> None:
    """A megabyte takes 0.1 s; on a busy machine, no more than its share of what a quarter of it takes, and 2 s."""
    seconds = _seconds(task, _repeated(piece, 1_000_000), enough=0.1)
    if seconds > 0.1:
        assert seconds < 8 * _seconds(task, _repeated(piece, 250_000))
        assert seconds < 2


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize("piece", REPEATED.values(), ids=REPEATED)
def test_no_part_that_is_read_takes_quadratic_time(task: Task, piece: str) -> None:
    """8,000 characters are read from end to end."""
    seconds = _seconds(task, _repeated(piece, 8_000), enough=0.02)
    if seconds > 0.02:
        assert seconds < 25 * max(_seconds(task, _repeated(piece, 1_000)), 0.001)


def _repeated(piece: str, length: int) -> str:
    return (piece * (length // len(piece) + 1))[:length]


def _seconds(task: Task, text: str, enough: float = 0.0) -> float:
    """The best of five scorings, or the first that took at most `enough`."""
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        task.score(text, GOLD[task.name], finish_reason="stop", instruction=INSTRUCTIONS[task.name])
        best = min(best, time.perf_counter() - start)
        if best <= enough:
            break
    return best

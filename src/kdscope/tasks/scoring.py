"""Scoring a completion twice: by the paper's rules and by the robust ones; both are always kept."""

from __future__ import annotations

from dataclasses import dataclass

from kdscope.core.errors import DataError
from kdscope.tasks.extraction import Rules, Status, extract_published
from kdscope.tasks.quantities import numbers_match, parse_number
from kdscope.tasks.registry import Task
from kdscope.tasks.robust import extract_robust

_PUBLISHED_TOLERANCE = 0.001


@dataclass(frozen=True, slots=True)
class Score:
    """One completion scored by both rules; an answer that could not be read is wrong in both.

    A free text has no right answer: its value is the cleaned text, compared with references elsewhere.

    Attributes:
        published_value: The answer by the published rules, None when unparsed.
        correct_published: Whether it is right by the published rules.
        robust_value: The answer by the robust rules, None when ambiguous or unparsed.
        robust_rule: The robust rule that decided.
        robust_status: explicit, fallback, ambiguous or unparsed.
        truncated: The length limit cut the answer.
        correct_robust: Whether the robust answer is right.
    """

    published_value: str | None
    correct_published: bool
    robust_value: str | None
    robust_rule: str
    robust_status: Status
    truncated: bool
    correct_robust: bool


def score_completion(task: Task, completion: str, gold: str, *, finish_reason: str, instruction: str = "") -> Score:
    """Scores one completion against the gold answer.

    Raises:
        DataError: The gold answer is no number, or none of the task's labels.

    >>> from kdscope.tasks.catalogue import get_task
    >>> score = score_completion(get_task("gsm8k"), "The answer is 10 - 3 = 7.", "7.0", finish_reason="stop")
    >>> score.correct_published, score.robust_value, score.robust_status
    (True, '7', 'explicit')
    """
    published = extract_published(task, completion)
    robust = extract_robust(task, completion, finish_reason=finish_reason, instruction=instruction)
    return Score(
        published_value=published.value,
        correct_published=is_right(task, published.value, gold, "published"),
        robust_value=robust.value,
        robust_rule=robust.rule,
        robust_status=robust.status,
        truncated=robust.truncated,
        correct_robust=is_right(task, robust.value, gold, "robust"),
    )


def is_right(task: Task, value: str | None, gold: str, rules: Rules = "robust") -> bool:
    """Whether an answer that was read is the gold answer; never for a free text, nor when nothing was read.

    Numbers: by the published rules to 0.001; by the robust ones exactly for an integer, else to a relative 1e-6.

    Raises:
        DataError: The gold answer is no number, or none of the task's labels.

    >>> from kdscope.tasks.catalogue import get_task
    >>> is_right(get_task("gsm8k"), "4.0", "4"), is_right(get_task("gsm8k"), "4.0005", "4", "published")
    (True, True)
    """
    if task.answer_kind == "text":
        return False
    _check_gold(task, gold)
    if value is None:
        return False
    if task.answer_kind != "number":
        return value == gold
    return numbers_match(value, gold) if rules == "robust" else _within_published_tolerance(value, gold)


def _within_published_tolerance(predicted: str, gold: str) -> bool:
    value, expected = parse_number(predicted), parse_number(gold)
    return value is not None and expected is not None and abs(float(expected) - float(value)) <= _PUBLISHED_TOLERANCE


def _check_gold(task: Task, gold: str) -> None:
    usable = parse_number(gold) is not None if task.answer_kind == "number" else gold in task.labels
    if not usable:
        expected = "a number" if task.answer_kind == "number" else f"one of {', '.join(task.labels)}"
        raise DataError(f"the gold answer {gold!r} is not {expected}", key=task.name)

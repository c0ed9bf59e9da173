"""Everything that is wrong with a row, not only the first thing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from kdscope.core.errors import DataError
from kdscope.data.formats import form_of, training_texts
from kdscope.data.rows import Row
from kdscope.data.sources import read_gold
from kdscope.tasks import Task

Kind = Literal["items", "training"]
"""Evaluation items, or examples to train on."""

_USED = ("instruction", "input", "output", "answer", "prompt", "completion", "messages")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
_MISREAD = re.compile("[\x80-\x84\x86-\x9f]")


class Repeating(dict[str, Any]):
    """A JSON object in which keys were given twice, each with its last value."""

    repeated: tuple[str, ...] = ()


def keep_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object of its keys and values, which remembers the keys that were given twice."""
    values = dict(pairs)
    if len(values) == len(pairs):
        return values
    keys = [key for key, _ in pairs]
    marked = Repeating(values)
    marked.repeated = tuple(key for key in values if keys.count(key) > 1)
    return marked


def row_problems(row: Row, kind: Kind, task: Task | None, *, free_text: bool) -> Iterator[DataError]:
    """Whatever makes a row unusable, each with its key.

    Args:
        row: The row.
        kind: What it is for.
        task: Its task, if it is known.
        free_text: Whether the answers of items are free texts with references.
    """
    for key in _repeated(row.values):
        yield row.error("the key is given twice, and only one of its values can count", key[:40])
    if kind == "training":
        yield from _training_problems(row, task)
    else:
        yield from _item_problems(row, task, free_text=free_text)
    for key in _USED:
        if (found := _first_match(_CONTROL, row.values.get(key))) is not None:
            yield row.error(f"holds the control character U+{ord(found):04X}, which is not text", key)


def misread_character(row: Row) -> str | None:
    """The first character that is what remains of text read in a wrong encoding (U+0080 to U+009F), if there is one."""
    found = (_first_match(_MISREAD, row.values.get(key)) for key in _USED)
    return next((character for character in found if character is not None), None)


def option_problems(rows: Sequence[Row], task: Task) -> Iterator[DataError]:
    """Items whose own list of options is not one that the task has, or does not have the right answer.

    A task that is asked without a list of its options has no such problems. Items of a task list all of its labels,
    unless its chance level says that some have fewer.
    """
    if not task.labels or task.labels == ("true", "false"):
        return
    listed = [
        (row, tuple(task.options(text))) for row in rows if isinstance(text := row.values.get("instruction"), str)
    ]
    if sum(bool(labels) for _, labels in listed) * 2 <= len(listed):
        return
    for row, labels in listed:
        if (message := _listing_problem(task, row.values["instruction"], labels)) is not None:
            yield row.error(message, "instruction")
        gold = row.values.get("answer")
        if labels and gold in task.labels and gold not in labels:
            yield row.error(f"{gold!r} is not among the {len(labels)} options that the item lists", "answer")


def _training_problems(row: Row, task: Task | None) -> Iterator[DataError]:
    form = _raised(lambda: form_of(row))
    if form or form_of(row) != "instruction":
        yield from form or _raised(lambda: training_texts(row))
    else:
        yield from _question_problems(row)
        yield from _raised(lambda: row.text("output"))
    if task is not None and not task.is_text and row.values.get("answer") is not None:
        yield from _answer_problems(row, task)


def _item_problems(row: Row, task: Task | None, *, free_text: bool) -> Iterator[DataError]:
    yield from _question_problems(row)
    yield from _raised(lambda: row.texts("output")) if free_text else _answer_problems(row, task)


def _question_problems(row: Row) -> Iterator[DataError]:
    yield from _raised(lambda: row.text("instruction"))
    yield from _raised(lambda: row.optional_text("input"))


def _answer_problems(row: Row, task: Task | None) -> Sequence[DataError]:
    value = row.values.get("answer")
    if isinstance(value, float) and not math.isfinite(value):
        return [row.error("NaN or Infinity is written, which is no answer and not JSON", "answer")]
    return _raised(lambda: row.scalar_text("answer") if task is None else read_gold(task, row))


def _raised(read: Callable[[], object]) -> Sequence[DataError]:
    try:
        read()
    except DataError as error:
        return [error]
    return []


def _repeated(value: object) -> Iterator[str]:
    if isinstance(value, Repeating):
        yield from value.repeated
    if isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            if isinstance(inner, (dict, list)):
                yield from _repeated(inner)


def _first_match(pattern: re.Pattern[str], value: object) -> str | None:
    if isinstance(value, str):
        match = pattern.search(value)
        return match[0] if match else None
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    found = (_first_match(pattern, part) for part in inner)
    return next((character for character in found if character is not None), None)


def _listing_problem(task: Task, instruction: str, labels: tuple[str, ...]) -> str | None:
    count = len(task.labels)
    listed = f"the item lists {len(labels)} option{'' if len(labels) == 1 else 's'} ({', '.join(labels) or 'none'})"
    all_listed = math.isclose(task.chance, 1 / count)
    if set(labels) != set(task.labels[: len(labels)]) or len(labels) < 2 or (all_listed and len(labels) != count):
        return f"{listed}, and {task.name} has {task.labels[0]} to {task.labels[-1]}"
    beyond = _label_after(task.labels)
    mark = rf"\({beyond}\)" if len(beyond) == 1 else rf"\b{re.escape(beyond)}\s*:"
    if re.search(mark, instruction, re.IGNORECASE if len(beyond) > 1 else 0):
        return f"the item lists {beyond}, and {task.name} has {task.labels[0]} to {task.labels[-1]}"
    return None


def _label_after(labels: tuple[str, ...]) -> str:
    """The label that would come next.

    >>> _label_after(("answer1", "answer2")), _label_after(("A", "B", "C"))
    ('answer3', 'D')
    """
    last = labels[-1]
    return chr(ord(last) + 1) if len(last) == 1 else f"{last.rstrip('0123456789')}{len(labels) + 1}"

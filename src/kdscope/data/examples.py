"""Training examples and evaluation items from JSON files.

Items are in the schema of LLM-Adapters (Hu et al. 2023, arXiv 2304.01933). Training rows have instruction and output,
prompt and completion, or chat messages, which is told by their keys; the latter two are the forms of TRL and of
OpenAI's fine-tuning files.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from kdscope.core.errors import DataError
from kdscope.data.rows import Row, kind_of, read_rows
from kdscope.data.side_keys import SYSTEM, check_asked, check_item, check_message, check_taught, has_system, system_text
from kdscope.tasks import Task

_FRACTION = re.compile(r"[-+]?\d+/0*[1-9]\d*")
Form = Literal["instruction", "completion", "messages", "prompt"]
# The key that tells each form. `prompt` tells nothing beside them: instruction and chat rows often keep one as well.
_TELLING: tuple[Form, ...] = ("instruction", "completion", "messages")
_SYSTEM = ("system", "developer")
_FORMS = "a row has 'instruction' and 'output', 'prompt' and 'completion', or 'messages'"


@dataclass(frozen=True, slots=True)
class Example:
    """One training example.

    Attributes:
        row: Where it stands in its file: the line of a JSONL file, the position in a JSON list counted from 1.
        instruction: The question.
        input: More of the question, often empty.
        output: The response to learn.
    """

    row: int
    instruction: str
    input: str
    output: str


@dataclass(frozen=True, slots=True)
class Item:
    """One evaluation item.

    Attributes:
        task: Name of its task.
        index: Position in the task's file, from 0.
        item_id: Unique over all tasks, for example ``"gsm8k/17"``.
        instruction: The question.
        input: More of the question, often empty.
        gold: The right answer as the file writes it; the first reference of a text task.
        content_hash: SHA-256 of question and gold, or of question and references; equal for duplicates, whatever
            their place.
        references: Every right answer of a text task; empty for other tasks.
    """

    task: str
    index: int
    item_id: str
    instruction: str
    input: str
    gold: str
    content_hash: str
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """Training and validation examples, each in file order.

    Attributes:
        train: Examples to train on.
        validation: Examples held out.
        duplicates_removed: How many examples left `train` because `validation` has their text.
    """

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    duplicates_removed: int = 0


def read_examples(path: Path) -> list[Example]:
    """The training examples of a JSON list or a JSONL file.

    A row has `instruction`, `input` (may be absent) and `output`, or another of the forms of `Form`.

    Raises:
        DataError: The file or one of its rows cannot be used; the message names file, row and key.
    """
    return as_examples(read_rows(Path(path)))


def as_examples(rows: Sequence[Row]) -> list[Example]:
    """Rows as training examples.

    Raises:
        DataError: A row cannot be used; the message names file, row and key.
    """
    return [Example(row.number, *training_texts(row)) for row in rows]


def as_prompts(rows: Sequence[Row]) -> list[Example]:
    """Rows as prompts without an answer: an output is not looked at and not kept.

    Raises:
        DataError: A row cannot be used; the message names file, row and key.
    """
    return [Example(row.number, *prompt_texts(row)) for row in rows]


def as_items(task: Task, rows: Sequence[Row]) -> list[Item]:
    """Rows as evaluation items.

    Raises:
        DataError: A row cannot be used, or a gold answer is not one of the task.
    """
    return [_read_item(task, index, row) for index, row in enumerate(rows)]


def split_examples(examples: Sequence[Example], *, limit: int | None, validation_items: int, seed: int) -> Split:
    """Draw rows and hold some of them out.

    The row numbers are shuffled by `random.Random(seed)`; of that order the first `validation_items` are held out and
    the rest, up to `limit` rows altogether, are trained on. So the validation rows are the same for every limit, and a
    smaller limit trains on a part of what a bigger one does. An example with the text of a validation example is not
    trained on.

    Raises:
        DataError: There are fewer rows than asked for, or none is left to train on.
    """
    wanted = len(examples) if limit is None else limit
    if wanted > len(examples):
        raise DataError(f"{wanted} rows are asked for, but there are {len(examples)}", key="limit")
    order = list(range(len(examples)))
    random.Random(seed).shuffle(order)
    held_out, kept = sorted(order[:validation_items]), sorted(order[validation_items:wanted])
    held_texts = {_text(examples[index]) for index in held_out}
    train = tuple(examples[index] for index in kept if _text(examples[index]) not in held_texts)
    if not train:
        message = f"{wanted} rows leave none to train on when {validation_items} are held out"
        raise DataError(message, key="validation_items")
    return Split(train, tuple(examples[index] for index in held_out), len(kept) - len(train))


def _text(example: Example) -> tuple[str, str, str]:
    return example.instruction, example.input, example.output


def read_gold(task: Task, row: Row) -> str:
    """The right answer of a row, for a task with labels or numbers.

    Raises:
        DataError: It is missing, or none of the task.
    """
    gold = row.scalar_text("answer").strip()
    if task.labels and gold not in task.labels:
        raise row.error(f"{gold[:40]!r} is not an answer of {task.name}: {', '.join(task.labels)}", "answer")
    if not task.labels and not _is_number(gold):
        raise row.error(f"{gold[:40]!r} is not a number, and the answers of {task.name} are", "answer")
    return gold


def _read_item(task: Task, index: int, row: Row) -> Item:
    check_item(row)
    instruction, context = row.text("instruction"), row.optional_text("input")
    references = row.texts("output") if task.is_text else ()
    gold = references[0] if references else read_gold(task, row)
    digest = _content_hash([instruction, context, list(references) if references else gold])
    return Item(task.name, index, f"{task.name}/{index}", instruction, context, gold, digest, references)


def _content_hash(content: list[str | list[str]]) -> str:
    canonical = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return _FRACTION.fullmatch(text) is not None


class Texts(NamedTuple):
    """The texts of a training row; `output` is empty where it was not asked for."""

    instruction: str
    input: str
    output: str


def form_of(row: Row) -> Form:
    """Which form a row has; a key that holds null counts as absent.

    Raises:
        DataError: It has none, or the keys of two.
    """
    found = [key for key in _TELLING if row.values.get(key) is not None]
    if len(found) > 1:
        raise row.error(f"the row mixes two forms: '{found[0]}' is there too; {_FORMS}", found[1])
    if found:
        return found[0]
    present = [key for key in (*_TELLING, "prompt") if key in row.values]
    if present:
        return "prompt" if "prompt" in present else present[0]
    keys = ", ".join(repr(key)[:40] for key in list(row.values)[:10]) or "no keys"
    raise row.error(f"the key is missing; the row has {keys}, and {_FORMS}", "instruction")


def training_texts(row: Row) -> Texts:
    """Question and response of a row of any form.

    Raises:
        DataError: A part is missing or not of its kind, a chat has several turns, or the row mixes two forms, or has
            more to teach than its texts.
    """
    form = form_of(row)
    check_taught(row)
    if form == "instruction":
        return prompt_texts(row)._replace(output=row.text("output"))
    if form == "messages":
        turns = _messages(row, "messages", row.values["messages"])
        output = _answer(row, "messages", turns[-1:], len(turns))
        check_asked(row)
        return Texts(_question(row, "messages", turns[:-1]), "", output)
    return prompt_texts(row)._replace(output=_completion(row))


def prompt_texts(row: Row) -> Texts:
    """Question of a row of any form; its response is neither needed nor looked at.

    Raises:
        DataError: The question is missing or not of its kind, a chat has several turns, or the row mixes two forms, or
            asks with more than its texts.
    """
    form = form_of(row)
    check_asked(row)
    if form == "instruction":
        return Texts(_after_system(row, row.text("instruction")), row.optional_text("input"), "")
    if form == "messages":
        turns = _messages(row, "messages", row.values["messages"])
        answered = len(turns) > 1 and turns[-1]["role"] == "assistant"
        return Texts(_question(row, "messages", turns[:-1] if answered else turns), "", "")
    return Texts(_prompt(row), "", "")


def _after_system(row: Row, question: str) -> str:
    """A question after what the row's own `system` says, a blank line between."""
    system = system_text(row)
    return f"{system}\n\n{question}" if system else question


def _prompt(row: Row) -> str:
    value = row.value("prompt")
    if not isinstance(value, list):
        return _after_system(row, row.text("prompt"))
    return _question(row, "prompt", _messages(row, "prompt", value))


def _completion(row: Row) -> str:
    value = row.value("completion")
    if not isinstance(value, list):
        return row.text("completion")
    return _answer(row, "completion", _messages(row, "completion", value), 1)


def _messages(row: Row, key: str, value: object) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise row.error(f"expected a list of messages, given {kind_of(value)}", key)
    if not value:
        raise row.error("the list is empty, and messages are needed", key)
    for place, message in enumerate(value, 1):
        if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
            raise row.error("expected a message with 'role' and 'content'", f"{key}[{place}]")
    return value


def _question(row: Row, key: str, messages: Sequence[Mapping[str, Any]]) -> str:
    """The user's text; what the system says stands before it, a blank line between."""
    wanted = "expected one user message, perhaps after a system message"
    roles = [message["role"] for message in messages]
    if sum(role == "user" for role in roles) > 1:
        raise row.error(f"the chat has several turns ({', '.join(map(str, roles))}), and only one can be used", key)
    if not roles or roles[-1] != "user" or len(roles) > 2 or (len(roles) == 2 and roles[0] not in _SYSTEM):
        raise row.error(f"{wanted}, given {', '.join(map(str, roles)) or 'none'}", key)
    if len(roles) == 2 and has_system(row):
        raise row.error(f"the chat has a {roles[0]} message too, and one of them can be used", SYSTEM)
    texts = []
    for place, message in enumerate(messages, 1):
        check_message(row, message, f"{key}[{place}]", taught=False)
        texts.append(row.as_text(message["content"], f"{key}[{place}]"))
    return _after_system(row, "\n\n".join(texts))


def _answer(row: Row, key: str, messages: Sequence[Mapping[str, Any]], place: int) -> str:
    """The assistant's text, in the message at this place."""
    roles = [message["role"] for message in messages]
    if roles != ["assistant"]:
        raise row.error(f"expected one assistant message at the end, given {', '.join(map(str, roles))}", key)
    check_message(row, messages[0], f"{key}[{place}]", taught=True)
    return row.as_text(messages[0]["content"], f"{key}: the assistant's content")

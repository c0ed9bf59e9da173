"""Training examples and evaluation items from files of rows.

Items are in the schema of LLM-Adapters (Hu et al. 2023, arXiv 2304.01933); training rows have one of the forms of
`kdscope.data.forms`.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kdscope.core.errors import DataError
from kdscope.data.forms import prompt_texts, training_texts
from kdscope.data.rows import Row, read_rows
from kdscope.data.side_keys import check_item
from kdscope.tasks import Task

_FRACTION = re.compile(r"[-+]?\d+/0*[1-9]\d*")


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

    A row has `instruction`, `input` (may be absent) and `output`, or another of the forms of `kdscope.data.forms`.

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

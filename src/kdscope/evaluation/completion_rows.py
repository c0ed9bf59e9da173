"""One row of somebody's saved completions: which of its keys hold the answer, the gold answer and the item."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdscope.data.rows import Row
from kdscope.tasks import Task

# The more telling name wins: where a row has a completion, its output may be the reference of the task's own file.
_COMPLETION_KEYS = ("output_pred", "completion", "response", "output", "text")
_GOLD_KEYS = ("label", "gold", "answer", "target")
_INDEX_KEYS = ("index", "doc_id")
_PREDICTION_KEYS = ("prediction", "pred")
_SEED_KEYS = ("decoding_seed", "seed")
_REASONS = ("stop", "length", "run_on")
_SOLUTION_END = re.compile(r"####\s*(\S[^\n]*)\s*\Z")


@dataclass(frozen=True, slots=True)
class SavedCompletion:
    """A completion that was saved elsewhere, before it is scored.

    Attributes:
        task: Task name.
        index: Position of its item in the task's file, from 0.
        decoding_seed: Seed of the sampling; 0, 1, ... where the row holds several answers and tells no seed.
        completion: What the model wrote, special tokens included or not.
        finish_reason: stop, length or run_on.
        gold: The right answer, if the row tells it.
        references: All right answers of a free-text task, if the row tells them.
        instruction: The question, if the row tells it.
        prompt: What the model was given, if the row tells it.
        prediction: The answer that was read when it was saved, if the row tells it.
        place: The row it comes from, for errors.
    """

    task: str
    index: int
    decoding_seed: int
    completion: str
    finish_reason: str
    gold: str | None
    references: tuple[str, ...]
    instruction: str
    prompt: str
    prediction: str | None
    place: Row

    @property
    def item_id(self) -> str:
        """The id of its item."""
        return f"{self.task}/{self.index}"


def saved_completions(row: Row, task: Task, position: int, assumed: str) -> list[SavedCompletion]:
    """The completions of a row: one, or as many as were drawn for its item.

    Args:
        row: The row.
        task: Its task.
        position: Its position among the rows of the task, from 0, where the row tells no index.
        assumed: The finish reason where the row tells none.

    Raises:
        DataError: A key is missing or holds something else than it should; names file, row and key.
    """
    texts = _texts(row)
    reasons = _reasons(row, len(texts), assumed)
    index = _whole_number(row, _INDEX_KEYS, position)
    seed = _whole_number(row, _SEED_KEYS, 0)
    references = _references(row, task)
    shared: dict[str, Any] = {
        "task": task.name,
        "index": index,
        "gold": references[0] if references else None,
        "references": references if task.answer_kind == "text" else (),
        "instruction": _instruction(row),
        "prompt": _prompt(row),
        "prediction": _prediction(row),
        "place": row,
    }
    return [
        SavedCompletion(decoding_seed=seed + number, completion=text, finish_reason=reason, **shared)
        for number, (text, reason) in enumerate(zip(texts, reasons, strict=True))
    ]


def tells_finish_reason(row: Row) -> bool:
    """Whether the row says why its completion ended."""
    return row.values.get("finish_reason") is not None


def _texts(row: Row) -> list[str]:
    if row.values.get("resps") is not None:
        return _responses(row)
    key = next((key for key in _COMPLETION_KEYS if row.values.get(key) is not None), None)
    if key is None:
        raise row.error(f"no completion: none of resps, {', '.join(_COMPLETION_KEYS)} is there", "output")
    return [row.optional_text(key)]


def _responses(row: Row) -> list[str]:
    """The texts of lm-evaluation-harness: one request, one response for each repeat."""
    requests = row.values["resps"]
    if not (isinstance(requests, list) and len(requests) == 1 and isinstance(requests[0], list) and requests[0]):
        raise row.error("expected the generated texts of one request: scores of several choices are no text", "resps")
    if not all(isinstance(text, str) for text in requests[0]):
        raise row.error("holds scores (log-likelihoods), not the text of an answer", "resps")
    return list(requests[0])


def _reasons(row: Row, count: int, assumed: str) -> list[str]:
    told = row.values.get("finish_reason")
    reasons = told if isinstance(told, list) else [assumed if told is None else told] * count
    if len(reasons) != count:
        raise row.error(f"{len(reasons)} reasons for {count} completions", "finish_reason")
    for reason in reasons:
        if reason not in _REASONS:
            raise row.error(f"{reason!r} is not one of {', '.join(_REASONS)}", "finish_reason")
    return reasons


def _whole_number(row: Row, keys: Sequence[str], default: int) -> int:
    key = next((key for key in keys if row.values.get(key) is not None), None)
    if key is None:
        return default
    value = row.values[key]
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise row.error(f"expected a whole number from 0, given {str(value)[:40]!r}", key)
    return value


def _references(row: Row, task: Task) -> tuple[str, ...]:
    """The right answers of a row, at most one unless the task is free text; none where the row tells none."""
    listed = row.values.get("references")
    if task.answer_kind == "text" and listed is not None:
        return _text_list(row, "references")
    key = next((key for key in _GOLD_KEYS if row.values.get(key) is not None), None)
    if key is None:
        return ()
    if isinstance(row.values[key], list) and task.answer_kind == "text":
        return _text_list(row, key)
    gold = row.scalar_text(key).strip()
    end = _SOLUTION_END.search(gold) if task.answer_kind == "number" else None
    # GSM8K's own files end a worked solution with its answer.
    return (end[1].strip().replace(",", "") if end else gold,)


def _text_list(row: Row, key: str) -> tuple[str, ...]:
    values = row.values[key]
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise row.error("expected a list of texts, at least one", key)
    return tuple(values)


def _instruction(row: Row) -> str:
    document = row.values.get("doc")
    told = row.values.get("instruction")
    if told is None and isinstance(document, Mapping):
        told = document.get("instruction")
    return told if isinstance(told, str) else ""


def _prompt(row: Row) -> str:
    """The prompt, from its key or from the arguments that lm-evaluation-harness keeps."""
    told: Any = row.values.get("prompt")
    if told is None:
        told = row.values.get("arguments")
        for first in ("gen_args_0", "arg_0"):
            told = told.get(first) if isinstance(told, Mapping) else None
    return told if isinstance(told, str) else ""


def _prediction(row: Row) -> str | None:
    key = next((key for key in _PREDICTION_KEYS if row.values.get(key) is not None), None)
    value = None if key is None else row.values[key]
    return value if isinstance(value, str) else None if value is None else str(value)

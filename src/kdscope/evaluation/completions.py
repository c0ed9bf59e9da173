"""Completions that were saved before: by kdscope, by lm-evaluation-harness, or by anybody as JSON rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdscope.core.errors import DataError
from kdscope.data.rows import Row, read_rows
from kdscope.evaluation.records import Record, read_records
from kdscope.results.run_file import EVALUATED_AGAIN, check_run_files
from kdscope.tasks import Task, TaskRegistry, default_registry

# The more telling name wins: where a row has a completion, its output may be the reference of the task's own file.
_COMPLETION_KEYS = ("output_pred", "completion", "response", "output", "text")
_GOLD_KEYS = ("label", "gold", "answer", "target")
_INDEX_KEYS = ("index", "doc_id")
_PREDICTION_KEYS = ("prediction", "pred")
_SEED_KEYS = ("decoding_seed", "seed")
_REASONS = ("stop", "length", "run_on")
_SOLUTION_END = re.compile(r"####\s*(\S[^\n]*)\s*\Z")
_JSON = (".jsonl", ".json")
_SHOWN = 8
_MAX_NUMBER = 10**12


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


def _completions_of(row: Row, task: Task, position: int, assumed: str) -> list[SavedCompletion]:
    """The completions of a row: one, or as many as were drawn for its item.

    `position` among the rows of the task and `assumed`, a finish reason, stand where the row tells no index and none.
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
        "references": references if task.is_text else (),
        "instruction": _instruction(row),
        "prompt": _prompt(row),
        "prediction": _prediction(row),
        "place": row,
    }
    return [
        SavedCompletion(decoding_seed=seed + number, completion=text, finish_reason=reason, **shared)
        for number, (text, reason) in enumerate(zip(texts, reasons, strict=True))
    ]


def _first_key(row: Row, keys: Sequence[str]) -> str | None:
    """The first of these keys that the row has a value for."""
    return next((key for key in keys if row.values.get(key) is not None), None)


def _texts(row: Row) -> list[str]:
    if row.values.get("resps") is not None:
        return _responses(row)
    key = _first_key(row, _COMPLETION_KEYS)
    if key is None:
        raise row.error(f"no completion: none of resps, {', '.join(_COMPLETION_KEYS)} is there", "output")
    return [row.written_text(key)]


def _responses(row: Row) -> list[str]:
    """The texts of lm-evaluation-harness: one request, one response for each repeat."""
    requests = row.values["resps"]
    if not (isinstance(requests, list) and len(requests) == 1 and isinstance(requests[0], list) and requests[0]):
        raise row.error("expected the generated texts of one request: scores of several choices are no text", "resps")
    if not all(isinstance(text, str) for text in requests[0]):
        raise row.error("holds scores (log-likelihoods), not the text of an answer", "resps")
    return list(requests[0])


def _reasons(row: Row, count: int, assumed: str) -> list[str]:
    given = row.values.get("finish_reason")
    reasons = given if isinstance(given, list) else [assumed if given is None else given] * count
    if len(reasons) != count:
        raise row.error(f"{len(reasons)} reasons for {count} completions", "finish_reason")
    for reason in reasons:
        if reason not in _REASONS:
            raise row.error(f"{reason!r} is not one of {', '.join(_REASONS)}", "finish_reason")
    return reasons


def _whole_number(row: Row, keys: Sequence[str], default: int) -> int:
    key = _first_key(row, keys)
    if key is None:
        return default
    value = row.values[key]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_NUMBER:
        raise row.error(f"expected a whole number from 0 to {_MAX_NUMBER:,}, given {str(value)[:40]!r}", key)
    return value


def _references(row: Row, task: Task) -> tuple[str, ...]:
    """The right answers of a row, at most one unless the task is free text; none where the row tells none."""
    listed = row.values.get("references")
    if task.is_text and listed is not None:
        return _text_list(row, "references")
    key = _first_key(row, _GOLD_KEYS)
    if key is None:
        return ()
    if isinstance(row.values[key], list) and task.is_text:
        return _text_list(row, key)
    gold = row.scalar_text(key).strip()
    end = _SOLUTION_END.search(gold) if task.is_number else None
    # GSM8K's own files end a worked solution with its answer.
    return (end[1].strip().replace(",", "") if end else gold,)


def _text_list(row: Row, key: str) -> tuple[str, ...]:
    values = row.values[key]
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise row.error("expected a list of texts, at least one", key)
    return tuple(values)


def _instruction(row: Row) -> str:
    document = row.values.get("doc")
    instruction = row.values.get("instruction")
    if instruction is None and isinstance(document, Mapping):
        instruction = document.get("instruction")
    return instruction if isinstance(instruction, str) else ""


def _prompt(row: Row) -> str:
    """The prompt, from its key or from the arguments that lm-evaluation-harness keeps."""
    prompt: Any = row.values.get("prompt")
    if prompt is None:
        prompt = row.values.get("arguments")
        for first in ("gen_args_0", "arg_0"):
            prompt = prompt.get(first) if isinstance(prompt, Mapping) else None
    return prompt if isinstance(prompt, str) else ""


def _prediction(row: Row) -> str | None:
    key = _first_key(row, _PREDICTION_KEYS)
    value = None if key is None else row.values[key]
    return value if isinstance(value, str) else None if value is None else str(value)


Saved = Record | SavedCompletion


@dataclass(frozen=True, slots=True)
class SavedAnswers:
    """Saved completions, and what had to be assumed about them.

    Attributes:
        answers: Records as they are, other completions still to be scored, in the order of their files.
        notes: Sentences for people.
    """

    answers: tuple[Saved, ...]
    notes: tuple[str, ...]


def read_completions(
    path: Path, *, task: str | None = None, registry: TaskRegistry | None = None, finish_reason: str = "stop"
) -> SavedAnswers:
    """Read saved completions from a file or a folder.

    A parquet file holds records of kdscope. A JSONL file (or a JSON list) has a completion in each row, under the key
    output_pred, completion, response, output or text, or in resps as lm-evaluation-harness writes it. Optional keys:
    label, gold, answer or target (the right answer; references for several), index or doc_id (the item; else the
    position of the row), decoding_seed, finish_reason, instruction, prompt, prediction, task. The task is `task`, else
    the row's, else the file's name: `<task>.jsonl` or `samples_<task>_<time>.jsonl`. Of rows that differ in `filter`
    only those of the first one are read: they repeat the same completions. A folder may hold records.parquet,
    subfolders that do, or files named after tasks; of several `samples_` files of a task the newest is read.

    Args:
        path: The file or folder.
        task: The task, where neither file name nor rows tell it.
        registry: The tasks; the built-in ones where absent.
        finish_reason: Taken where a row does not say why its completion ended.

    Raises:
        DataError: Nothing to read, or a row that cannot be used; the message names file, row and key.
    """
    tasks, path = registry or default_registry(), Path(path)
    answers: list[Saved] = []
    assumed = 0
    for file in _files(path, tasks, task):
        if file.suffix == ".parquet":
            answers += _read_records(file, tasks)
            continue
        rows = _one_filter(read_rows(file))
        answers += _read_rows(rows, task, tasks, finish_reason)
        assumed += sum(row.values.get("finish_reason") is None for row in rows)
    _check_distinct(answers)
    return SavedAnswers(tuple(answers), _notes(answers, assumed, finish_reason))


def _notes(answers: Sequence[Saved], assumed: int, finish_reason: str) -> tuple[str, ...]:
    notes = []
    if assumed:
        notes.append(
            f"{assumed:,} rows do not say why their completion ended: taken as finish_reason {finish_reason!r}"
        )
    blind = sum(isinstance(a, SavedCompletion) and not (a.instruction or a.prompt) for a in answers)
    if blind:
        notes.append(
            f"{blind:,} completions come without their question, which the robust rules look at: give the items too"
        )
    return tuple(notes)


def _read_records(file: Path, tasks: TaskRegistry) -> list[Record]:
    records = read_records(file)
    if not records:
        raise DataError("there are no records", file=file)
    unknown = next((number for number, record in enumerate(records, 1) if record.task not in tasks), None)
    if unknown is not None:
        _named_task(tasks, records[unknown - 1].task, file, unknown)
    return records


def _read_rows(rows: Sequence[Row], task: str | None, tasks: TaskRegistry, assumed: str) -> list[SavedCompletion]:
    found: list[SavedCompletion] = []
    positions: dict[str, int] = {}
    for row in rows:
        own = _task_of(row, task, tasks)
        position = positions.get(own.name, 0)
        positions[own.name] = position + 1
        found += _completions_of(row, own, position, assumed)
    return found


def _task_of(row: Row, task: str | None, tasks: TaskRegistry) -> Task:
    if task is not None:
        return tasks.get(task)
    if isinstance(named := row.values.get("task"), str):
        return _named_task(tasks, named, row.file, row.number)
    if (guessed := _task_in_name(row.file, tasks)) is not None:
        return guessed
    raise row.error(f"neither the row nor the file name {row.file.name!r} tells the task; say which it is", "task")


def _named_task(tasks: TaskRegistry, name: str, file: Path, number: int) -> Task:
    try:
        return tasks.get(name)
    except DataError as error:
        raise DataError(str(error), file=file, row=number, key="task") from None


def _task_in_name(file: Path, tasks: TaskRegistry) -> Task | None:
    """The task a file is named after: `<task>` or `samples_<task>_<time>`."""
    parts = file.stem.split("_")
    sampled = "_".join(parts[1:-1]) if parts[0] == "samples" else ""
    return next((tasks.get(name) for name in (sampled, file.stem) if name in tasks), None)


def _one_filter(rows: Sequence[Row]) -> list[Row]:
    first = rows[0].values.get("filter")
    return [row for row in rows if row.values.get("filter") == first]


def _files(path: Path, tasks: TaskRegistry, task: str | None) -> list[Path]:
    if not path.is_dir():
        return [path]
    own = [path / "records.parquet"]
    if records := own if own[0].is_file() else sorted(path.glob("*/records.parquet")):
        for file in records:
            check_run_files(file.parent, file.name, again=EVALUATED_AGAIN)
        return records
    named: dict[str, Path] = {}
    for file in sorted(file for file in path.iterdir() if file.suffix in _JSON):
        if (found := _task_in_name(file, tasks)) is not None:
            named[found.name] = file  # samples_ files sort by time: the newest stays
    chosen = [file for name, file in named.items() if task is None or name == tasks.get(task).name]
    if not chosen:
        raise DataError(_nothing_here(path), file=path)
    return chosen


def _nothing_here(path: Path) -> str:
    if (path / "tables" / "cells.parquet").is_file():
        return "this folder holds a study's tables, not its completions; these are in the records.parquet of its store"
    message = "no completions here: no records.parquet, and no .jsonl file named after a task"
    folders = sorted(folder.name for folder in path.iterdir() if folder.is_dir())
    return f"{message}; is it one of {', '.join(folders[:_SHOWN])}?" if folders else message


def _check_distinct(answers: Iterable[Saved]) -> None:
    seen: set[tuple[str, int]] = set()
    for answer in answers:
        key = (answer.item_id, answer.decoding_seed)
        if key in seen:
            message = f"{answer.item_id} is answered twice with decoding seed {answer.decoding_seed}: give one model's "
            message += "completions at a time, and a decoding_seed where an item has several"
            raise DataError(message) if isinstance(answer, Record) else answer.place.error(message, "index")
        seen.add(key)

"""Completions that were saved before: by kdscope, by lm-evaluation-harness, or by anybody as JSON rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdscope.core.errors import DataError
from kdscope.data.rows import Row, read_rows
from kdscope.evaluation.completion_rows import SavedCompletion, saved_completions, tells_finish_reason
from kdscope.evaluation.records import Record, read_records
from kdscope.tasks import Task, TaskRegistry, default_registry

__all__ = ["Saved", "SavedAnswers", "SavedCompletion", "read_completions"]

Saved = Record | SavedCompletion
_JSON = (".jsonl", ".json")
_SHOWN = 8


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
        assumed += sum(not tells_finish_reason(row) for row in rows)
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
        _named(tasks, records[unknown - 1].task, file, unknown)
    return records


def _read_rows(rows: Sequence[Row], task: str | None, tasks: TaskRegistry, assumed: str) -> list[SavedCompletion]:
    found: list[SavedCompletion] = []
    positions: dict[str, int] = {}
    for row in rows:
        own = _task_of(row, task, tasks)
        position = positions.get(own.name, 0)
        positions[own.name] = position + 1
        found += saved_completions(row, own, position, assumed)
    return found


def _task_of(row: Row, task: str | None, tasks: TaskRegistry) -> Task:
    if task is not None:
        return tasks.get(task)
    if isinstance(told := row.values.get("task"), str):
        return _named(tasks, told, row.file, row.number)
    if (guessed := _task_in_name(row.file, tasks)) is not None:
        return guessed
    raise row.error(f"neither the row nor the file name {row.file.name!r} tells the task; say which it is", "task")


def _named(tasks: TaskRegistry, name: str, file: Path, number: int) -> Task:
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
    if (path / "records.parquet").is_file():
        return [path / "records.parquet"]
    if below := sorted(path.glob("*/records.parquet")):
        return below
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

"""Validate files of data row by row, and say everything that is wrong: file, row, key and what is there instead."""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kdscope.core.errors import DataError
from kdscope.data.download import LOCK_NAME
from kdscope.data.examples import read_gold
from kdscope.data.forms import form_of, training_texts
from kdscope.data.rows import Row, mapped_row, scan_rows
from kdscope.data.side_keys import SYSTEM, check_asked, check_item, check_taught, notes_of, system_text
from kdscope.tasks import Task

MAX_PROBLEMS = 20
"""Problems of one file that are told; of the rest, their number."""
_CONTAINERS = ("tasks", "instruct")
_DATA_NAMES = frozenset({"test.json", "train.json", "valid.jsonl", "dev.jsonl", "train.jsonl"})
_WHOLE_TESTS = frozenset({"test", "valid"})
Kind = Literal["items", "training"]
"""Evaluation items, or examples to train on."""

_USED = ("instruction", "input", "output", "answer", "prompt", "completion", "messages", SYSTEM)
_MOST_UNREAD = 8
_MISREAD = re.compile("[\x80-\x84\x86-\x9f]")


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What a file is found to be.

    Attributes:
        file: The file.
        kind: What it was checked as.
        task: Name of its task, if known.
        rows: How many rows it has, the unusable ones too; 0 where it cannot be read at all.
        problems: The first of what has to be repaired, each naming file and row.
        problem_count: How many problems there are.
        warnings: What may be wrong, or may be meant.
        notes: What is good to know.
    """

    file: Path
    kind: Kind
    task: str | None
    rows: int
    problems: tuple[str, ...]
    problem_count: int
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every row can be used."""
        return self.problem_count == 0


@dataclass(frozen=True, slots=True)
class FolderCheck:
    """What a folder of data is found to hold.

    Attributes:
        folder: The folder.
        files: The files that were checked, in name order, those given by name last.
        not_checked: Files and folders in it that are no data by their place.
    """

    folder: Path
    files: tuple[FileCheck, ...]
    not_checked: tuple[Path, ...]

    @property
    def ok(self) -> bool:
        """Whether every row of every file can be used."""
        return all(file.ok for file in self.files)


def check_file(
    path: Path,
    kind: Kind,
    task: Task | None = None,
    *,
    check_options: bool = False,
    convert: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
    count_items: bool | None = None,
) -> FileCheck:
    """Check one file. It does not raise for anything the file holds.

    Args:
        path: The file.
        kind: What its rows are for.
        task: Its task; None: answers are only required to be there. Without a task, items in a ``.jsonl`` are free
            text with references in `output`.
        check_options: Whether to look at the options that instructions list.
        convert: Makes a row of this project of each of the file's, as for a person's own task.
        count_items: Whether the file should have the published number of items; None: if it is called as such files.
    """
    try:
        entries = [_converted(entry, convert) for entry in scan_rows(path)]
    except DataError as error:
        return FileCheck(path, kind, _name(task), 0, (str(error),), 1)
    rows = [entry for entry in entries if isinstance(entry, Row)]
    problems = list(_problems(entries, kind, task, path, check_options))
    counted = path.stem in _WHOLE_TESTS if count_items is None else count_items
    published = task.test_items if task is not None and kind == "items" and counted else None
    return FileCheck(
        path,
        kind,
        _name(task),
        len(entries),
        tuple(str(error) for error in problems[:MAX_PROBLEMS]),
        len(problems),
        tuple(_warnings(rows, len(entries), published)),
        tuple(_notes(rows, kind, path)),
    )


def check_folder(
    folder: Path,
    tasks: Iterable[Task] = (),
    *,
    training: Iterable[Path] = (),
    check_options: bool = False,
) -> FolderCheck:
    """Check all data files of a folder.

    Data lies in ``TASK/test.json``, ``TASK/train.json`` and, for free text, in ``SET/valid.jsonl``, ``SET/dev.jsonl``
    and ``SET/train.jsonl``, each also below ``tasks/`` and ``instruct/``; below ``instruct/`` every ``.jsonl`` counts.

    Args:
        folder: The folder.
        tasks: The tasks that are known; a folder may go by another of a task's names.
        training: More files to train on, here or elsewhere.
        check_options: Whether to look at the options that instructions list.

    Raises:
        DataError: There is no such folder, or no data in it.
    """
    if not folder.is_dir():
        raise DataError("no such folder", file=folder)
    by_key = {_key(name): task for task in tasks for name in (task.name, *task.aliases)}
    found = _data_files(folder)
    checks = []
    for file in found:
        kind: Kind = "training" if file.stem == "train" else "items"
        checks.append(check_file(file, kind, by_key.get(_key(file.parent.name)), check_options=check_options))
    seen = set(map(os.path.realpath, found))  # other than Path.resolve, it takes links in a circle
    extra = [file for file in training if os.path.realpath(file) not in seen]
    checks += [check_file(file, "training") for file in extra]
    if not checks:
        raise DataError("there are no data files; expected TASK/test.json or SET/valid.jsonl in it", file=folder)
    return FolderCheck(folder, tuple(checks), tuple(_others(folder, {*found, *extra})))


def _converted(
    entry: Row | DataError, convert: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None
) -> Row | DataError:
    if convert is None or isinstance(entry, DataError):
        return entry
    try:
        return mapped_row(entry, convert)
    except DataError as error:
        return error


def _problems(
    entries: Sequence[Row | DataError], kind: Kind, task: Task | None, path: Path, check_options: bool
) -> list[DataError]:
    """All problems in the order of the rows."""
    free_text = path.suffix == ".jsonl" if task is None else task.is_text
    problems: list[DataError] = []
    for entry in entries:
        if isinstance(entry, DataError):
            problems.append(entry)
        else:
            problems += row_problems(entry, kind, task, free_text=free_text)
    if task is not None and check_options:
        problems += option_problems([entry for entry in entries if isinstance(entry, Row)], task)
    return sorted(problems, key=lambda error: error.row or 0)


def _warnings(rows: Sequence[Row], count: int, published: int | None) -> Iterator[str]:
    if published is not None and count != published:
        yield f"{count} rows, and {published} items were published"
    misread = [row.number for row in rows if misread_character(row) is not None]
    if misread:
        yield (
            f"{len(misread)} rows hold characters between U+0080 and U+009F, as text has that was read in a wrong "
            f"encoding; the first is row {misread[0]}"
        )


def _notes(rows: Sequence[Row], kind: Kind, path: Path) -> Iterator[str]:
    texts = [_content(row, kind) for row in rows]
    repeats = len(texts) - len(set(texts))
    if repeats:
        yield f"{repeats} of {len(texts)} rows repeat an earlier one"
    unread = Counter(key for row in rows for key in _unread(row))
    if unread:
        most = ", ".join(f"{key[:40]!r} {count:,}" for key, count in unread.most_common(_MOST_UNREAD))
        more = ", …" if len(unread) > _MOST_UNREAD else ""
        yield f"keys that are not read, and how many rows have them: {most}{more}"
    with path.open("rb") as file:
        if file.read(3) == b"\xef\xbb\xbf":
            yield "the file begins with a byte order mark, which is skipped"


def _unread(row: Row) -> set[str]:
    """The keys of a row and of its messages that say something and are not read."""
    found = set(notes_of(row.values, _USED))
    for key in ("messages", "prompt", "completion"):
        messages = row.values.get(key)
        for message in messages if isinstance(messages, list) else ():
            own = notes_of(message, ("role", "content")) if isinstance(message, dict) else ()
            found.update(f"{key}: {name}" for name in own)
    return found


def _content(row: Row, kind: Kind) -> str:
    """What makes two rows the same; the response beside an item's answer does not."""
    keys = ["instruction", "input", "output", "prompt", "completion", "messages", SYSTEM]
    if kind == "items" and "answer" in row.values:
        keys = ["instruction", "input", "answer"]
    return json.dumps([row.values.get(key) or "" for key in keys])


def _data_files(folder: Path) -> list[Path]:
    found = []
    for container in (folder, *(folder / name for name in _CONTAINERS)):
        for sub in _folders(container):
            every = container.name == "instruct" and container != folder
            found += [file for file in sub.iterdir() if _is_data(file, every_lines_file=every)]
    return sorted(found)


def _is_data(file: Path, *, every_lines_file: bool) -> bool:
    return file.is_file() and (file.name in _DATA_NAMES or (every_lines_file and file.suffix == ".jsonl"))


def _folders(container: Path) -> list[Path]:
    if not container.is_dir():
        return []
    subs = (sub for sub in container.iterdir() if sub.is_dir() and not sub.name.startswith("."))
    return [sub for sub in subs if sub.name not in _CONTAINERS]


def _others(folder: Path, checked: set[Path]) -> Iterator[Path]:
    """What was not checked: whole folders without data, and files beside data."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == LOCK_NAME or path in checked:
            continue
        if path.is_dir() and any(path in file.parents for file in checked):
            yield from _others(path, checked)
        else:
            yield path


def _name(task: Task | None) -> str | None:
    return None if task is None else task.name


def _key(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")


def row_problems(row: Row, kind: Kind, task: Task | None, *, free_text: bool) -> Iterator[DataError]:
    """Whatever makes a row unusable, each with its key.

    Args:
        row: The row.
        kind: What it is for.
        task: Its task, if it is known.
        free_text: Whether the answers of items are free texts with references.
    """
    if kind == "training":
        yield from _training_problems(row, task)
    else:
        yield from _item_problems(row, task, free_text=free_text)


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
        for read in (lambda: row.text("output"), lambda: check_asked(row), lambda: check_taught(row)):
            yield from _raised(read)
    if task is not None and not task.is_text and row.values.get("answer") is not None:
        yield from _answer_problems(row, task)


def _item_problems(row: Row, task: Task | None, *, free_text: bool) -> Iterator[DataError]:
    yield from _question_problems(row)
    yield from _raised(lambda: check_item(row))
    yield from _raised(lambda: row.texts("output")) if free_text else _answer_problems(row, task)


def _question_problems(row: Row) -> Iterator[DataError]:
    yield from _raised(lambda: row.text("instruction"))
    yield from _raised(lambda: row.optional_text("input"))
    yield from _raised(lambda: system_text(row))


def _answer_problems(row: Row, task: Task | None) -> Sequence[DataError]:
    return _raised(lambda: row.scalar_text("answer") if task is None else read_gold(task, row))


def _raised(read: Callable[[], object]) -> Sequence[DataError]:
    try:
        read()
    except DataError as error:
        return [error]
    return []


def _first_match(pattern: re.Pattern[str], value: object) -> str | None:
    """The first match in a text, or in any text within, however deep it stands."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str) and (match := pattern.search(part)):
            return match[0]
        inner = part.values() if isinstance(part, Mapping) else part if isinstance(part, list) else ()
        waiting += reversed(list(inner))
    return None


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

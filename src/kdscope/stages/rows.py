"""Rows that stages read: of a file or the mini tasks' generator, and what prepared rows other stages left behind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdscope.core.errors import DataError
from kdscope.data.examples import Example, Item, Split, as_examples, as_items, as_prompts, split_examples
from kdscope.data.rows import Row, mapped_row, read_rows
from kdscope.data.side_keys import has_system
from kdscope.pipeline.fingerprint import JSON, HashCache, fingerprint
from kdscope.study.arms import DataSource, LabelledData, UnlabelledPrompts
from kdscope.study.schema import Tasks
from kdscope.tasks import Task, find_task_file, get_task, mini_rows

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def source_place(source: DataSource) -> dict[str, JSON]:
    """Where rows are found, as the context of the stage that reads them."""
    if source.mini is not None:
        return {"mini": source.mini.model_dump(mode="json")}
    return {"path": str(source.path)}


def source_at(place: Mapping[str, JSON]) -> DataSource:
    """The source that `source_place` told."""
    told = {key: place[key] for key in ("path", "mini") if key in place}
    return DataSource.model_validate_json(json.dumps(told))


def rows_of(source: DataSource) -> list[Row]:
    """The rows of a file, or generated ones.

    Raises:
        DataError: The file cannot be read; the message names file and row.
    """
    if source.mini is None:
        return read_rows(Path(str(source.path)))
    mini, rows = source.mini, list[Row]()
    for name in mini.tasks:
        task, skipped = get_task(name).name, mini.skip_per_task
        made = mini_rows(task, "train", skipped + mini.rows_per_task, mini.seed)[skipped:]
        rows += [Row(Path(task), len(rows) + number, row) for number, row in enumerate(made, 1)]
    return rows


def content_of(source: DataSource, cache: HashCache) -> str:
    """Hash of the rows' content: a file's bytes, or the generated rows themselves."""
    if source.mini is None:
        return cache.hash(Path(str(source.path)))
    return fingerprint([dict(row.values) for row in rows_of(source)])


def has_systems(source: DataSource) -> bool:
    """Whether some row has a text of its own key `system`, which stands before the question.

    Raises:
        DataError: As `rows_of`.
    """
    if source.mini is not None:
        return False
    file = Path(str(source.path))
    # A look at the bytes spares nearly all files being read once more; a role of that name is no key.
    if file.suffix.lower() != ".parquet" and not re.search(rb'"system"\s*:', file.read_bytes()):
        return False
    return any(map(has_system, rows_of(source)))


def read_split(source: DataSource, *, limit: int | None, validation_items: int, seed: int) -> tuple[Split, int]:
    """Training and validation examples, and how many rows there were.

    Args:
        source: Where the rows come from.
        limit: Use this many, drawn with the seed; all where None.
        validation_items: How many are held out.
        seed: Decides which.

    Raises:
        DataError: A row cannot be used, or there are too few.
    """
    examples = as_examples(rows_of(source))
    return split_examples(examples, limit=limit, validation_items=validation_items, seed=seed), len(examples)


def read_prompts(source: DataSource, *, limit: int | None, seed: int) -> list[Example]:
    """Prompts without their answers, drawn as `split_examples` draws.

    Raises:
        DataError: A row cannot be used, or there are too few.
    """
    return list(split_examples(as_prompts(rows_of(source)), limit=limit, validation_items=0, seed=seed).train)


@dataclass(frozen=True)
class TaskPlace:
    """Where the items of a task are found.

    Attributes:
        file: Their file; None for a generated task.
        limit: Use the first this many items of the file.
        mini_items: Items of a generated task.
        mini_seed: Their seed.
    """

    file: str | None = None
    limit: int | None = None
    mini_items: int = 0
    mini_seed: int = 0


def task_place(tasks: Tasks, task: Task) -> TaskPlace:
    """Where the items of a task are found, and how many of them are used.

    Raises:
        DataError: The folder has no file of this task.
    """
    if task.generated:
        wanted = tasks.mini_items if tasks.limit is None else min(tasks.limit, tasks.mini_items)
        return TaskPlace(mini_items=wanted, mini_seed=tasks.mini_seed)
    file = task.file if task.file is not None else find_task_file(task, tasks.folder)
    return TaskPlace(str(file), tasks.limit)


def read_task_items(task: Task, place: TaskPlace) -> list[Item]:
    """The items of a task.

    Raises:
        DataError: A row cannot be used, or a gold answer is not one of the task.
    """
    if place.file is None:
        made = mini_rows(task.name, "test", place.mini_items, place.mini_seed)
        rows: Sequence[Row] = [Row(Path(task.name), number, row) for number, row in enumerate(made, 1)]
    else:
        rows = read_rows(Path(place.file))[: place.limit]
    if task.fields is not None:
        rows = [mapped_row(row, task.fields.row) for row in rows]
    return as_items(task, rows)


def content_of_task(task: Task, place: TaskPlace, cache: HashCache) -> str:
    """Hash of a task's content: its file's bytes, or its generated items."""
    if place.file is None:
        return fingerprint([item.content_hash for item in read_task_items(task, place)])
    return cache.hash(Path(place.file))


def checked_split(data: LabelledData) -> Split:
    """The split of a study's labelled data; errors about the rows altogether name where they are from.

    Raises:
        DataError: As `read_split`.
    """
    with _named(data):
        return read_split(data, limit=data.limit, validation_items=data.validation_items, seed=data.seed)[0]


def checked_prompts(unlabelled: UnlabelledPrompts) -> list[Example]:
    """The unlabelled prompts of a study; errors about the rows altogether name where they are from.

    Raises:
        DataError: As `read_prompts`.
    """
    with _named(unlabelled):
        return read_prompts(unlabelled, limit=unlabelled.limit, seed=unlabelled.seed)


@contextmanager
def _named(source: DataSource) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        if error.file is not None:
            raise
        place = source.path if source.mini is None else ", ".join(source.mini.tasks)
        raise DataError(str(error), file=place) from error


def write_json_lines(rows: Iterable[DataclassInstance], file: Path) -> None:
    """Dataclass instances as JSON lines."""
    with file.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")


def read_json_lines(file: Path) -> list[dict[str, Any]]:
    """JSON lines as dictionaries. Lines end with newline only: text may hold other line separators."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def read_prepared_examples(file: Path) -> list[Example]:
    """Training or validation examples written by prepare_data, or prompts by prepare_prompts."""
    return [Example(**row) for row in read_json_lines(file)]


def read_prepared_items(folder: Path) -> list[Item]:
    """Evaluation items written by prepare_task."""
    rows = read_json_lines(folder / "items.jsonl")
    return [Item(**row | {"references": tuple(row["references"])}) for row in rows]

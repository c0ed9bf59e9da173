"""Where rows come from: a file, or the generator of the mini tasks; told the same way to planning and to stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kdscope.core.errors import DataError
from kdscope.data.rows import Row, mapped_row, read_rows
from kdscope.data.sources import Example, Item, Split, as_examples, as_items, as_prompts, split_examples
from kdscope.pipeline.fingerprint import JSON, HashCache, fingerprint
from kdscope.study.arms import DataSource, LabelledData, UnlabelledPrompts
from kdscope.study.schema import Tasks
from kdscope.tasks import Task, find_task_file, get_task, mini_rows


def source_place(source: DataSource) -> dict[str, JSON]:
    """Where rows are found, as the context of the stage that reads them."""
    if source.mini is not None:
        return {"mini": source.mini.model_dump(mode="json")}
    return {"path": str(source.path)}


def rows_at(place: Mapping[str, Any]) -> list[Row]:
    """The rows at a place.

    Raises:
        DataError: The file cannot be read; the message names file and row.
    """
    if (mini := place.get("mini")) is None:
        return read_rows(Path(str(place["path"])))
    rows: list[Row] = []
    for name in mini["tasks"]:
        task, skipped = get_task(name).name, mini["skip_per_task"]
        made = mini_rows(task, "train", skipped + mini["rows_per_task"], mini["seed"])[skipped:]
        rows += [Row(Path(task), len(rows) + number, row) for number, row in enumerate(made, 1)]
    return rows


def content_of(source: DataSource, cache: HashCache) -> str:
    """Hash of the rows' content: a file's bytes, or the generated rows themselves."""
    if source.mini is None:
        return cache.hash(Path(str(source.path)))
    return fingerprint([dict(row.values) for row in rows_at(source_place(source))])


def read_split(place: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[Split, int]:
    """Training and validation examples, and how many rows there were.

    Args:
        place: From `source_place`.
        settings: `limit`, `validation_items` and `seed`, as in the study.

    Raises:
        DataError: A row cannot be used, or there are too few.
    """
    examples = as_examples(rows_at(place))
    return split_examples(examples, **settings), len(examples)


def split_settings(data: LabelledData) -> dict[str, Any]:
    """What decides which rows are trained on and which are held out."""
    return {"limit": data.limit, "validation_items": data.validation_items, "seed": data.seed}


def read_prompts(place: Mapping[str, Any], *, limit: int | None, seed: int) -> list[Example]:
    """Prompts without their answers, drawn as `split_examples` draws.

    Raises:
        DataError: A row cannot be used, or there are too few.
    """
    return list(split_examples(as_prompts(rows_at(place)), limit=limit, validation_items=0, seed=seed).train)


def read_task_items(task: Task, place: Mapping[str, Any]) -> list[Item]:
    """The items of a task at a place (from `task_place`).

    Raises:
        DataError: A row cannot be used, or a gold answer is not one of the task.
    """
    if "mini_items" in place:
        made = mini_rows(task.name, "test", int(place["mini_items"]), int(place["mini_seed"]))
        rows: Sequence[Row] = [Row(Path(task.name), number, row) for number, row in enumerate(made, 1)]
    else:
        rows = read_rows(Path(str(place["file"])))[: place["limit"]]
    if task.fields is not None:
        rows = [mapped_row(row, task.fields.row) for row in rows]
    return as_items(task, rows)


def task_place(tasks: Tasks, task: Task) -> dict[str, JSON]:
    """Where the items of a task are found, and how many of them are used.

    Raises:
        DataError: The folder has no file of this task.
    """
    if task.generated:
        wanted = tasks.mini_items if tasks.limit is None else min(tasks.limit, tasks.mini_items)
        return {"mini_items": wanted, "mini_seed": tasks.mini_seed}
    file = task.file if task.file is not None else find_task_file(task, tasks.folder)
    return {"file": str(file), "limit": tasks.limit}


def content_of_task(task: Task, place: Mapping[str, Any], cache: HashCache) -> str:
    """Hash of a task's content: its file's bytes, or its generated items."""
    if "mini_items" in place:
        return fingerprint([item.content_hash for item in read_task_items(task, place)])
    return cache.hash(Path(str(place["file"])))


def checked_split(data: LabelledData) -> Split:
    """The split of a study's labelled data; errors about the rows altogether name where they are from.

    Raises:
        DataError: As `read_split`.
    """
    with _named(data):
        return read_split(source_place(data), split_settings(data))[0]


def checked_prompts(unlabelled: UnlabelledPrompts) -> list[Example]:
    """The unlabelled prompts of a study; errors about the rows altogether name where they are from.

    Raises:
        DataError: As `read_prompts`.
    """
    with _named(unlabelled):
        return read_prompts(source_place(unlabelled), limit=unlabelled.limit, seed=unlabelled.seed)


@contextmanager
def _named(source: DataSource) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        if error.file is not None:
            raise
        place = source.path if source.mini is None else ", ".join(source.mini.tasks)
        raise DataError(str(error), file=place) from error

"""Rows from a file or made up: the same to whoever reads them, and named where they are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kdscope.core.errors import DataError
from kdscope.data.examples import Item
from kdscope.pipeline.fingerprint import HashCache
from kdscope.stages.rows import (
    TaskPlace,
    checked_prompts,
    checked_split,
    content_of,
    content_of_task,
    read_task_items,
    rows_of,
    source_at,
    source_place,
    task_place,
)
from kdscope.study.arms import DataSource, LabelledData, UnlabelledPrompts
from kdscope.study.schema import Tasks
from kdscope.tasks import get_task, mini_rows
from tests.builders import make_data, make_rows


@pytest.fixture
def cache(tmp_path: Path) -> HashCache:
    return HashCache(tmp_path / "hashes.json", settle_seconds=0.0)


def mini(*tasks: str, rows: int = 3, **changes: Any) -> dict[str, Any]:
    return {"mini": {"tasks": list(tasks) or ["mini-choose"], "rows_per_task": rows, **changes}}


def file_of(folder: Path, rows: list[dict[str, str]]) -> Path:
    (folder / "rows.json").write_text(json.dumps(rows))
    return folder / "rows.json"


def items_of(tasks: Tasks, name: str) -> list[Item]:
    return read_task_items(get_task(name), task_place(tasks, get_task(name)))


# Reading


def test_made_up_rows_are_those_of_the_tasks_one_after_the_other() -> None:
    source = DataSource(**mini("mini-one-step", "mini-choose", rows=4, skip_per_task=2, seed=7))
    rows = rows_of(source)
    assert [row.values for row in rows] == [
        *mini_rows("mini-one-step", "train", 6, 7)[2:],
        *mini_rows("mini-choose", "train", 6, 7)[2:],
    ]
    assert [row.number for row in rows] == list(range(1, 9))
    assert [str(row.file) for row in rows] == ["mini-one-step"] * 4 + ["mini-choose"] * 4


def test_skipped_rows_are_nobody_elses() -> None:
    first, second = (
        {row.values["instruction"] for row in rows_of(DataSource(**mini(rows=40, skip_per_task=skip)))}
        for skip in (0, 40)
    )
    assert len(first) == len(second) == 40
    assert not first & second


def test_a_place_can_be_written_down_and_read_again(tmp_path: Path) -> None:
    for source in (DataSource(**mini("mini-two-step")), DataSource(path=file_of(tmp_path, make_rows(3)))):
        place = source_place(source)
        assert rows_of(source_at(json.loads(json.dumps(place)))) == rows_of(source)


def test_mini_tasks_by_other_names_are_the_same() -> None:
    written, plain = (DataSource(**mini(name)) for name in ("MINI_Choose", "mini-choose"))
    assert rows_of(written) == rows_of(plain)


def test_validation_problems_are_not_trained_on_and_test_problems_are_in_neither() -> None:
    split = checked_split(LabelledData(**mini("mini-three-step", rows=50), validation_items=20))
    train, held_out = ({e.instruction for e in part} for part in (split.train, split.validation))
    asked = {item.instruction for item in read_task_items(get_task("mini-three-step"), TaskPlace(mini_items=50))}
    assert (len(train), len(held_out), len(asked)) == (30, 20, 50)
    assert len(train | held_out | asked) == 100, "one problem is in two sets"


# Items of a task


def test_mini_items_have_gold_answers_and_numbers() -> None:
    tasks = Tasks(names=("mini-choose",), mini_items=5, mini_seed=2)
    items = items_of(tasks, "mini-choose")
    assert [item.gold for item in items] == [row["answer"] for row in mini_rows("mini-choose", "test", 5, 2)]
    assert [item.item_id for item in items] == [f"mini-choose/{number}" for number in range(5)]


@pytest.mark.parametrize(("limit", "items"), [(None, 9), (4, 4), (9, 9), (40, 9)])
def test_a_limit_is_for_mini_items_too(limit: int | None, items: int) -> None:
    tasks = Tasks(names=("mini-choose",), mini_items=9, limit=limit)
    assert len(items_of(tasks, "mini-choose")) == items


def test_tasks_with_files_and_without_stand_side_by_side(tmp_path: Path) -> None:
    make_data(tmp_path, test=6)
    tasks = Tasks(names=("AddSub", "mini-choose"), folder=tmp_path / "tasks", limit=2)
    for name in tasks.names:
        assert [item.task for item in items_of(tasks, name)] == [name] * 2


# Content


def test_content_is_what_the_rows_say_not_where_they_are(cache: HashCache, tmp_path: Path) -> None:
    one = content_of(DataSource(**mini("mini-choose", rows=3)), cache)
    assert content_of(DataSource(**mini("MINI_choose", rows=3)), cache) == one
    assert content_of(UnlabelledPrompts(**mini("mini-choose", rows=3), limit=2, seed=4), cache) == one
    for other in (mini("mini-choose", rows=4), mini(seed=1), mini(skip_per_task=1), mini("mini-compare")):
        assert content_of(DataSource(**other), cache) != one
    (tmp_path / "copy").mkdir()
    rows = make_rows(3)
    files = [DataSource(path=file_of(folder, rows)) for folder in (tmp_path, tmp_path / "copy")]
    assert content_of(files[0], cache) == content_of(files[1], cache)
    file_of(tmp_path / "copy", rows[:2])
    assert content_of(files[0], cache) != content_of(files[1], cache)


def test_content_of_tasks(cache: HashCache, tmp_path: Path) -> None:
    make_data(tmp_path)
    tasks = Tasks(names=("AddSub", "mini-choose"), folder=tmp_path / "tasks", mini_items=5)

    def content(asked: Tasks, name: str) -> str:
        return content_of_task(get_task(name), task_place(asked, get_task(name)), cache)

    file, made_up = (content(tasks, name) for name in tasks.names)
    for changes in ({"mini_items": 6}, {"mini_seed": 1}, {"limit": 4}):
        changed = tasks.model_copy(update=changes)
        assert content(changed, "mini-choose") != made_up
        assert content(changed, "AddSub") == file


# What is wrong is said with its place


def test_too_few_rows_name_their_source(tmp_path: Path) -> None:
    file = file_of(tmp_path, make_rows(3))
    with pytest.raises(DataError, match=rf"^{file}: limit: 9 rows are asked for, but there are 3$"):
        checked_prompts(UnlabelledPrompts(path=file, limit=9))
    with pytest.raises(DataError, match=r"^mini-choose, mini-compare: limit: 9 rows are asked for, but there are 6$"):
        checked_prompts(UnlabelledPrompts(**mini("mini-choose", "mini-compare"), limit=9))
    with pytest.raises(DataError, match=rf"^{file}: validation_items: 3 rows leave none"):
        checked_split(LabelledData(path=file))
    with pytest.raises(DataError, match=r"^mini-choose: validation_items: 3 rows leave none"):
        checked_split(LabelledData(**mini()))


def test_a_broken_row_names_its_file_once(tmp_path: Path) -> None:
    file = file_of(tmp_path, [*make_rows(2), {"output": "answer"}])
    for check, source in ((checked_split, LabelledData), (checked_prompts, UnlabelledPrompts)):
        with pytest.raises(DataError) as caught:
            check(source(path=file))  # type: ignore[operator]
        assert (caught.value.file, caught.value.row, caught.value.key) == (file, 3, "instruction")
        assert str(caught.value).count(str(file)) == 1


def test_prompts_may_be_without_answers(tmp_path: Path) -> None:
    file = file_of(tmp_path, [{"instruction": "first"}, {"instruction": "second", "input": "more"}])
    assert [(e.instruction, e.input, e.output) for e in checked_prompts(UnlabelledPrompts(path=file))] == [
        ("first", "", ""),
        ("second", "more", ""),
    ]
    with pytest.raises(DataError, match="output: the key is missing"):
        checked_split(LabelledData(path=file))

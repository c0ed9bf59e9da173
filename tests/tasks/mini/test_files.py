from __future__ import annotations

import json
from pathlib import Path

import pytest

from kdscope.core.errors import DataError
from kdscope.tasks import mini_rows
from kdscope.tasks.mini import MINI_MAKERS
from kdscope.tasks.mini.files import write_mini_files


def test_files_hold_the_rows_and_nothing_else(tmp_path: Path) -> None:
    files = write_mini_files(tmp_path, ["mini-compare", "mini-one-step"], train=5, test=3, seed=4)
    assert sorted(files) == sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert [str(file.relative_to(tmp_path)) for file in files[:2]] == [
        "mini-compare/train.json",
        "mini-compare/test.json",
    ]
    for file in files:
        split, items = ("train", 5) if file.stem == "train" else ("test", 3)
        rows = json.loads(file.read_text(encoding="utf-8"))
        assert rows == mini_rows(file.parent.name, split, items, seed=4)  # type: ignore[arg-type]


def test_every_task_unless_told_which(tmp_path: Path) -> None:
    assert {file.parent.name for file in write_mini_files(tmp_path, train=1, test=1)} == set(MINI_MAKERS)


def test_only_mini_tasks_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown mini task 'gsm8k'"):
        write_mini_files(tmp_path, ["gsm8k"], train=1, test=1)
    assert list(tmp_path.iterdir()) == []

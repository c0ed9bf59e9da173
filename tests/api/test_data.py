"""Fetching files of tasks and training sets, and checking a folder of data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kdscope.api import check_data, fetch_data, wanted_files
from kdscope.core.errors import DataError
from kdscope.data.download import LockedFile
from kdscope.tasks.mini import write_mini_files

OWN = """
name: capitals
answer: letter
labels: [A, B]
file: rows.jsonl
fields: {instruction: '{ask}', answer: '{key}'}
"""


def rows_of(folder: Path, place: str, rows: list[dict[str, Any]]) -> Path:
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_text(json.dumps(rows))
    return folder / place


def problem(number: int, **changes: str) -> dict[str, str]:
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    told = " ".join(f"{word}{number}" for word in words)
    return {"instruction": f"How many are {told}?", "input": "", "output": "So 4.", "answer": "4"} | changes


def test_names_of_what_can_be_had() -> None:
    every = wanted_files()
    assert len(every) == 19
    assert {one.target for one in every if one.name in ("gsm8k", "s_ni")} == {"gsm8k/test.json", "s_ni/valid.jsonl"}
    assert [one.target for one in wanted_files(["arc_e"], train=True)] == ["ARC-Easy/test.json", "ARC-Easy/train.json"]
    assert [one.target for one in wanted_files(["Math10K"])] == [one.target for one in wanted_files(["math_10k"])]
    for name, message in (("gsm9k", "neither a training set nor a task"), ("mini-choose", "nothing to fetch")):
        with pytest.raises(DataError, match=message):
            wanted_files([name])


def test_own_tasks_that_declare_sources_can_be_had(tmp_path: Path) -> None:
    source = "{dataset_id: a/b, split: test}"
    (tmp_path / "own.yaml").write_text(f"name: own\nanswer: number\ntest_items: 3\nsources: [{source}]\n")
    (tmp_path / "rows.jsonl").write_text("{}\n")
    (tmp_path / "capitals.yaml").write_text(OWN)
    assert [one.target for one in wanted_files(["own"], tasks_dir=tmp_path)] == ["own/test.json"]
    assert len(wanted_files(tasks_dir=tmp_path)) == 20
    with pytest.raises(DataError, match="capitals: it declares no sources"):
        wanted_files(["capitals"], tasks_dir=tmp_path)


def test_what_cannot_be_had_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int, int | None]] = []

    def bring(sources: Any, folder: Path, target: str, *, update: bool, progress: Any) -> LockedFile:
        assert sources
        assert (folder, update) == (tmp_path, True)
        if "SVAMP" in target:
            raise DataError("not today")
        progress(3, 9)
        return LockedFile("https://somewhere", "0" * 40, "0" * 40, "0" * 64, 9, "2026-01-01")

    monkeypatch.setattr("kdscope.api.data.download", bring)
    wanted = wanted_files(["gsm8k", "svamp", "aqua"])
    found = list(fetch_data(wanted, tmp_path, update=True, tell=lambda *news: told.append(news)))
    assert [(one.wanted.name, one.problem) for one in found] == [("gsm8k", ""), ("SVAMP", "not today"), ("AQuA", "")]
    assert told == [("gsm8k/test.json", 3, 9), ("AQuA/test.json", 3, 9)]


def test_a_folder_and_its_contamination(tmp_path: Path) -> None:
    rows_of(tmp_path, "AddSub/test.json", [problem(number) for number in range(6)])
    train = [problem(40), problem(3, instruction=problem(3)["instruction"].upper()), problem(41)]
    rows_of(tmp_path, "AddSub/train.json", train)
    mine = rows_of(tmp_path / "elsewhere", "mine.json", [{"prompt": problem(5)["instruction"], "completion": "4"}])
    found = check_data(tmp_path, training=[mine])
    assert found.folder.ok
    assert [(t.training_set, t.task, t.exact, t.examples[:1]) for t in found.tallies] == [
        ("AddSub/train.json", "AddSub", 1, (("AddSub/3", 2),)),
        ("elsewhere/mine.json", "AddSub", 1, (("AddSub/5", 1),)),
    ]


def test_files_of_a_generated_task_are_its_items(tmp_path: Path) -> None:
    write_mini_files(tmp_path, ["mini-one-step"], train=4, test=3, seed=0)
    leak = tmp_path / "leak.json"
    leak.write_text((tmp_path / "mini-one-step/test.json").read_text())
    tallies = check_data(tmp_path, training=[leak]).tallies
    assert [(t.training_set.split("/")[1], t.task, t.items, t.exact) for t in tallies] == [
        ("train.json", "mini-one-step", 3, 0),
        ("leak.json", "mini-one-step", 3, 3),
    ]


def test_damaged_files_are_named_and_left_out_of_the_audit(tmp_path: Path) -> None:
    rows_of(tmp_path, "AddSub/test.json", [problem(0), problem(1, answer="blue")])
    rows_of(tmp_path, "AddSub/train.json", [problem(0)])
    found = check_data(tmp_path)
    assert not found.folder.ok
    (damaged,) = [file for file in found.folder.files if not file.ok]
    assert "AddSub/test.json, row 2: answer: 'blue' is not a number" in damaged.problems[0]
    assert found.tallies == ()


def test_own_tasks_are_checked_too(tmp_path: Path) -> None:
    rows_of(tmp_path, "data/AddSub/train.json", [problem(7)])
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "capitals.yaml").write_text(OWN)
    lines = [{"ask": problem(7)["instruction"], "key": "A"}, {"ask": "What is it?", "key": "C"}]
    (tmp_path / "tasks" / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = check_data(tmp_path / "data", tasks_dir=tmp_path / "tasks")
    (own,) = [file for file in found.folder.files if file.task == "capitals"]
    assert own.rows == 2
    assert "row 2: answer: 'C' is not an answer of capitals" in own.problems[0]
    (tmp_path / "tasks" / "rows.jsonl").write_text(json.dumps(lines[0]))
    (tally,) = check_data(tmp_path / "data", tasks_dir=tmp_path / "tasks").tallies
    assert (tally.task, tally.exact) == ("capitals", 1)


def test_all_real_files_are_sound(shared_data: Path) -> None:
    found = check_data(shared_data)
    assert found.folder.ok
    assert len(found.folder.files) == 24
    exact = {(t.training_set, t.task): t.exact for t in found.tallies if t.exact}
    assert ("gsm8k/train.json", "gsm8k") not in exact

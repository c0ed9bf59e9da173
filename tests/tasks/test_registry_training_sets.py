from __future__ import annotations

import json
from pathlib import Path

import pytest

from kdscope.core.errors import DataError
from kdscope.tasks import find_training_file, get_task, get_training_set, list_training_sets


@pytest.mark.parametrize("typed", ["math_10k", "Math10K", "MATH-10k"])
def test_names_in_any_case(typed: str) -> None:
    assert get_training_set(typed).name == "math_10k"


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(DataError, match=r"unknown training set 'math_50k' \(known: math_10k, commonsense_15k, "):
        get_training_set("math_50k")


def test_known_contamination_names_tasks() -> None:
    assert get_training_set("math_10k").contaminates == ("MultiArith", "AddSub", "SingleEq")
    assert get_training_set("gsm8k_train").contaminates == ()
    for training_set in list_training_sets():
        assert [get_task(name).name for name in training_set.contaminates] == list(training_set.contaminates)


def test_dolly_rows() -> None:
    columns = {"instruction": "Name it.", "context": "A cat.", "response": "Tom", "category": "brainstorming"}
    row = get_training_set("dolly_15k").sources[0].fields.row(columns)  # type: ignore[union-attr]
    assert row == {"instruction": "Name it.", "input": "A cat.", "output": "Tom", "answer": ""}


def test_gsm8k_rows() -> None:
    columns = {
        "question": "Two packs of 750 cards: how many cards?",
        "answer": "There are 2 * 750 = <<2*750=1500>>1,500 cards.\n#### 1,500",
    }
    expected = {
        "instruction": "Two packs of 750 cards: how many cards?",
        "input": "",
        "output": "There are 2 * 750 = 1,500 cards.\nThe answer is 1,500.",
        "answer": "1500",
    }
    sources = get_training_set("gsm8k_train").sources
    assert len(sources) == 2
    assert all(source.fields is not None and source.fields.row(columns) == expected for source in sources)
    assert get_task("gsm8k").train_sources == sources


def test_where_a_training_set_is_looked_for(tmp_path: Path) -> None:
    training_set = get_training_set("gsm8k_train")
    with pytest.raises(DataError, match=r"gsm8k_train: no such file; looked for gsm8k/train.json, tasks/gsm8k/train"):
        find_training_file(training_set, tmp_path)
    file = tmp_path / "tasks" / "gsm8k" / "train.json"
    file.parent.mkdir(parents=True)
    file.write_text("[]")
    assert find_training_file(training_set, tmp_path) == file
    for training_set in list_training_sets():
        (tmp_path / training_set.locations()[0]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / training_set.locations()[0]).write_text("[]")
        assert find_training_file(training_set, tmp_path) == tmp_path / training_set.locations()[0]


def test_every_real_gsm8k_row_comes_back(shared_data: Path) -> None:
    training_set = get_training_set("gsm8k_train")
    fields = training_set.sources[0].fields
    rows = json.loads(find_training_file(training_set, shared_data).read_text(encoding="utf-8"))
    assert len(rows) == training_set.rows
    for row in rows:
        steps, _, final = row["output"].rpartition("\nThe answer is ")
        columns = {"question": row["instruction"], "answer": f"{steps}\n#### {final.removesuffix('.')}"}
        assert fields is not None
        assert fields.row(columns) == row

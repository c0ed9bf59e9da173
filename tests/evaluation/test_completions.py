"""Saved completions in the forms people have them, and errors that say where they cannot be read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdscope.core.errors import DataError
from kdscope.evaluation.completions import SavedCompletion, read_completions
from kdscope.evaluation.records import write_records
from tests.evaluation.by_hand import essay_tasks, marked, record


def lines(file: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def read_one(folder: Path, row: Mapping[str, Any], name: str = "gsm8k.jsonl") -> SavedCompletion:
    answers = read_completions(lines(folder / name, [row]), registry=essay_tasks()).answers
    assert len(answers) == 1
    assert isinstance(answers[0], SavedCompletion)
    return answers[0]


@pytest.mark.parametrize("key", ["output", "completion", "text", "response", "output_pred"])
@pytest.mark.parametrize("gold_key", ["label", "gold", "answer", "target"])
def test_keys_of_completion_and_gold(key: str, gold_key: str, tmp_path: Path) -> None:
    found = read_one(tmp_path, {key: "so 4", gold_key: "4"})
    assert (found.completion, found.gold, found.task, found.index) == ("so 4", "4", "gsm8k", 0)
    assert (found.finish_reason, found.decoding_seed, found.prompt) == ("stop", 0, "")


def test_all_that_a_row_may_tell(tmp_path: Path) -> None:
    row = {"index": 7, "output": "so 4", "label": 4, "finish_reason": "length", "instruction": "2 + 2?"}
    found = read_one(tmp_path, {**row, "prompt": "Q: 2 + 2?", "prediction": "4.0", "decoding_seed": 3, "task": "svamp"})
    assert (found.task, found.index, found.item_id, found.decoding_seed) == ("SVAMP", 7, "SVAMP/7", 3)
    assert (found.gold, found.finish_reason, found.instruction) == ("4", "length", "2 + 2?")
    assert (found.prompt, found.prediction) == ("Q: 2 + 2?", "4.0")


def test_a_completion_beside_a_reference(tmp_path: Path) -> None:
    """Rows of a task's own file, to which somebody's program added what the model wrote."""
    row = {"instruction": "?", "input": "", "output": "a reference", "answer": "4.0"}
    assert read_one(tmp_path, {**row, "output_pred": "it is 5", "pred": 5.0, "flag": False}).completion == "it is 5"
    found = read_one(tmp_path, {**row, "completion": "it is 5"})
    assert (found.completion, found.gold) == ("it is 5", "4.0")


def test_an_empty_completion_is_one(tmp_path: Path) -> None:
    assert read_one(tmp_path, {"output": "", "label": "4"}).completion == ""


def test_a_list_is_read_like_lines(tmp_path: Path) -> None:
    file = tmp_path / "MultiArith.json"
    file.write_text(json.dumps([{"output": "4", "answer": "4"}, {"output": "5", "answer": "5"}]))
    assert [a.item_id for a in read_completions(file).answers] == ["MultiArith/0", "MultiArith/1"]


SAMPLE = {
    "doc_id": 5,
    "doc": {"question": "How many?", "answer": "<<9*2=18>>18\n#### 18"},
    "target": "She makes 9 * 2 = $<<9*2=18>>18.\n#### 1,018",
    "arguments": {"gen_args_0": {"arg_0": "Question: How many?\nAnswer:", "arg_1": {"until": ["Question:"]}}},
    "resps": [["It is 18.", "It is 19."]],
    "filtered_resps": ["18"],
    "exact_match": 1.0,
}


def test_samples_of_lm_evaluation_harness(tmp_path: Path) -> None:
    rows = [{**SAMPLE, "filter": told, "doc_id": index} for told in ("strict", "flexible") for index in (5, 2)]
    file = lines(tmp_path / "samples_gsm8k_2025-01-02T03-04-05.000678.jsonl", rows)
    found = [a for a in read_completions(file).answers if isinstance(a, SavedCompletion)]
    assert [(a.item_id, a.decoding_seed, a.completion) for a in found] == [
        ("gsm8k/5", 0, "It is 18."),
        ("gsm8k/5", 1, "It is 19."),
        ("gsm8k/2", 0, "It is 18."),
        ("gsm8k/2", 1, "It is 19."),
    ]
    assert {a.gold for a in found} == {"1018"}
    assert {a.prompt for a in found} == {"Question: How many?\nAnswer:"}


def test_the_newest_samples_of_a_folder(tmp_path: Path) -> None:
    for time in ("2025-03-01T00-00-00.1", "2025-01-01T00-00-00.1"):
        lines(tmp_path / f"samples_arc_easy_{time}.jsonl", [{"resps": [[f"answer1 at {time}"]], "target": "answer1"}])
    (tmp_path / "results_2025-03-01T00-00-00.1.json").write_text("{}")
    (found,) = read_completions(tmp_path).answers
    assert (found.task, found.completion) == ("ARC-Easy", "answer1 at 2025-03-01T00-00-00.1")


def test_references_of_free_text(tmp_path: Path) -> None:
    for row in ({"references": ["a", "b"]}, {"target": ["a", "b"]}):
        found = read_one(tmp_path, {"completion": "c", **row}, "essays.jsonl")
        assert (found.gold, found.references) == ("a", ("a", "b"))
    assert read_one(tmp_path, {"completion": "c", "gold": "a"}, "essays.jsonl").references == ("a",)


def test_a_folder_of_one_file_a_task(tmp_path: Path) -> None:
    for name in ("gsm8k", "SVAMP"):
        lines(tmp_path / f"{name}.jsonl", [{"output": "4", "label": "4"}] * 2)
    lines(tmp_path / "readme.jsonl", [{"hello": 1}])
    assert [a.item_id for a in read_completions(tmp_path).answers] == ["SVAMP/0", "SVAMP/1", "gsm8k/0", "gsm8k/1"]
    assert [a.item_id for a in read_completions(tmp_path, task="svamp").answers] == ["SVAMP/0", "SVAMP/1"]


def test_records_in_their_file_and_folders(tmp_path: Path) -> None:
    for task in ("gsm8k", "SVAMP"):
        (tmp_path / task).mkdir()
        write_records(marked(task, "10"), tmp_path / task / "records.parquet")
    expected = (*marked("SVAMP", "10"), *marked("gsm8k", "10"))
    assert read_completions(tmp_path).answers == expected
    assert read_completions(tmp_path / "gsm8k").answers == expected[2:]
    assert read_completions(tmp_path / "gsm8k" / "records.parquet").answers == expected[2:]
    assert read_completions(tmp_path).notes == ()


def test_what_is_assumed_is_told(tmp_path: Path) -> None:
    rows = [{"output": "4", "label": "4"}, {"output": "4", "label": "4", "finish_reason": "length", "prompt": "?"}]
    file = lines(tmp_path / "gsm8k.jsonl", rows)
    found = read_completions(file, finish_reason="run_on")
    assert [a.finish_reason for a in found.answers] == ["run_on", "length"]
    assert [note.split()[0] for note in found.notes] == ["1", "1"]
    assert "'run_on'" in found.notes[0]
    assert "without their question" in found.notes[1]


@pytest.mark.parametrize(
    ("row", "where"),
    [
        ({"label": "4"}, "output: no completion"),
        ({"output": 4, "label": "4"}, "output: expected text, given a number"),
        ({"output": "4", "label": ["4"]}, "label: expected text"),
        ({"output": "4", "index": -1}, "index: expected a whole number"),
        ({"output": "4", "doc_id": "three"}, "doc_id: expected a whole number"),
        ({"output": "4", "index": True}, "index: expected a whole number"),
        ({"output": "4", "index": 10**30}, "index: expected a whole number from 0 to 1,000,000,000,000, given"),
        ({"output": "4", "seed": 10**30}, "seed: expected a whole number from 0 to 1,000,000,000,000, given"),
        ({"output": "4", "finish_reason": "eos"}, "finish_reason: 'eos' is not one of stop, length, run_on"),
        ({"resps": [["4"]], "finish_reason": ["stop"] * 2}, "finish_reason: 2 reasons for 1 completions"),
        ({"resps": [[[-1.5, True]]]}, "resps: holds scores"),
        ({"resps": [["-1.5"], ["-2.5"]]}, "resps: expected the generated texts of one request"),
        ({"resps": []}, "resps: expected the generated texts"),
        ({"output": "4", "task": "gsm9k"}, "task: unknown task 'gsm9k'"),
        ({"output": "\ud800"}, "output: holds half of a surrogate pair"),
        ({"output": "4", "index": 0}, "index: gsm8k/0 is answered twice with decoding seed 0"),
    ],
)
def test_errors_name_file_row_and_key(row: dict[str, Any], where: str, tmp_path: Path) -> None:
    file = lines(tmp_path / "gsm8k.jsonl", [{"output": "4", "label": "4"}, row])
    with pytest.raises(DataError) as error:
        read_completions(file)
    assert f"{file}, row 2: {where}" in str(error.value)


@pytest.mark.parametrize("references", [[], ["a", 1], "a"])
def test_references_must_be_texts(references: object, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="references: expected a list of texts"):
        read_one(tmp_path, {"completion": "c", "references": references}, "essays.jsonl")


def test_the_task_must_be_told(tmp_path: Path) -> None:
    file = lines(tmp_path / "mine.jsonl", [{"output": "4", "label": "4"}])
    with pytest.raises(DataError, match=r"mine\.jsonl, row 1: task: neither the row nor the file name"):
        read_completions(file)
    assert read_completions(file, task="gsm8k").answers[0].task == "gsm8k"
    with pytest.raises(DataError, match="unknown task"):
        read_completions(file, task="gsm9k")


def test_folders_without_completions(tmp_path: Path) -> None:
    (tmp_path / "model_a").mkdir()
    with pytest.raises(DataError, match=r"no completions here.*is it one of model_a"):
        read_completions(tmp_path)
    with pytest.raises(DataError, match="no completions here"):
        read_completions(tmp_path / "model_a")
    with pytest.raises(DataError, match="no such file"):
        read_completions(tmp_path / "nowhere")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "cells.parquet").write_bytes(b"")
    with pytest.raises(DataError, match="a study's tables"):
        read_completions(tmp_path)


def test_records_of_two_models_do_not_mix(tmp_path: Path) -> None:
    for model in ("a", "b"):
        (tmp_path / model).mkdir()
        write_records(marked("gsm8k", "10"), tmp_path / model / "records.parquet")
    with pytest.raises(DataError, match=r"gsm8k/0 is answered twice.*one model's completions at a time"):
        read_completions(tmp_path)
    other = [replace(r, decoding_seed=1) for r in marked("gsm8k", "10")]
    write_records(other, tmp_path / "b" / "records.parquet")
    assert len(read_completions(tmp_path).answers) == 4


def test_records_of_an_unknown_task(tmp_path: Path) -> None:
    write_records([record("gsm8k", 0), record("gsm9k", 0)], tmp_path / "records.parquet")
    with pytest.raises(DataError, match=r"records\.parquet, row 2: task: unknown task 'gsm9k'"):
        read_completions(tmp_path)
    write_records([], tmp_path / "records.parquet")
    with pytest.raises(DataError, match="no records"):
        read_completions(tmp_path)

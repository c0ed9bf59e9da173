"""Files for readers of lm-evaluation-harness: their names, their keys, their hashes, and the way back."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from kdscope.evaluation.completions import read_completions
from kdscope.evaluation.lm_eval_files import ExportFacts, model_folder, write_lm_eval_files
from kdscope.evaluation.score import group_by_task, rescore
from tests.evaluation.by_hand import answered, essay_tasks, essays, marked, sampled

FACTS = ExportFacts(
    "org/model:7b",
    datetime(2025, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
    seconds=12.5,
    max_new_tokens=256,
    stop_texts=("### Instruction",),
    batch_size=8,
    device="cpu",
    items_in_task={"gsm8k": 7},
    versions={"transformers_version": "5.0"},
)
RECORDS = {
    "gsm8k": marked("gsm8k", "1101"),
    "AQuA": answered("AQuA", ["A", None, "C"], ["A", "A", "B"]),
    "essays": essays("essays", [[0.2, 0.4], [0.6, 0.8]]),
    "SVAMP": sampled("SVAMP", ("110", "100")),
}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return write_lm_eval_files(RECORDS, tmp_path, FACTS, registry=essay_tasks())


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_names_are_what_its_readers_look_for(files: list[Path], tmp_path: Path) -> None:
    assert {file.parent for file in files} == {tmp_path / "org__model__7b"}
    time = "2025-01-02T03-04-05.000678"
    assert [file.name for file in files] == [
        f"results_{time}.json",
        *(f"samples_{task}_{time}.jsonl" for task in RECORDS),
    ]
    for file in files[1:]:
        # Its readers cut a name at the first and the last underscore.
        assert file.stem[file.stem.find("_") + 1 : file.stem.rfind("_")] in RECORDS


def test_results_have_the_parts_of_version_0_4_13(files: list[Path]) -> None:
    found = json.loads(files[0].read_text(encoding="utf-8"))
    parts = {"results", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better", "n-samples", "config"}
    parts |= {"git_hash", "date", "task_hashes", "model_source", "model_name", "model_name_sanitized"}
    assert parts <= set(found)
    for part in ("results", "configs", "versions", "n-shot", "higher_is_better", "n-samples", "task_hashes"):
        assert set(found[part]) == set(RECORDS), part
    assert found["n-samples"]["gsm8k"] == {"original": 7, "effective": 4}
    assert found["n-samples"]["AQuA"] == {"original": 254, "effective": 3}
    assert found["higher_is_better"]["essays"] == {"rougeL": True}
    assert found["date"] == FACTS.started.timestamp()
    assert found["transformers_version"] == "5.0"
    assert found["config"]["model_args"] == {"pretrained": "org/model:7b"}
    assert found["configs"]["essays"]["repeats"] == 2
    assert found["configs"]["gsm8k"]["generation_kwargs"] == {
        "until": ["### Instruction"],
        "do_sample": False,
        "max_gen_toks": 256,
    }


def test_values_and_errors_go_by_metric_and_filter(files: list[Path]) -> None:
    found = json.loads(files[0].read_text(encoding="utf-8"))["results"]
    assert set(found["gsm8k"]) == {
        *("alias", "name", "sample_len", "exact_match,robust", "exact_match_stderr,robust"),
        *("exact_match,published", "exact_match_stderr,published"),
    }
    assert (found["gsm8k"]["exact_match,robust"], found["gsm8k"]["sample_len"]) == (0.75, 4)
    assert found["gsm8k"]["exact_match_stderr,robust"] == pytest.approx(stats.sem([1, 1, 0, 1]))
    assert found["essays"]["rougeL,none"] == pytest.approx(0.5)
    assert found["essays"]["rougeL_stderr,none"] == pytest.approx(stats.sem([0.3, 0.7]))
    assert "rougeL,published" not in found["essays"]


def test_a_single_item_has_no_error(tmp_path: Path) -> None:
    files = write_lm_eval_files({"gsm8k": marked("gsm8k", "1")}, tmp_path, FACTS)
    text = files[0].read_text(encoding="utf-8")
    assert json.loads(text)["results"]["gsm8k"]["exact_match_stderr,robust"] == "N/A"
    assert "NaN" not in text


def test_a_line_for_every_item_and_filter(files: list[Path]) -> None:
    found = lines(files[2])
    assert [(line["doc_id"], line["filter"]) for line in found] == [
        *((index, "robust") for index in range(3)),
        *((index, "published") for index in range(3)),
    ]
    first, second = found[0], found[1]
    record = RECORDS["AQuA"][0]
    assert set(first) == {
        *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
        *("doc_hash", "prompt_hash", "target_hash", "exact_match", "finish_reason"),
    }
    assert first["target"] == "A"
    assert first["arguments"]["gen_args_0"]["arg_0"] == record.prompt
    assert first["resps"] == [[record.completion]]
    assert (first["filtered_resps"], first["exact_match"]) == (["A"], 1.0)
    assert (second["filtered_resps"], second["exact_match"]) == (["[invalid]"], 0.0)


def test_hashes_are_of_what_they_name(files: list[Path]) -> None:
    hashes = json.loads(files[0].read_text(encoding="utf-8"))["task_hashes"]
    for task, file in zip(RECORDS, files[1:], strict=True):
        found = lines(file)
        for line in found:
            assert line["doc_hash"] == sha(json.dumps(line["doc"], indent=2, ensure_ascii=False))
            assert line["prompt_hash"] == sha(line["arguments"]["gen_args_0"]["arg_0"])
            assert line["target_hash"] == sha(line["target"])
        joined = "".join(line["doc_hash"] + line["prompt_hash"] + line["target_hash"] for line in found)
        assert hashes[task] == sha(joined)


def test_seeds_are_repeats_of_an_item(files: list[Path]) -> None:
    essay, sums = lines(files[3]), lines(files[4])
    assert len(essay) == 2
    assert [len(line["resps"][0]) for line in essay] == [2, 2]
    assert [line["rougeL"] for line in essay] == pytest.approx([0.3, 0.7])
    assert [line["exact_match"] for line in sums if line["filter"] == "robust"] == [1.0, 0.5, 0.0]
    assert sums[1]["filtered_resps"] == [["4", "5"]]


def test_the_files_read_back_give_the_same_scores(files: list[Path]) -> None:
    tasks = essay_tasks()
    saved = read_completions(files[0].parent, registry=tasks)
    assert saved.notes == ()
    found = group_by_task(rescore(saved.answers, tasks))
    assert set(found) == set(RECORDS)
    for task in ("gsm8k", "AQuA", "SVAMP"):
        expected = group_by_task(rescore(RECORDS[task], tasks))[task]
        told = [
            (r.item_id, r.decoding_seed, r.completion, r.prompt, r.robust_value, r.correct_robust) for r in found[task]
        ]
        assert told == [
            (r.item_id, r.decoding_seed, r.completion, r.prompt, r.robust_value, r.correct_robust) for r in expected
        ]


def test_model_names_become_folder_names() -> None:
    assert model_folder("org/model") == "org__model"
    assert model_folder('a<b>:c|d?"e') == "a__b__c__d__e"

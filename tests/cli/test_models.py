"""What evaluate, compare, rescore and the data commands print, and the exit codes they leave."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from kdscope.study.embedded import embedded_model
from tests.api.test_data import problem, rows_of
from tests.cli.command import Call, call

FAST = ("--limit", 6, "--max-new-tokens", 16, "--device", "cpu", "--dtype", "float32")


@pytest.fixture
def kdscope(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: object) -> tuple[int, str, str]:
        return call(monkeypatch, capsys, *arguments)

    return run


def test_evaluate_then_compare_then_rescore(kdscope: Call, tmp_path: Path) -> None:
    for name in ("tiny-s", "tiny-m"):
        code, out, _ = kdscope(
            *("evaluate", embedded_model(name), "--tasks", "mini-choose, mini_compare", *FAST),
            *("--store", tmp_path / "store", "-o", tmp_path / name),
        )
        assert code == 0
        assert [line.split()[:3] for line in out.splitlines()[2:4]] == [
            ["mini-choose", "6", "robust"],
            ["mini-choose", "6", "published"],
        ]
        assert f"records and tables: {tmp_path / name}" in out
    code, out, _ = kdscope("compare", tmp_path / "tiny-s", tmp_path / "tiny-m", "--teacher", tmp_path / "tiny-m")
    assert code == 0
    assert "fidelity to" in out
    code, out, _ = kdscope("compare", tmp_path / "tiny-s", tmp_path / "tiny-m", "--json")
    assert {row["task"] for row in json.loads(out)["differences"]} == {"mini-choose", "mini-compare", "pooled"}
    code, out, _ = kdscope(
        "compare", tmp_path / "tiny-s", "--teacher", tmp_path / "tiny-m", "--ceiling", tmp_path / "tiny-m"
    )
    assert code == 0
    assert "error_consistency_kappa" in out
    alone = ("compare", tmp_path / "tiny-s", "--teacher", tmp_path / "tiny-s", "--json")
    rows = json.loads(kdscope(*alone)[1])["fidelity"]
    assert {row["value"] for row in rows if row["measure"] == "agreement_both_parsed"} <= {1.0, None}
    code, out, _ = kdscope("rescore", tmp_path / "tiny-s", "-o", tmp_path / "again.parquet")
    assert code == 0
    assert (tmp_path / "again.parquet").is_file()
    code, out, _ = kdscope("rescore", tmp_path / "tiny-s", "--json")
    assert {row["items"] for row in json.loads(out)["accuracy"] if row["task"] == "mini-choose"} == {6}


def test_a_chat_template_that_leaves_the_question_out_is_exit_code_2(kdscope: Call, tmp_path: Path) -> None:
    model = shutil.copytree(embedded_model("tiny-s"), tmp_path / "model")
    (model / "chat_template.jinja").write_text("{% for m in messages %}{{ m.role }}: {% endfor %}assistant:")
    arguments = ("--store", tmp_path / "s", "-o", tmp_path / "o", "--apply-chat-template", "-q")
    code, _, err = kdscope("evaluate", model, "-t", "mini-choose", *FAST, *arguments)
    assert code == 2
    assert f"error: the chat template of {model} cannot be used: it leaves out what the user says" in err


def test_a_failed_task_is_exit_code_1(kdscope: Call, tmp_path: Path) -> None:
    arguments = ("--store", tmp_path / "s", "-o", tmp_path / "o", "--apply-chat-template", "-q")
    code, out, _ = kdscope("evaluate", embedded_model("tiny-s"), "-t", "mini-choose", *FAST, *arguments)
    assert code == 1
    assert "failed: mini-choose: tiny-s: the tokenizer of" in out
    assert "none, because every task failed" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("evaluate", "./nothing", "--tasks", "mini-choose"), "no folder ./nothing"),
        (("evaluate", "./nothing", "--tasks", "mini-chose"), "did you mean mini-choose"),
        (("evaluate", "x", "--tasks", "mini-choose", "--seeds", "1,b"), "whole numbers"),
        (("compare", "nowhere", "nowhere"), "nowhere"),
        (("compare", "nowhere"), "give a second model, or a --teacher"),
        (("compare", "a", "b", "--ceiling", "c"), "belong to a --teacher"),
        (("rescore", "nowhere.jsonl"), "nowhere.jsonl"),
        (("data", "check", "--data-dir", "nowhere"), "nowhere: no such folder"),
        (("data", "fetch", "gsm9k"), "neither a training set nor a task"),
        (("tasks", "--tasks-dir", "nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_message(kdscope: Call, tmp_path: Path, arguments: Any, said: str) -> None:
    store = ("--store", tmp_path) if arguments[0] == "evaluate" else ()
    code, out, err = kdscope(*arguments, *store)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert said in err
    assert "Traceback" not in err


def test_data_check_tells_all_that_is_wrong(kdscope: Call, tmp_path: Path) -> None:
    rows_of(tmp_path, "AddSub/test.json", [problem(0), problem(1)])
    rows_of(tmp_path, "AddSub/train.json", [problem(9), problem(1)])
    code, out, _ = kdscope("data", "check", "--data-dir", tmp_path)
    assert code == 0
    assert "AddSub/train.json holds 1 of the 2 items of AddSub (1 word for word" in out
    rows_of(tmp_path, "AddSub/test.json", [problem(0), {"instruction": ""}])
    code, out, _ = kdscope("data", "check", "--data-dir", tmp_path)
    assert code == 2
    assert "test.json, row 2: instruction: the text is empty" in out
    code, out, _ = kdscope("data", "check", "--data-dir", tmp_path, "--json")
    assert [file["problem_count"] > 0 for file in json.loads(out)["files"]] == [True, False]


def test_what_cannot_be_fetched_is_exit_code_1(kdscope: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kdscope.core.errors import DataError

    def bring(*_: object, **__: object) -> None:
        raise DataError("no network")

    monkeypatch.setattr("kdscope.api.data.download", bring)
    code, out, _ = kdscope("data", "fetch", "gsm8k", "--data-dir", tmp_path)
    assert (code, out) == (1, "FAILED gsm8k: no network\n")


def test_own_tasks_are_listed(kdscope: Call, tmp_path: Path) -> None:
    (tmp_path / "capitals.yaml").write_text("name: capitals\nanswer: letter\nlabels: [A, B]\nfile: rows.json\n")
    rows_of(tmp_path, "rows.json", [problem(0, answer="A")])
    code, out, _ = kdscope("tasks", "--tasks-dir", tmp_path, "--json")
    assert code == 0
    assert json.loads(out)[-1]["name"] == "capitals"
    _, out, _ = kdscope("tasks", "--tasks-dir", tmp_path)
    assert "its file" in out
    assert "math_10k" in out

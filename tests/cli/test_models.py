"""What evaluate, compare, rescore and the data commands print, and the exit codes they leave."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdscope.study.embedded import embedded_model
from tests.api.test_data import problem, rows_of
from tests.builders import make_data, write_study
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


def break_json(file: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / file).write_bytes(content) and None


def change_config(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


def name_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    index = {"metadata": {}, "weight_map": {"model.norm.weight": "pytorch_model.bin"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


BAD_MODELS: dict[str, tuple[Callable[[Path], None], str]] = {
    "list": (break_json("config.json", b"[]"), "config.json is not a JSON object"),
    "deep": (break_json("config.json", b'{"a":' * 100_000), "config.json is nested too deeply"),
    "negative": (change_config(hidden_size=-64), "config.json: 'hidden_size' is -64"),
    "giant": (change_config(num_hidden_layers=10**9), "config.json: 'num_hidden_layers' is 1000000000"),
    "vocabulary": (change_config(vocab_size=10**12), "config.json: 'vocab_size' is 1000000000000"),
    "garbage": (break_json("model.safetensors", b"garbage"), "model.safetensors is not a safetensors file"),
    "tokenizer": (break_json("tokenizer_config.json", b"{"), "tokenizer_config.json is not a JSON object"),
    "pickle": (name_pickle, "model.safetensors.index.json names 'pytorch_model.bin'"),
}
LOADED: dict[str, tuple[Callable[[Path], None], str]] = {
    "layers": (change_config(num_hidden_layers=2), "weights that are not of the model its config.json describes"),
    "missing": (change_config(num_hidden_layers=9), "lacks"),
    "no such type": (change_config(model_type="none"), "cannot load a causal LM from"),
}


@pytest.mark.parametrize("kind", [*BAD_MODELS, *LOADED])
def test_a_bad_model_is_exit_code_2_with_file_and_reason(kdscope: Call, tmp_path: Path, kind: str) -> None:
    change, said = (BAD_MODELS | LOADED)[kind]
    folder = Path(shutil.copytree(embedded_model("tiny-s"), tmp_path / "bad"))
    change(folder)
    arguments = ("--store", tmp_path / "s", "-o", tmp_path / "o", "-q")
    code, out, err = kdscope("evaluate", folder, "-t", "mini-choose", *FAST, *arguments)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("error: ")
    assert said in err.splitlines()[-1]
    assert str(folder) in err.splitlines()[-1]
    assert "Traceback" not in err


@pytest.mark.parametrize("kind", ["deep", "giant", "garbage", "negative"])
@pytest.mark.parametrize("command", ["plan", "run", "explain", "distill"])
def test_a_study_with_a_bad_model_is_exit_code_2(kdscope: Call, tmp_path: Path, command: str, kind: str) -> None:
    change, said = BAD_MODELS[kind]
    folder = Path(shutil.copytree(embedded_model("tiny-s"), tmp_path / "bad"))
    change(folder)
    study = write_study(
        make_data(tmp_path),
        teachers=[{"name": "big", "path": str(folder)}],
        students=[{"name": "s", "path": "kdscope:tiny-s"}],
    )
    arguments: tuple[object, ...] = (study, "prepare", "--store", tmp_path / "s")
    if command != "explain":
        arguments = (study, "--store", tmp_path / "s")
    if command == "distill":
        settings = ("--method", "seqkd", "--data", tmp_path / "train.json", "--store", tmp_path / "s")
        arguments = ("--teacher", folder, "--student", "kdscope:tiny-s", *settings)
    code, out, err = kdscope(command, *arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith("error: ")
    assert said in err
    assert ("--teacher: " if command == "distill" else "teachers") in err


def test_an_adapter_that_does_not_fit_is_exit_code_2(kdscope: Call, tmp_path: Path) -> None:
    config = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    header = json.dumps({"foreign": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    asked = ("evaluate", embedded_model("tiny-s"), "--adapter", tmp_path, "-t", "mini-choose", *FAST, "-q")
    code, out, err = kdscope(*asked, "--store", tmp_path / "s", "-o", tmp_path / "o")
    assert (code, out) == (2, "")
    assert f"error: the adapter in {tmp_path} lacks" in err
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"r": 10**7}))
    code, _, err = kdscope(*asked, "--store", tmp_path / "s", "-o", tmp_path / "o")
    assert code == 2
    assert "adapter_config.json: 'r' is 10000000" in err

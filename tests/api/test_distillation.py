"""One student without a study file: the same study, engine and store, and errors that name what was given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

import kdscope
from kdscope.api import distil_yaml, load_study, read_run
from kdscope.api.distillation import FULL_LEARNING_RATE, checked_study, study_values
from kdscope.core.errors import DataError, ModelError, StudyError
from kdscope.core.extensions import load_extensions
from kdscope.results.methods import METHODS
from kdscope.study.embedded import embedded_model
from kdscope.tasks import mini_rows
from tests.cli.command import call

Capture = pytest.CaptureFixture[str]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FAST: dict[str, Any] = {"max_steps": 3, "max_length": 160, "device": "cpu", "dtype": "float32"}
T, S = "kdscope:tiny-m", "kdscope:tiny-s"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A training set of 40 rows; the current folder is empty but for it."""
    file = tmp_path / "train.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in mini_rows("mini-one-step", "train", 40, 0)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KDSCOPE_STORE", raising=False)
    return file


def values(data: Path, **given: Any) -> dict[str, Any]:
    return study_values(**{"teacher": T, "student": S, "method": "forward_kl", "data": data, **given})


def test_a_student_without_evaluation(data: Path) -> None:
    found = kdscope.distill(T, S, "forward_kl", data, out=data.parent / "mine", **FAST)
    assert found.folder == data.parent / "mine"
    assert found.card == found.folder / "README.md"
    assert found.exported is not None
    assert "adapter_model.safetensors" in found.exported.files
    text = found.card.read_text(encoding="utf-8")
    assert "Not evaluated." in text
    assert "fine-tuned on the training data first" in text
    assert ModelCard.load(found.card).data.eval_results is None
    kinds = [stage.kind for stage in found.result.run.executed]
    assert "adapt_teacher" in kinds
    assert kinds.count("distil_student") == 1, "a control would serve nothing"
    assert "evaluate_model" not in kinds
    again = kdscope.distill(T, S, "forward_kl", data, out=data.parent / "mine", **FAST)
    assert again.result.run.executed == []
    with pytest.raises(DataError, match="not an earlier export"):
        kdscope.distill(T, S, "forward_kl", data, out=data.parent, **FAST)


def test_with_tasks_everything_is_evaluated_beside_it(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    options = ["--teacher", T, "--student", S, "--method", "seqkd", "--data", data, "--teacher-condition", "base"]
    options += ["--tasks", "MINI_one_step", "--limit", 6, "--max-new-tokens", 16, "--max-steps", 2, "--full"]
    options += ["--max-length", 160, "--device", "cpu", "--dtype", "float32", "--name", "mine"]
    code, out, err = call(monkeypatch, capsys, "distill", *options, "--quiet")
    assert (code, err) == (0, "")
    for part in (
        "model.safetensors",
        "Accuracy ",
        "Over items alone, this checkpoint minus that of the same student",
        "report: runs/mine/report.html",
    ):
        assert part in out
    exec(out[out.index("from transformers") : out.index("\nreport:")], {})
    assert capsys.readouterr().out.strip()
    cells = read_run(Path("runs/mine")).tables.cells
    assert cells["cell"].tolist() == [
        *("teacher/tiny-m@base", "tiny-s/base", "tiny-s/sft/s0", "tiny-s/seqkd/tiny-m@base/s0"),
    ]
    (result,) = ModelCard.load("runs/mine/student/README.md").data.eval_results
    assert result.dataset_name == "mini-one-step"
    code, out, _ = call(monkeypatch, capsys, "distill", *options, "--json")
    told = [json.loads(line) for line in out.splitlines()]
    assert told[-1]["student"]["folder"] == "runs/mine/student"
    assert told[-1]["failed"] == {}
    assert not [event for event in told if event["event"] == "started"], "what is done is not done again"


def test_a_student_that_fails_is_told(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    options = ["--teacher", T, "--student", S, "--method", "seqkd", "--data", data, "--teacher-condition", "base"]
    options += ["--max-steps", 2, "--max-length", 10, "--device", "cpu", "--dtype", "float32", "--quiet"]
    code, out, err = call(monkeypatch, capsys, "distill", *options)
    assert code == 1
    assert "failed: train tiny-s/seqkd/tiny-m@base/s0" in out + err
    assert "no student" in out
    assert not Path("runs/tiny-s-seqkd-tiny-m/student").exists()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"tasks": ["mini-choose", "MINI_one_step"], "limit": 5, "temperature": 2.0, "kd_weight": 0.5},
        {"tuning": "full", "epochs": 2, "seed": 7, "teacher_condition": "base", "trackers": [], "workers": 2},
        {"tasks": ["mini-choose"], "control": False, "learning_rate": 1e-5, "name": "1e5"},
    ],
)
def test_the_yaml_is_the_study_that_runs(data: Path, given: dict[str, Any]) -> None:
    file = data.parent / "grown.yaml"
    settings = {"method": "forward_kl", **given}
    file.write_text(distil_yaml(T, S, data=data, **settings))
    assert load_study(file) == checked_study(values(data, **given))


def test_extensions_of_an_earlier_study_are_forgotten(data: Path) -> None:
    extension = data.parent / "mine.py"
    extension.write_text("from kdscope.extend import register_method\nregister_method('mine', divergence='jsd')\n")
    load_extensions([extension])
    written = values(data, method="mine")
    assert "mine" not in METHODS
    load_extensions([extension])
    with pytest.raises(StudyError, match="method: expected one of"):
        checked_study(written)


def test_what_is_asked_reaches_the_study(data: Path) -> None:
    study = checked_study(values(data, tasks=["mini-choose"], temperature=2.0, kd_weight=0.5, seed=3))
    assert [method.name for method in study.methods] == ["sft", "forward_kl"]
    assert (study.methods[1].kd_temperature, study.methods[1].kd_weight) == ((2.0,), (0.5,))
    assert (study.seeds, study.students[0].tuning.kind, study.evaluation.base_models) == ((3,), "lora", True)
    assert study.data.validation_items == 4, "a tenth of a small training set"
    assert study.teachers[0].condition == ("adapted",)
    full = checked_study(values(data, tuning="full"))
    assert full.students[0].tuning.learning_rate == FULL_LEARNING_RATE
    assert full.tasks.names == ()
    own = checked_study(values(data, tuning="full", learning_rate=1e-4))
    assert own.students[0].tuning.learning_rate == 1e-4


def test_hub_models_are_pinned_and_folders_stay_folders(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[tuple[str, str | None]] = []

    def resolve(repository: str, revision: str | None) -> str:
        looked_up.append((repository, revision))
        return COMMIT

    monkeypatch.setattr("kdscope.api.distillation.resolve_revision", resolve)
    study = values(data, teacher="Qwen/Qwen2.5-1.5B", student="org/own model@v1")
    assert looked_up == [("Qwen/Qwen2.5-1.5B", None), ("org/own model", "v1")]
    assert study["teachers"][0] | {"condition": None} == {
        **{"name": "Qwen2.5-1.5B", "hub": "Qwen/Qwen2.5-1.5B", "revision": COMMIT, "condition": None}
    }
    assert study["students"][0]["name"] == "own-model"
    folder = values(data, teacher=embedded_model("tiny-l"))
    assert folder["teachers"][0]["path"] == str(embedded_model("tiny-l"))


def test_a_dollar_in_a_path_is_a_dollar(data: Path) -> None:
    odd = data.rename(data.parent / "${HOME} rows.jsonl")
    assert checked_study(values(odd)).data.path == odd


BAD: dict[str, tuple[list[str], str]] = {
    "no teacher folder": (["--teacher", "./nothing"], "--teacher: no folder ./nothing"),
    "no embedded model": (["--student", "kdscope:tiny-x"], "--student: no model 'tiny-x' comes with kdscope"),
    "no data": (["--data", "nothing.json"], "--data: no file "),
    "unknown method": (["--method", "forwardkl"], "--method: expected one of"),
    "method without teacher": (["--method", "sft"], "--method: sft is fine-tuning without a teacher"),
    "temperature of seqkd": (["--method", "seqkd", "--temperature", "2"], "--temperature: 'kd_temperature' does not"),
    "weight above one": (["--kd-weight", "2"], "--kd-weight: expected at most 1"),
    "no condition": (["--teacher-condition", "tuned"], "--teacher-condition: expected one of"),
    "negative rate": (["--learning-rate", "-1"], "--learning-rate: expected more than 0"),
    "epochs and steps": (["--epochs", "2", "--max-steps", "5"], "--epochs: "),
    "unknown task": (["--tasks", "mini-oen-step"], "--tasks: unknown task 'mini-oen-step'"),
    "task without data": (["--tasks", "gsm8k"], "--tasks: the items of gsm8k come from a file"),
    "no data folder": (["--tasks", "gsm8k", "--data-dir", "nowhere"], "--data-dir: no folder "),
    "no limit": (["--limit", "0", "--tasks", "mini-choose"], "--limit: expected at least 1"),
    "bad name": (["--name", "../up"], "--name: a name has"),
    "unknown device": (["--device", "gpu"], "--device: expected one of"),
    "unknown tracker": (["--track", "paper"], "--track: expected one of"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD.keys())
def test_errors_name_the_option(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, options: list[str], message: str
) -> None:
    given = ["--teacher", T, "--student", S, "--method", "forward_kl", "--data", data, *options]
    code, out, err = call(monkeypatch, capsys, "distill", *given)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}"), err
    assert "Traceback" not in err
    assert not Path(".kdscope/stages").exists()
    assert not Path("runs").exists()


def test_all_problems_are_told_at_once(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    given = ["--teacher", T, "--student", S, "--method", "forward_kl", "--data", "no.json", "--tasks", "gsm9k"]
    _, _, err = call(monkeypatch, capsys, "distill", *given)
    assert [line.removeprefix("error: ").split(":")[0] for line in err.splitlines()] == ["--data", "--tasks"]


def test_a_hub_that_does_not_answer_is_an_error_of_the_option(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(repository: str, revision: str | None) -> str:
        raise ModelError(f"{repository} is no folder here, and the hub does not give its commit: offline")

    monkeypatch.setattr("kdscope.api.distillation.resolve_revision", unknown)
    with pytest.raises(StudyError, match=r"^student: org/x is no folder here") as error:
        values(data, student="org/x")
    assert error.value.key == "student"


def test_vocabularies_that_differ_are_refused(data: Path) -> None:
    folder = data.parent / "other"
    folder.mkdir()
    for file in embedded_model("tiny-s").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append({"id": 9999, "content": "<new>"})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(StudyError, match=r"^student: its vocabulary is not that of teacher 'tiny-m'"):
        checked_study(values(data, student=folder))
    checked_study(values(data, student=folder, method="seqkd"))

"""The command line: what it prints, and the exit code it leaves."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kdscope.api import load_study
from kdscope.core.errors import StudyError
from kdscope.study.embedded import embedded_study
from kdscope.study.schema import Study
from kdscope.tasks import mini_rows
from tests.builders import make_data, make_hollow_model, study_values, write_study
from tests.cli.command import call

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Data and a model folder that planning accepts; no weights are ever loaded here."""
    make_data(tmp_path)
    make_hollow_model(tmp_path / "teacher")
    return tmp_path


BROKEN = {
    "unknown key": {"trainin": {"epochs": 3}},
    "unknown nested key": {"training": {"epoch": 3}},
    "wrong type": {"training": {"epochs": "three"}},
    "boolean for a number": {"seeds": True},
    "impossible value": {"training": {"learning_rate": -1}},
    "empty list": {"methods": []},
    "unknown method": {"methods": ["reversekl"]},
    "setting of another method": {"methods": [{"name": "sft", "kd_temperature": 2}]},
    "cross-entropy on own samples": {"methods": [{"name": "gkd", "kd_weight": 0.5}]},
    "no teacher": {"teachers": []},
    "two students of one name": {"students": [{"name": "a", "path": "teacher"}, {"name": "a", "path": "teacher"}]},
    "bad name": {"name": "../escape"},
    "unknown task": {"tasks": {"folder": "tasks", "names": ["gsm9k"]}},
    "task twice": {"tasks": {"folder": "tasks", "names": ["AddSub", "addsub"]}},
    "missing task file": {"tasks": {"folder": "tasks", "names": ["gsm8k"]}},
    "missing task folder": {"tasks": {"folder": "nowhere", "names": ["AddSub"]}},
    "missing data file": {"data": {"path": "nowhere.json"}},
    "missing model": {"students": {"name": "a", "path": "nowhere"}},
    "too many layers": {"students": {"name": "a", "path": "teacher", "keep_layers": 9}},
    "layers out of order": {"students": {"name": "a", "path": "teacher", "keep_layers": [2, 1]}},
    "branch for a revision": {"students": {"name": "a", "hub": "org/model", "revision": "main"}},
    "path and hub": {"students": {"name": "a", "path": "teacher", "hub": "org/model"}},
    "unknown preset": {"preset": "publshed"},
    "unknown device": {"runtime": {"device": "gpu"}},
}


@pytest.mark.parametrize("changes", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_study_is_one_readable_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, changes: dict[str, object]
) -> None:
    study = write_study(folder, **changes)
    code, out, err = call(monkeypatch, capsys, "run", study, "--store", folder / "store")
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith(f"error: {study}:")
    assert "Traceback" not in err
    assert not (folder / "store").exists()


BROKEN_ROWS = {
    "not JSON": ("train.json", "[{]"),
    "key missing": ("train.json", '[{"instruction": "a"}]'),
    "too few rows": ("train.json", '[{"instruction": "a", "input": "", "output": "b"}]'),
    "gold is no number": ("tasks/SVAMP/test.json", '[{"instruction": "a", "answer": "four"}]'),
}


@pytest.mark.parametrize(("name", "content"), BROKEN_ROWS.values(), ids=BROKEN_ROWS.keys())
def test_broken_data_is_found_before_anything_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, name: str, content: str
) -> None:
    (folder / name).write_text(content)
    code, out, err = call(monkeypatch, capsys, "run", write_study(folder), "--store", folder / "store")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert str(folder / name) in err
    assert not (folder / "store" / "stages").exists()


def test_plan_as_text_and_json(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    study = write_study(folder)
    code, out, _ = call(monkeypatch, capsys, "plan", study, "--store", folder / "store")
    assert code == 0
    assert "40 of 40 stages will run" in out
    assert "Minimum detectable gain over SFT (80% power) between two checkpoints" in out
    _, out, _ = call(monkeypatch, capsys, "plan", study, "--store", folder / "store", "--json")
    told = json.loads(out)
    stages, comparisons = told["stages"], told["comparisons"]
    assert comparisons[0]["items"] == sum(row["items"] for row in comparisons if row["name"].startswith("any model"))
    assert comparisons[0]["comparisons"] == sum(not row["name"].startswith("any model") for row in comparisons)
    assert len(stages) == 40
    assert {stage["state"] for stage in stages} == {"will run"}
    assert stages[-1]["kind"] == "write_report"


@pytest.mark.parametrize(("limit", "trained"), [(None, 20), (10, 6)])
def test_the_plan_counts_the_rows_it_trains_on(folder: Path, limit: int | None, trained: int) -> None:
    from kdscope.api import plan_study

    study = write_study(folder, data={"path": "train.json", "limit": limit, "validation_items": 4})
    _, planned = plan_study(study, folder / "store")
    _, whole = plan_study(write_study(folder, training={"max_length_tokens": 200, "epochs": 1}), folder / "store")
    tokens = [next(p.stage.cost.tokens for p in plan if "sft" in p.stage.label) for plan in (planned, whole)]
    assert tokens[0] == pytest.approx(tokens[1] * 2 * trained / 20, rel=0.1)


def test_other_vocabularies_are_found_before_the_teacher_is_trained(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    other = folder / "other"
    shutil.copytree(folder / "teacher", other)
    for model, vocabulary in ((folder / "teacher", {"a": 0, "b": 1}), (other, {"b": 0, "a": 1})):
        (model / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}, "added_tokens": []}))
    students = [{"name": "same", "path": "teacher"}, {"name": "other", "path": "other"}]
    code, _, err = call(monkeypatch, capsys, "plan", write_study(folder, students=students), "--store", folder / "s")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "students[1]: its vocabulary is not that of teacher 'big', which method 'forward_kl'" in err
    study = write_study(folder, students=students, methods=["sft", "seqkd"])
    assert call(monkeypatch, capsys, "plan", study, "--store", folder / "s")[0] == 0, "seqkd needs only the text"


def test_aliases_of_tasks_are_one_identity(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    identities = []
    for name in ("AddSub", "addsub"):
        study = write_study(folder, tasks={"folder": "tasks", "names": [name]})
        _, out, _ = call(monkeypatch, capsys, "plan", study, "--store", folder / "store", "--json")
        identities.append(json.loads(out)["stages"][-1]["identity"])
    assert identities[0] == identities[1]


def test_explain_lists_stages_it_does_not_know(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    code, _, err = call(monkeypatch, capsys, "explain", write_study(folder), "nothing", "--store", folder / "store")
    assert code == 2
    assert "kdscope plan" in err


def test_tasks_and_schema(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    code, out, _ = call(monkeypatch, capsys, "tasks", "--json")
    assert code == 0
    listed = json.loads(out)
    assert [task["test_items"] is None for task in listed] == [False] * 19 + [True] * 6
    assert listed[-1]["name"] == "mini-choose"
    _, out, _ = call(monkeypatch, capsys, "schema")
    assert {"name", "students", "methods"} <= set(json.loads(out)["required"])


def test_run_without_a_study_runs_the_quickstart(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    asked: list[tuple[str, int | None]] = []

    def instead(study: Study, *, seed: int | None, **_: object) -> None:
        asked.append((study.name, seed))
        raise StudyError("not now")

    monkeypatch.setattr("kdscope.api.run_study", instead)
    assert call(monkeypatch, capsys, "run")[0] == 2
    assert call(monkeypatch, capsys, "run", "--preset", "quickstart", "--seed", "3")[0] == 2
    assert asked == [("quickstart", None), ("quickstart", 3)]


def test_presets_are_listed_and_shown(monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path) -> None:
    code, out, _ = call(monkeypatch, capsys, "run", "--preset")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[2:6]] == ["smoke", "quickstart", "half-hour", "claim"]
    code, out, _ = call(monkeypatch, capsys, "run", "--preset", "--json")
    assert [study["name"] for study in json.loads(out)] == ["smoke", "quickstart", "half-hour", "claim"]
    code, out, _ = call(monkeypatch, capsys, "run", "--preset", "smoke", "--show")
    assert code == 0
    mine = tmp_path / "mine.yaml"
    mine.write_text(out)
    assert load_study(mine) == load_study(embedded_study("smoke").path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--preset", "smok"], "no study 'smok' comes with kdscope (known: smoke, quickstart, half-hour, claim)"),
        (["mine.yaml", "--preset", "smoke"], "give either a study file or --preset"),
    ],
)
def test_what_cannot_be_run(monkeypatch: pytest.MonkeyPatch, capsys: Capture, arguments: list[str], said: str) -> None:
    code, _, err = call(monkeypatch, capsys, "run", *arguments)
    assert code == 2
    assert said in err


def test_mini_tasks_are_written_as_files(monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path) -> None:
    code, out, _ = call(
        monkeypatch, capsys, "data", "mini", tmp_path, "--task", "mini-one-step", "--train", 3, "--test", 2
    )
    assert code == 0
    files = [Path(line) for line in out.splitlines()]
    assert [str(file.relative_to(tmp_path)) for file in files] == [
        "mini-one-step/train.json",
        "mini-one-step/test.json",
    ]
    assert json.loads(files[0].read_text()) == mini_rows("mini-one-step", "train", 3)
    assert json.loads(files[1].read_text()) == mini_rows("mini-one-step", "test", 2)


def test_help_is_fast() -> None:
    """In processor time, which a busy machine does not stretch as it does the clock's."""

    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    seconds = []
    for _ in range(3):
        before = spent()
        subprocess.run([sys.executable, "-m", "kdscope", "--help"], check=True, capture_output=True)
        seconds.append(spent() - before)
    assert min(seconds) < 0.5


def test_planning_loads_nothing_heavy(folder: Path) -> None:
    write_study(folder)
    code = (
        "import sys; sys.argv = ['kdscope', 'plan', 'study.yaml', '--json']\n"
        "from kdscope.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'pandas', 'scipy', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


def test_study_values_are_the_study(folder: Path) -> None:
    """The builder's study must stay a valid one, or the broken ones above prove nothing."""
    from kdscope.api import load_study

    assert load_study(write_study(folder)).name == study_values(folder)["name"]

"""The verbs as functions: what they check before anything runs, and what a run under another seed is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kdscope.api import load_study, plan_study, run_study
from kdscope.core.errors import DataError, StudyError
from kdscope.evaluation.records import write_records
from kdscope.pipeline.stage import Stage, in_order
from kdscope.study.embedded import embedded_study
from tests.builders import made_up_study, make_data, make_hollow_family, make_hollow_model, make_rows, write_study


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data and a model for planning, in the current folder."""
    make_data(tmp_path)
    make_hollow_model(tmp_path / "teacher")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[Stage]:
    """What ran, where running means no more than writing a page."""
    ran: list[Stage] = []

    def execute(stage: Stage, context: Any) -> None:
        ran.append(stage)
        (context.output / "report.html").write_text(json.dumps(context.stage.context.get("study")))
        (context.output / "facts.json").write_text("{}")
        write_records([], context.output / "records.parquet")

    monkeypatch.setattr("kdscope.api.study.execute", execute)
    return ran


# Another seed


def seeds_of(stages: list[Stage], kind: str) -> set[Any]:
    return {stage.parameters["seed"] for stage in stages if stage.kind == kind}


def test_a_seed_stands_in_for_the_studys_own(folder: Path, executed: list[Stage]) -> None:
    study = write_study(folder, seeds=[3, 4])
    result = run_study(study, store=folder / "store", seed=7)
    assert result.report == Path("runs/small-s7/report.html")
    kinds = ("distil_student", "adapt_teacher", "record_teacher")
    # The teacher's ceiling is another run of it, with a seed of its own.
    assert [seeds_of(executed, kind) for kind in kinds] == [{7}, {7, 1007}, {7}]
    told = json.loads((folder / "runs/small-s7/report.html").read_text())
    assert (told["name"], told["seeds"]) == ("small-s7", [7])
    assert not (folder / "runs/small").exists()


def test_seed_zero_is_a_seed_and_none_is_not(folder: Path, executed: list[Stage]) -> None:
    study = write_study(folder, seeds=[3])
    assert run_study(study, store=folder / "store", seed=0).report == Path("runs/small-s0/report.html")
    assert seeds_of(executed, "distil_student") == {0}
    assert run_study(study, store=folder / "store").report == Path("runs/small/report.html")
    assert seeds_of(executed, "distil_student") == {0, 3}


def test_data_do_not_depend_on_the_seed(folder: Path, executed: list[Stage]) -> None:
    study = write_study(folder, **made_up_study(folder))
    run_study(study, store=folder / "store", seed=1)
    first = {stage.kind for stage in executed}
    executed.clear()
    run_study(study, store=folder / "store", seed=2)
    prepared = {"prepare_data", "prepare_prompts", "prepare_task", "prepare_student", "audit_contamination"}
    assert first - {stage.kind for stage in executed} == prepared


# Every row is checked before anything runs


def broken(folder: Path) -> str:
    (folder / "broken.json").write_text(json.dumps([*make_rows(12), {"instruction": " ", "output": "x"}]))
    return str(folder / "broken.json")


@pytest.mark.parametrize("place", ["data", "unlabelled", "teacher"])
def test_a_row_that_cannot_be_used_stops_a_study_before_it_starts(folder: Path, place: str) -> None:
    changes = made_up_study(folder)
    rows = {"path": broken(folder)}
    if place == "data":
        changes["data"] = {**rows, "unlabelled": changes["data"]["unlabelled"]}
    elif place == "unlabelled":
        changes["data"]["unlabelled"] = rows
    else:
        changes["teachers"][0]["data"] = rows
    with pytest.raises(DataError, match=r"broken\.json, row 13: instruction: the text is empty"):
        plan_study(write_study(folder, **changes), folder / "store")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("unlabelled", {"limit": 31}, "limit: 31 rows are asked for, but there are 30"),
        ("teacher", {"validation_items": 80}, "validation_items: 80 rows leave none to train on"),
        ("data", {"validation_items": 20}, "validation_items: 20 rows leave none to train on"),
    ],
)
def test_too_few_generated_rows_are_told_with_their_tasks(
    folder: Path, place: str, value: dict[str, int], words: str
) -> None:
    changes = made_up_study(folder)
    data, teacher = changes["data"], changes["teachers"][0]["data"]
    {"data": data, "unlabelled": data["unlabelled"], "teacher": teacher}[place].update(value)
    with pytest.raises(DataError, match=f"^mini-one-step, mini-choose: {words}"):
        plan_study(write_study(folder, **changes), folder / "store")


def test_names_of_mini_tasks_become_those_of_the_registry(folder: Path) -> None:
    changes = made_up_study(folder) | {"tasks": {"names": ["MINI_Choose"], "mini_items": 3}}
    assert load_study(write_study(folder, **changes)).tasks.names == ("mini-choose",)
    with pytest.raises(StudyError, match=r"tasks\.names\[1\]: 'mini-choose' and 'MINI_Choose' are the same task"):
        load_study(write_study(folder, **{**changes, "tasks": {"names": ["MINI_Choose", "mini-choose"]}}))


# Studies that come with kdscope


@pytest.mark.parametrize("name", ["smoke", "quickstart"])
def test_an_embedded_study_can_be_planned_from_anywhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = make_hollow_family(tmp_path / "package", "tiny-s", "tiny-m", "tiny-l")
    monkeypatch.setattr("kdscope.study.embedded.files", lambda package: family)
    monkeypatch.chdir(tmp_path)
    study = load_study(embedded_study(name).path)
    plan, planned = plan_study(study, tmp_path / "store")
    assert {item.state for item in planned} == {"will run"}
    labels = {stage.label for stage in in_order([plan.report])}
    assert {"training data", "unlabelled prompts"} <= labels
    assert {f"items of {task}" for task in study.tasks.names} <= labels
    assert {f"training data of {teacher.name}" for teacher in study.teachers} <= labels


def test_a_seed_that_cannot_be_is_refused_before_anything_runs(tmp_path: Path) -> None:
    study = load_study(embedded_study("smoke").path)
    with pytest.raises(StudyError, match="seed: expected at most 2147483647"):
        run_study(study, store=tmp_path / "store", out=tmp_path / "out", seed=2**31)
    long = study.model_copy(update={"name": "n" * 63})
    with pytest.raises(StudyError, match="1 to 64"):
        run_study(long, store=tmp_path / "store", out=tmp_path / "out", seed=12)
    assert not (tmp_path / "store").exists()

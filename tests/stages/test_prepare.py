"""What the first stages leave for the others: rows of every set, and no answer where there should be none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdscope.api import plan_study
from kdscope.pipeline.run import run_plan
from kdscope.pipeline.stage import in_order
from kdscope.pipeline.store import Store
from kdscope.stages import execute
from kdscope.stages.rows import has_systems, read_json_lines
from kdscope.study.arms import LabelledData
from kdscope.tasks import mini_rows
from tests.builders import made_up_study, make_data, make_hollow_model, make_rows, write_study

TASKS = ("mini-one-step", "mini-choose")
Prepared = Callable[..., dict[str, Path]]


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    """Runs the stages of a study that only prepare rows; their folders by label."""
    make_data(tmp_path)
    make_hollow_model(tmp_path / "teacher")

    def run(**changes: Any) -> dict[str, Path]:
        runtime = {"device": "cpu", "dtype": "float32"}
        plan, _ = plan_study(write_study(tmp_path, **{"runtime": runtime, **changes}), tmp_path / "store")
        kinds = {"prepare_data", "prepare_prompts", "prepare_task"}
        stages = [stage for stage in in_order([plan.report]) if stage.kind in kinds]
        result = run_plan(stages, Store(tmp_path / "store"), execute)
        assert not result.failed
        return {stage.label: result.path(stage) for stage in stages}

    return run


def instructions(file: Path) -> list[str]:
    return [row["instruction"] for row in read_json_lines(file)]


def facts_of(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "manifest.json").read_text())["facts"]
    return facts


def made(first: int, last: int, split: Any = "train") -> set[str]:
    return {row["instruction"] for task in TASKS for row in mini_rows(task, split, last)[first:]}


def test_every_set_of_a_generated_study_is_its_own(prepared: Prepared, tmp_path: Path) -> None:
    folders = prepared(**made_up_study(tmp_path))
    sets = {
        "labelled": instructions(folders["training data"] / "train.jsonl"),
        "held out": instructions(folders["training data"] / "validation.jsonl"),
        "prompts": instructions(folders["unlabelled prompts"] / "prompts.jsonl"),
        "teacher's": instructions(folders["training data of big"] / "train.jsonl"),
        "teacher's held out": instructions(folders["training data of big"] / "validation.jsonl"),
        "asked": [text for task in TASKS for text in instructions(folders[f"items of {task}"] / "items.jsonl")],
    }
    assert {name: len(texts) for name, texts in sets.items()} == {
        "labelled": 16, "held out": 4, "prompts": 30, "teacher's": 72, "teacher's held out": 8, "asked": 12,
    }  # fmt: skip
    everything = [text for texts in sets.values() for text in texts]
    assert len(set(everything)) == len(everything)
    assert set(sets["labelled"] + sets["held out"]) == made(40, 50)
    assert set(sets["prompts"]) == made(50, 65)
    assert set(sets["teacher's"] + sets["teacher's held out"]) == made(0, 40)
    assert set(sets["asked"]) == made(0, 6, "test")


def test_labelled_rows_keep_their_answers(prepared: Prepared, tmp_path: Path) -> None:
    outputs = {row["instruction"]: row["output"] for task in TASKS for row in mini_rows(task, "train", 50)}
    rows = read_json_lines(prepared(**made_up_study(tmp_path))["training data"] / "train.jsonl")
    assert all(row["output"] == outputs[row["instruction"]] for row in rows)


@pytest.mark.parametrize("made_up", [True, False])
def test_answers_of_unlabelled_rows_stay_behind(prepared: Prepared, tmp_path: Path, made_up: bool) -> None:
    changes = made_up_study(tmp_path)
    if made_up:
        rows = [row for task in TASKS for row in mini_rows(task, "train", 65)[50:]]
    else:
        rows = [{**row, "output": f"secret {number}"} for number, row in enumerate(make_rows(20, seed=9))]
        (tmp_path / "prompts.json").write_text(json.dumps(rows))
        changes["data"]["unlabelled"] = {"path": str(tmp_path / "prompts.json"), "limit": 12, "seed": 3}
    folder = prepared(**changes)["unlabelled prompts"]
    count = 30 if made_up else 12
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "prompts.jsonl"]
    prompts = read_json_lines(folder / "prompts.jsonl")
    assert len(prompts) == facts_of(folder)["prompts"] == count
    assert {row["instruction"] for row in prompts} <= {row["instruction"] for row in rows}
    assert [row["output"] for row in prompts] == [""] * count
    assert all(row.keys() == {"row", "instruction", "input", "output"} for row in prompts)
    written = "".join(path.read_text() for path in folder.iterdir())
    assert not [row["output"] for row in rows if row["output"] in written]


def test_a_limit_draws_prompts_by_its_seed(prepared: Prepared, tmp_path: Path) -> None:
    drawn = []
    for seed in (0, 0, 1):
        changes = made_up_study(tmp_path)
        changes["data"]["unlabelled"] |= {"limit": 10, "seed": seed}
        drawn.append(instructions(prepared(**changes)["unlabelled prompts"] / "prompts.jsonl"))
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(len(texts) == 10 and set(texts) <= made(50, 65) for texts in drawn)


def test_files_are_prepared_as_ever(prepared: Prepared) -> None:
    folders = prepared(tasks={"folder": "tasks", "names": ["AddSub", "SVAMP"], "limit": 4})
    train, held_out = (read_json_lines(folders["training data"] / f"{name}.jsonl") for name in ("train", "validation"))
    # Rows with the text of a held-out one leave the training set; these 24 are all different.
    assert sorted(row["row"] for row in (*train, *held_out)) == list(range(1, 25))
    assert len(held_out) == 4
    facts = facts_of(folders["training data"])
    assert (facts["rows"], facts["train"], facts["validation"]) == (24, 20, 4)
    for task, seed in (("AddSub", 2), ("SVAMP", 3)):
        assert instructions(folders[f"items of {task}"] / "items.jsonl") == [
            row["instruction"] for row in make_rows(4, seed)
        ]


def test_rows_with_a_system_text_are_other_training_data_than_they_were(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def identity() -> str:
        plan, _ = plan_study(write_study(tmp_path), tmp_path / "store")
        (stage,) = [stage for stage in in_order([plan.report]) if stage.kind == "prepare_data"]
        return json.dumps(stage.parameters)

    file = tmp_path / "train.json"
    rows = json.loads(file.read_text())
    file.write_text(json.dumps([{"system": "", **row} for row in rows]))
    assert "systems" not in identity()
    with monkeypatch.context() as patched:  # a role of that name needs no second reading
        talk = [{"role": "system", "content": "Hi."}, {"role": "user", "content": "Hi?"}]
        file.write_text(json.dumps([{"messages": [*talk, {"role": "assistant", "content": "Hi!"}]}]))
        patched.setattr("kdscope.stages.rows.rows_of", lambda source: pytest.fail("read again"))
        assert not has_systems(LabelledData(path=file))
    file.write_text(json.dumps([{"system": "Be brief.", **row} for row in rows]))
    assert '"systems": true' in identity()
    learned = instructions(prepared()["training data"] / "train.jsonl")
    assert learned
    assert all(text.startswith("Be brief.\n\n") for text in learned)

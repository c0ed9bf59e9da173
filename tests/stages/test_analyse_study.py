"""The tables made from what stages left behind, without running the stages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from kdscope.evaluation.records import write_records
from kdscope.pipeline.stage import identify
from kdscope.results.tables import ReportTables, load_tables
from kdscope.stages.analyse_study import run
from tests.evaluation.by_hand import marked

COUNTS = ["labelled_examples", "unlabelled_prompts"]


def trained(folder: Path, **facts: Any) -> Path:
    """What a training stage leaves behind: a manifest with its facts, and a log."""
    folder.mkdir()
    identity = identify("distil_student", 1, {}, {})
    texts = dict.fromkeys(("label", "started", "finished"), "x")
    maps: dict[str, Any] = {"parameters": {}, "inputs": {}, "files": {}, "software": {}}
    manifest = {"kind": "distil_student", "version": 1, "identity": identity, "seconds": 1.0, **texts, **maps}
    (folder / "manifest.json").write_text(json.dumps(manifest | {"facts": facts}))
    numbers = ("loss", "cross_entropy", "divergence", "cut_mass", "learning_rate", "gradient_norm", "validation_loss")
    pd.DataFrame({"step": [1], "tokens": [9], **dict.fromkeys(numbers, 0.0)}).to_parquet(folder / "training.parquet")
    return folder


def arm(label: str, role: str, method: str, **facts: Any) -> dict[str, Any]:
    rest = {"student": None if role == "teacher" else "s", "teacher": None, "seed": 0, "prompt_in_loss": False}
    rest |= {"kd_temperature": 1.0} if method in ("gkd", "jsd") else {}
    return {"label": label, "role": role, "method": method, **rest, **facts}


def analyse(
    folder: Path,
    arms: list[dict[str, Any]],
    facts: dict[int, dict[str, Any]],
    answered: set[int],
    *,
    contaminated: Sequence[str] = (),
    exclude: bool = False,
    more: Mapping[str, Path] = MappingProxyType({}),
) -> Any:
    """Runs the stage; arm n was trained with facts[n], and evaluated if it is among the answered."""
    inputs = {f"trained/{number}": trained(folder / f"trained{number}", **own) for number, own in facts.items()}
    for number in answered:
        inputs[f"records/{number}/gsm8k"] = folder / f"records{number}"
        inputs[f"records/{number}/gsm8k"].mkdir()
        write_records(marked("gsm8k", "1101"), folder / f"records{number}" / "records.parquet")
    output = folder / "output"
    output.mkdir()
    inputs |= more
    inputs["audit"] = folder / "audit"
    inputs["audit"].mkdir()
    tally = {"training_set": "the training data", "task": "gsm8k", "items": 4, "some": 0, "near": 0}
    tally |= {"exact": len(contaminated), "examples": [[item, 7] for item in contaminated]}
    (folder / "audit" / "contamination.json").write_text(json.dumps({"tallies": [tally], "items": contaminated}))
    asked = {"primary_temperature": None, "equivalence_margin": 1.0}
    parameters = {"arms": arms, "tasks": ["gsm8k"], "exclude_contaminated": exclude, "analysis": asked}
    parameters["scoring"] = "robust"
    stage = SimpleNamespace(parameters=parameters, context={"stages": {}, "store": str(folder)})
    run(SimpleNamespace(stage=stage, inputs=inputs, output=output))  # type: ignore[arg-type]
    return load_tables(output)


@pytest.fixture
def tables(tmp_path: Path) -> ReportTables:
    arms = [
        arm("t", "teacher", "adapt", teacher="t", teacher_condition="adapted"),
        arm("t@base", "teacher", "base", teacher="t", teacher_condition="base"),
        arm("s/base", "base", "base"),
        arm("s/sft", "student", "sft"),
        arm("s/seqkd", "student", "seqkd", teacher="t", teacher_condition="adapted"),
        arm("s/gkd", "student", "gkd", teacher="t", teacher_condition="adapted"),
        arm("s/jsd", "student", "jsd", teacher="t", teacher_condition="adapted"),
    ]
    facts: dict[int, dict[str, Any]] = {
        0: {"examples": 2400, "steps": 450},
        3: {"examples": 300, "steps": 120},
        4: {"examples": 2100, "unlabelled_prompts": 1800, "steps": 120},
        5: {"examples": 2095, "unlabelled_prompts": 1795, "steps": 120},
    }
    return analyse(tmp_path, arms, facts, answered={0, 1, 2, 3, 4})


def test_labelled_and_unlabelled_are_counted_apart(tables: ReportTables) -> None:
    known = tables.cells.dropna(subset=COUNTS).set_index("cell")[COUNTS]
    assert known.to_dict("index") == {
        "t": {"labelled_examples": 2400, "unlabelled_prompts": 0},
        "s/sft": {"labelled_examples": 300, "unlabelled_prompts": 0},
        "s/seqkd": {"labelled_examples": 300, "unlabelled_prompts": 1800},
        "s/gkd": {"labelled_examples": 300, "unlabelled_prompts": 1795},
    }


def test_what_was_not_trained_has_no_counts(tables: ReportTables) -> None:
    cells = tables.cells.set_index("cell")
    assert cells.loc[["t@base", "s/base", "s/jsd"], COUNTS].isna().all(axis=None)
    assert cells["state"].to_dict() | {"s/gkd": "failed", "s/jsd": "failed"} == cells["state"].to_dict()


def test_everything_else_is_still_there(tables: ReportTables) -> None:
    assert tables.cells.set_index("cell")["steps"].dropna().to_dict() == {
        "t": 450, "s/sft": 120, "s/seqkd": 120, "s/gkd": 120
    }  # fmt: skip
    assert set(tables.gains["cell"]) == {"s/seqkd"}
    assert set(tables.training["cell"]) == {"t", "s/sft", "s/seqkd", "s/gkd"}


def test_a_store_from_before_examples_were_counted(tmp_path: Path) -> None:
    tables = analyse(tmp_path, [arm("s/sft", "student", "sft")], {0: {"steps": 3}}, answered={0})
    assert tables.cells[COUNTS].isna().all(axis=None)
    assert tables.cells["steps"].tolist() == [3]


TWO = [arm("s/sft", "student", "sft"), arm("s/seqkd", "student", "seqkd", teacher="t", teacher_condition="adapted")]


@pytest.mark.parametrize(("exclude", "items"), [(False, 4), (True, 3)])
def test_both_results_are_told_and_one_is_concluded_from(tmp_path: Path, exclude: bool, items: int) -> None:
    # Item 2 is the one that both got wrong.
    facts: dict[int, dict[str, Any]] = {0: {}, 1: {}}
    tables = analyse(tmp_path, TWO, facts, {0, 1}, contaminated=["gsm8k/2"], exclude=exclude)
    accuracy = tables.accuracy[(tables.accuracy["task"] == "gsm8k") & (tables.accuracy["scoring"] == "robust")]
    assert set(accuracy["items"]) == {items}
    assert set(accuracy["accuracy"]) == {3 / items}
    assert set(tables.gains["items"]) == {items}
    clean = tables.clean[tables.clean["scoring"] == "robust"].set_index("cell")
    assert clean["items_all"].to_dict() == {"s/sft": 4, "s/seqkd": 4}
    assert clean["items_clean"].to_dict() == {"s/sft": 3, "s/seqkd": 3}
    assert clean["accuracy_all"].tolist() == [0.75, 0.75]
    assert clean["accuracy_clean"].tolist() == [1.0, 1.0]
    assert clean["gain_clean"].isna().to_dict() == {"s/sft": True, "s/seqkd": False}
    (row,) = tables.contamination.to_dict("records")
    assert (row["exact"], row["items"], row["examples"]) == (1, 4, "gsm8k/2 in row 7")


def test_a_task_that_is_contaminated_as_a_whole_is_no_evidence(tmp_path: Path) -> None:
    everything = [f"gsm8k/{index}" for index in range(4)]
    tables = analyse(tmp_path, TWO, {0: {}, 1: {}}, {0, 1}, contaminated=everything, exclude=True)
    assert tables.accuracy.empty
    assert tables.gains.empty
    assert tables.clean["items_clean"].isna().all()


def test_nothing_contaminated_is_one_result(tmp_path: Path) -> None:
    tables = analyse(tmp_path, TWO, {0: {}, 1: {}}, {0, 1})
    assert tables.clean.empty
    assert tables.contamination.empty

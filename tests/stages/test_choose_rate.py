"""A sweep of learning rates: chosen by hand, and as stages that run, fail and are told of."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from kdscope.api import explain_stage, plan_study, run_study
from kdscope.core.errors import TrainingDivergedError
from kdscope.pipeline.manifest import read_manifest
from kdscope.pipeline.run import RunResult, run_plan
from kdscope.pipeline.stage import Stage, in_order
from kdscope.pipeline.store import Store
from kdscope.stages import execute
from kdscope.stages.choose_rate import Choice, choose, read_choice, role_of, run
from tests.builders import make_data, make_model, write_study
from tests.stages.test_analyse_study import trained


@pytest.mark.parametrize(
    ("scores", "rate"),
    [
        ([0.2, 0.5, 0.4], 0.001),
        ([0.5, 0.5, 0.4], 0.001),
        ([0.5, 0.2, 0.5], 0.002),
        ([None, 0.1, 0.4], 0.002),
        ([0.0, None, None], 0.004),
    ],
    ids=["the best", "of equals the smaller", "whatever their order", "a failure is the worst", "0 beats a failure"],
)
def test_the_rate_that_is_chosen(scores: list[float | None], rate: float) -> None:
    choice = choose([0.004, 0.001, 0.002], scores)
    assert choice == Choice(rate, dict(zip(("0.004", "0.001", "0.002"), scores, strict=True)), 3)


def test_the_stage_reads_the_scores_of_its_runs(tmp_path: Path) -> None:
    scores = {0.001: 0.25, 0.002: 0.75}
    inputs = {role_of(rate): trained(tmp_path / str(rate), validation_accuracy=score) for rate, score in scores.items()}
    facts: dict[str, Any] = {}
    (tmp_path / "output").mkdir()
    stage = SimpleNamespace(parameters={"rates": [0.001, 0.002, 0.004]})
    run(SimpleNamespace(stage=stage, inputs=inputs, output=tmp_path / "output", facts=facts))  # type: ignore[arg-type]
    expected = Choice(0.002, {"0.001": 0.25, "0.002": 0.75, "0.004": None}, 3)
    assert read_choice(tmp_path / "output") == expected
    assert (facts["rate"], facts["budget"]) == (0.002, 3)


RATES = [0.001, 0.01, 0.002]
SETTINGS: dict[str, Any] = {
    "tasks": {"folder": "tasks", "names": ["AddSub"]},
    "students": [{"name": "cut", "path": "teacher", "tuning": {"kind": "full", "learning_rate": RATES}}],
    "methods": ["sft", {"name": "reverse_kl", "warm_start_steps": 2}],
    "teachers": [{"name": "big", "path": "teacher", "condition": "base"}],
    "seeds": [0, 1],
    "training": {"max_steps": 4, "batch_size_sequences": 5, "max_length_tokens": 200, "validate_every_steps": 2},
    "fidelity": {"ceiling": "none", "distribution_items": 0},
    "runtime": {"device": "cpu", "dtype": "float32", "threads": 1},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    make_data(folder, test=2)
    make_model(folder / "teacher", layers=2, spread=0.3)
    return folder


def stages_of(folder: Path, store: Path, **changes: Any) -> dict[str, Stage]:
    plan, _ = plan_study(write_study(folder, **{**SETTINGS, **changes}), store)
    return {stage.label: stage for stage in in_order([plan.report])}


def scripted(scores: dict[str, dict[float, float | None]]) -> Any:
    """Runs stages, but the score of a run of the sweep is the one that stands here, and None makes it diverge."""

    def run_stage(stage: Stage, context: Any) -> None:
        own = next((known for arm, known in scores.items() if stage.label.startswith(f"train cut/{arm}/lr")), None)
        if own is None:
            execute(stage, context)
            return
        tuning: Any = stage.parameters["tuning"]
        score = own[tuning["learning_rate"]]
        if score is None:
            raise TrainingDivergedError("step 1: the loss is nan; try a lower learning rate")
        execute(stage, context)
        context.facts["validation_accuracy"] = score

    return run_stage


SCORES = {
    "sft": {0.001: 0.5, 0.01: 0.25, 0.002: 0.5},
    "reverse_kl-T1/big@base": {0.001: 0.25, 0.01: None, 0.002: 0.75},
}


@pytest.fixture(scope="module")
def swept(world: Path) -> tuple[RunResult, dict[str, Stage], Store]:
    """The study run to its tables, one run of one sweep failing."""
    store = Store(world / "swept")
    stages = stages_of(world, store.root)
    return run_plan([stages["analysis"]], store, scripted(SCORES)), stages, store


def facts_of(result: RunResult, store: Store, stage: Stage) -> dict[str, Any]:
    final = result.final(stage)
    assert final is not None
    return dict(read_manifest(store.path(final) / "manifest.json").facts)


def test_every_final_run_of_an_arm_trains_at_its_best_rate(swept: Any) -> None:
    result, stages, store = swept
    for arm, rate in (("sft", 0.001), ("reverse_kl-T1/big@base", 0.002)):
        for seed in (0, 1):
            stage = stages[f"train cut/{arm}/s{seed}"]
            facts = facts_of(result, store, stage)
            assert (facts["learning_rate"], facts["tuning_runs"]) == (rate, 3)
            log = pd.read_parquet(store.path(result.final(stage)) / "training.parquet")
            assert log["learning_rate"].max() == rate


def test_a_run_of_a_sweep_scores_the_step_that_is_kept(world: Path, tmp_path: Path) -> None:
    label = "train cut/sft/lr0.002"
    for keep, step in (("last", 4), ("best_loss", None)):
        training = {**SETTINGS["training"], "keep": keep, "validate_every_steps": 1}
        store = Store(tmp_path / keep)
        stage = stages_of(world, store.root, training=training)[label]
        assert not run_plan([stage], store, execute).failed
        facts: Any = read_manifest(store.path(stage) / "manifest.json").facts
        log = pd.read_parquet(store.path(stage) / "training.parquet").set_index("step")
        kept = step or int(log["validation_loss"].idxmin())
        assert facts["kept_step"] == kept
        assert facts["validation_accuracy"] == log["validation_accuracy"][kept]
        assert facts["validation_loss"] == log["validation_loss"][kept]
        assert log["validation_accuracy"].notna().all()


def test_the_cells_tell_the_rate_and_what_it_took(swept: Any) -> None:
    result, stages, store = swept
    cells = pd.read_parquet(store.path(result.final(stages["analysis"])) / "cells.parquet").set_index("cell")
    told = cells.loc["cut/reverse_kl-T1/big@base/s1"]
    assert (told["state"], told["learning_rate"], told["tuning_runs"]) == ("done", 0.002, 3)
    assert told["rates_tried"] == "0.001, 0.01, 0.002"
    assert (told["keep"], told["kept_step"], told["warm_start_steps"], told["distilled"]) == ("last", 4, 2, True)
    assert cells.loc["cut/sft/s0", "learning_rate"] == 0.001
    assert pd.isna(cells.loc["cut/sft/s0", "distilled"])
    assert cells.loc["teacher/big@base", ["keep", "learning_rate", "tuning_runs"]].isna().all()


def test_a_run_that_failed_is_noted(swept: Any) -> None:
    result, stages, store = swept
    notes = json.loads((store.path(result.final(stages["analysis"])) / "notes.json").read_text())
    assert (
        "the learning rate 0.01 could not be trained with and counts as the worst: cut/reverse_kl-T1/big@base/s0, "
        "cut/reverse_kl-T1/big@base/s1" in notes
    )
    assert (
        "the smallest learning rate tried was the best, so that a smaller one may be better: cut/sft/s0, cut/sft/s1"
        in notes
    )


def test_an_arm_without_a_rate_that_works_fails_and_says_why(world: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    stages = stages_of(world, store.root, methods=["sft", "reverse_kl"])
    nothing = {"reverse_kl-T1/big@base": dict.fromkeys((0.001, 0.01, 0.002))}
    result = run_plan([stages["analysis"]], store, scripted(nothing))  # type: ignore[arg-type]
    final = result.final(stages["analysis"])
    assert final is not None
    cells = pd.read_parquet(store.path(final) / "cells.parquet").set_index("cell")
    assert cells["state"].to_dict() | {"cut/reverse_kl-T1/big@base/s0": "failed"} == cells["state"].to_dict()
    assert cells.loc["cut/reverse_kl-T1/big@base/s0", "cause"] == (
        "no learning rate of its sweep could be trained; the first: step 1: the loss is nan; try a lower learning rate"
    )
    assert cells.loc["cut/sft/s0", "state"] == "done"


def test_a_sweep_is_explained_and_not_run_twice(world: Path, tmp_path: Path) -> None:
    file = write_study(world, **{**SETTINGS, "methods": ["sft"], "seeds": [0]})
    first = run_study(file, store=tmp_path / "store", out=tmp_path / "out").run
    assert sum("/lr" in stage.label for stage in first.executed) == 3
    assert run_study(file, store=tmp_path / "store", out=tmp_path / "out").run.executed == []
    explained = {stage.label: told.state for stage, told in explain_stage(file, "lr0.01", tmp_path / "store")}
    assert explained == {"train cut/sft/lr0.01": "done"}
    more = write_study(world, **{**SETTINGS, "methods": ["sft"], "seeds": [0, 1]})
    again = run_study(more, store=tmp_path / "store", out=tmp_path / "out").run
    assert [stage.label for stage in again.executed if stage.kind in ("distil_student", "choose_rate")] == [
        "train cut/sft/s1"
    ]

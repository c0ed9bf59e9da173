"""Trackers are no part of a study's identity; where they write, and that they are there, is settled before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kdscope.api import load_study, plan_study
from kdscope.core.errors import MachineError
from kdscope.pipeline.stage import Stage, in_order
from kdscope.training import trackers
from tests.builders import make_data, make_hollow_model, write_study


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_data(tmp_path)
    make_hollow_model(tmp_path / "teacher")
    monkeypatch.setattr(trackers, "_is_installed", lambda name: True)
    return tmp_path


def stages(world: Path, **runtime: Any) -> list[Stage]:
    study = write_study(world, runtime={"device": "cpu", "dtype": "float32", **runtime})
    return in_order([plan_study(study, world / "store")[0].report])


def test_trackers_change_no_identity(world: Path) -> None:
    plain, told = stages(world), stages(world, trackers=["tensorboard", "wandb"], tracking_folder="logs")
    assert [stage.identity for stage in plain] == [stage.identity for stage in told]
    assert not any("tracking" in stage.context for stage in plain)


def test_every_model_that_trains_is_a_run_of_its_own(world: Path) -> None:
    second = {"fidelity": {"ceiling": "second_seed"}}
    study = write_study(world, runtime={"device": "cpu", "trackers": "wandb"}, **second)
    found = in_order([plan_study(study, world / "store")[0].report])
    runs: dict[str, Any] = {s.label: s.context.get("tracking") for s in found if s.context.get("tracking")}
    assert {stage.kind for stage in found if stage.label in runs} == {"adapt_teacher", "distil_student"}
    assert sorted(run["run"] for run in runs.values()) == [
        *("cut/forward_kl-T1/big/s0", "cut/forward_kl-T2/big/s0", "cut/gkd-T1/big/s0", "cut/seqkd/big/s0"),
        *("cut/sft/s0", "teacher/big", "teacher/big again"),
    ]
    folders = {run["folder"] for run in runs.values()}
    assert folders == {str(world / "store" / "tracking" / "small")}
    assert {run["project"] for run in runs.values()} == {"small"}


def test_the_folder_is_relative_to_the_study(world: Path) -> None:
    study = load_study(write_study(world, runtime={"device": "cpu", "trackers": "wandb", "tracking_folder": "logs"}))
    assert study.runtime.tracking_folder == world / "logs"
    contexts: list[Any] = [s.context.get("tracking") for s in in_order([plan_study(study, world / "s")[0].report])]
    assert {told["folder"] for told in contexts if told} == {str(world / "logs" / "small")}


def test_a_missing_package_is_said_before_anything_runs(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "_is_installed", lambda name: False)
    with pytest.raises(MachineError, match=r"runtime\.trackers asks for mlflow, which is not installed"):
        stages(world, trackers="mlflow")
    assert not (world / "store" / "stages").exists()

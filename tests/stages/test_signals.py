"""Recordings as stages: written once, replayed by every student alike, refused when they do not fit."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from kdscope.api import plan_study
from kdscope.pipeline.plan import plan_states
from kdscope.pipeline.run import RunResult, run_plan
from kdscope.pipeline.stage import Stage, in_order
from kdscope.pipeline.store import Store
from kdscope.stages import execute
from kdscope.stages.distil_student import MethodParams, _on_samples
from kdscope.study.arms import Method
from kdscope.study.grid import Cell
from tests.builders import make_data, make_model, make_rows, write_study

LORA = {"name": "cut", "path": "teacher", "keep_layers": 2, "tuning": {"kind": "lora", "rank": 4}}
METHODS = [
    "sft",
    {"name": "forward_kl", "kd_temperature": 2.0, "teacher_noise_std": 0.5, "kd_weight": 0.8},
    "adaptive_kl",
    {"name": "reverse_kl", "prompt_in_loss": True},
    "gkd",
]
CELLS = {
    "forward_kl": "forward_kl-T2-w0.8-noise0.5/big@base",
    "adaptive_kl": "adaptive_kl-T1/big@base",
    "reverse_kl": "reverse_kl-T1/big@base",
    "gkd": "gkd-T1/big@base",
}
SETTINGS: dict[str, Any] = {
    "teachers": [{"name": "big", "path": "teacher", "condition": "base"}],
    "students": [LORA],
    "methods": METHODS,
    "training": {
        "max_steps": 5, "batch_size_sequences": 5, "max_length_tokens": 200, "learning_rate": 1e-3,
        "checkpoint_every_steps": 2, "validate_every_steps": 9,
    },
    "runtime": {"device": "cpu", "dtype": "float32", "threads": 1},
}  # fmt: skip


class World:
    """A folder with data, a teacher and a store."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, Store(folder / "store")
        make_data(folder, test=2)
        make_model(folder / "teacher", layers=3, spread=0.3)

    def stages(self, **changes: Any) -> dict[str, Stage]:
        plan, _ = plan_study(write_study(self.folder, **{**SETTINGS, **changes}), self.folder / "store")
        return {stage.label: stage for stage in in_order([plan.report])}

    def trained(self, stages: dict[str, Stage]) -> dict[str, Stage]:
        return {method: stages[f"train cut/{name}/s0"] for method, name in CELLS.items()}

    def run(self, *targets: Stage, run: Callable[[Stage, Any], None] = execute) -> RunResult:
        return run_plan(targets, self.store, run)

    def losses(self, stage: Stage) -> list[float]:
        return list(pd.read_parquet(self.store.path(stage) / "training.parquet")["loss"])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("signals"))


@pytest.fixture
def world(base: World, tmp_path: Path) -> World:
    """A copy of the folder that a test may damage, its store empty."""
    shutil.copytree(base.folder, tmp_path / "world", ignore=shutil.ignore_patterns("store"))
    own = World.__new__(World)
    own.folder, own.store = tmp_path / "world", Store(tmp_path / "world" / "store")
    return own


def test_every_path_trains_the_same_student(base: World) -> None:
    losses = {}
    for asked in ("auto", "replay", "live"):
        trained = base.trained(base.stages(teacher_signal=asked))
        assert set(trained) == set(CELLS)
        result = base.run(*trained.values())
        assert not result.failed, result.messages
        losses[asked] = {method: base.losses(stage) for method, stage in trained.items()}
    paths = {method: stage.context["signal"] for method, stage in base.trained(base.stages()).items()}
    assert paths == {
        "forward_kl": "expectation",
        "adaptive_kl": "replay",
        "reverse_kl": "replay",
        "gkd": "replay + live",
    }
    for method, live in losses["live"].items():
        assert len(set(live)) == 5
        for asked in ("auto", "replay"):
            assert losses[asked][method] == pytest.approx(live, rel=1e-5), (asked, method)


def test_a_warm_start_of_forward_kl_hears_a_recording_as_it_hears_the_teacher(base: World) -> None:
    """Also where forward KL alone would take an expectation, and where the student's own samples come afterwards."""
    warm = {"warm_start_steps": 3, "warm_start": "forward_kl", "kd_temperature": 2.0}
    methods = [
        {"name": "reverse_kl", **warm},
        {"name": "gkd", **warm},
        {"name": "gkd", **warm, "on_policy_probability": 1.0},
    ]
    losses = {}
    for asked in ("auto", "live"):
        stages = base.stages(methods=["sft", *methods], teacher_signal=asked)
        trained = {label: stage for label, stage in stages.items() if label.startswith("train ") and "sft" not in label}
        assert len(trained) == 3
        assert not base.run(*trained.values()).failed
        losses[asked] = {label: base.losses(stage) for label, stage in trained.items()}
        logs = [pd.read_parquet(base.store.path(stage) / "training.parquet") for stage in trained.values()]
        assert all(log["divergence"].notna().all() for log in logs), "the teacher is heard from the first step on"
        for log in logs[1:]:
            assert list(log["loss"][:3]) == pytest.approx(list(logs[0]["loss"][:3]), rel=1e-5), "the three start alike"
    assert {label: pytest.approx(live, rel=1e-5) for label, live in losses["live"].items()} == losses["auto"]


def test_jsd_with_half_of_its_steps_on_samples_is_gkd(base: World) -> None:
    stages = base.stages(methods=["sft", "gkd", {"name": "jsd", "on_policy_probability": 0.5}])
    trained = {label: stage for label, stage in stages.items() if label.startswith("train ") and "sft" not in label}
    assert len(trained) == 1, "the two are one stage, and trained once"


def test_on_policy_divergence_is_what_steps_on_samples_minimise(base: World) -> None:
    always = {"on_policy_probability": 1.0}
    half = {"name": "forward_kl", "on_policy_probability": 0.5, "on_policy_divergence": "skew_reverse_kl"}
    mixed = {"name": "forward_kl", **always, "on_policy_divergence": "reverse_kl"}
    stages = base.stages(methods=["sft", {"name": "reverse_kl", **always}, mixed, half, "forward_kl"])
    trained = {label: stage for label, stage in stages.items() if label.startswith("train ") and "sft" not in label}
    assert not base.run(*trained.values()).failed
    reverse, forward_on_reverse, halved, forward = (base.losses(stage) for stage in trained.values())
    assert forward_on_reverse == reverse
    same = [one == pytest.approx(other, rel=1e-5) for one, other in zip(halved, forward, strict=True)]
    first_sampled = same.index(False)
    assert same[:first_sampled] == [True] * first_sampled
    assert next(stage for label, stage in trained.items() if "skew_reverse_kl" in label).context["signal"] == (
        "replay + live"
    )


def test_a_divergence_on_samples_has_its_own_defaults_and_the_settings_that_methods_share() -> None:
    def on_samples(**method: Any) -> dict[str, Any]:
        chosen = Method.model_validate({"on_policy_probability": 0.5, **method})
        params = MethodParams.of_cell(Cell("cell", None, chosen, 0, None, "base", 1.0, 1.0, 0.0))
        return dict(_on_samples(params).settings)

    assert on_samples(name="alpha_beta", settings={"beta": 0.6}) == {"alpha": 0.2, "beta": 0.6}
    assert on_samples(name="jeffreys", on_policy_divergence="alpha_beta") == {"alpha": 0.2, "beta": 0.7}
    assert on_samples(name="jsd", beta=0.1, on_policy_divergence="alpha_beta") == {"alpha": 0.2, "beta": 0.7}
    assert on_samples(name="skew_kl", skew=0.3, on_policy_divergence="skew_reverse_kl") == {"skew": 0.3}
    assert on_samples(name="alpha_beta", on_policy_divergence="jsd") == {"beta": 0.5}


def test_a_recording_is_made_once_and_read_by_all(base: World) -> None:
    stages = base.stages()
    labels = ["hidden states of teacher/big@base", "hidden states of teacher/big@base, prompts included"]
    assert sorted(label for label, stage in stages.items() if stage.kind == "record_states") == labels
    result = base.run(*base.trained(stages).values())
    assert not result.failed
    again = base.run(*base.trained(stages).values())
    assert again.executed == []
    facts = json.loads((base.store.path(stages[labels[0]]) / "manifest.json").read_text())["facts"]
    with_prompts = json.loads((base.store.path(stages[labels[1]]) / "manifest.json").read_text())["facts"]
    assert with_prompts["target_tokens"] > facts["target_tokens"] > 0


def test_the_plan_says_what_a_recording_takes(base: World) -> None:
    stages = base.stages()
    states = stages["hidden states of teacher/big@base"]
    result = base.run(states)
    assert not result.failed
    written = sum(file.stat().st_size for file in base.store.path(states).iterdir())
    assert 0.4 * written < states.cost.disk_bytes < 2.5 * written
    assert {item.stage.label: item.state for item in plan_states([states], base.store)}[states.label] == "done"


def test_a_student_that_makes_other_tokens_is_refused(world: World) -> None:
    """The same vocabulary, but words are not split as the teacher's are: its recording is of other tokens."""
    student = world.folder / "student"
    shutil.copytree(world.folder / "teacher", student)
    tokenizer = json.loads((student / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Lowercase"}
    (student / "tokenizer.json").write_text(json.dumps(tokenizer))
    stages = world.stages(students=[LORA | {"path": str(student)}])
    result = world.run(*world.trained(stages).values())
    failed = {stage.label for stage in result.failed}
    assert failed == {
        "expectations of teacher/big@base for cut's head at T 2, noise 0.5 seed 0",
        *(f"train cut/{CELLS[method]}/s0" for method in ("adaptive_kl", "reverse_kl", "gkd")),
    }
    for message in result.messages.values():
        assert "has changed since: its token" in message
        assert "teacher_signal: live" in message
    live = world.trained(world.stages(students=[LORA | {"path": str(student)}], teacher_signal="live"))
    assert not world.run(*live.values()).failed


def test_a_full_disk_is_named_and_leaves_the_store_sound(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = world.stages()
    states = stages["hidden states of teacher/big@base"]
    assert not world.run(states.inputs["data"]).failed

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        result = world.run(states)
    (message,) = (result.messages[stage.identity] for stage in result.failed if stage == states)
    assert "disk" in message
    assert "free" in message
    assert world.store.inspect(states).state != "done"
    assert not world.run(states).failed


def test_a_killed_recording_goes_on_and_is_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import kdscope.stages.record_states as module
    from kdscope.teacher import recording_writer

    states = world.stages()["hidden states of teacher/big@base"]
    monkeypatch.setattr(module, "_BATCH_TOKENS", 400)
    small = recording_writer.PositionWriter
    monkeypatch.setattr(recording_writer, "PositionWriter", lambda *arguments: small(*arguments, part_bytes=20_000))
    whole = Store(world.folder / "other")
    assert not run_plan([states], whole, execute).failed

    class Killed(BaseException):
        pass

    def dying(stage: Stage, context: Any) -> None:
        def update(done: float, *_: Any) -> None:
            if stage == states and done >= 12:
                raise Killed

        execute(stage, replace(context, progress=SimpleNamespace(update=update)))

    with pytest.raises(Killed):
        world.run(states, run=dying)
    seen: list[float] = []

    def watched(stage: Stage, context: Any) -> None:
        execute(stage, replace(context, progress=SimpleNamespace(update=lambda done, *_: seen.append(done))))

    assert not world.run(states, run=watched).failed
    assert min(seen) > 1, "nothing was kept"
    for file in sorted(whole.path(states).iterdir()):
        if file.name != "manifest.json":
            assert file.read_bytes() == (world.store.path(states) / file.name).read_bytes(), file.name


def test_answers_to_prompts_are_recorded_with_the_rest(world: World) -> None:
    (world.folder / "many.json").write_text(json.dumps(make_rows(9, seed=5)))
    data = {
        "path": str(world.folder / "train.json"),
        "validation_items": 4,
        "unlabelled": {"path": str(world.folder / "many.json")},
    }
    losses = {}
    for asked in ("auto", "live"):
        trained = world.trained(world.stages(data=data, teacher_signal=asked))
        assert not world.run(*trained.values()).failed
        losses[asked] = {method: world.losses(stage) for method, stage in trained.items()}
    for method, live in losses["live"].items():
        assert losses["auto"][method] == pytest.approx(live, rel=1e-5)

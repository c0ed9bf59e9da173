"""A stage maker, a stage function that can be told to fail, and a listener that remembers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdscope.core.errors import DataError
from kdscope.pipeline.events import Events
from kdscope.pipeline.run import RunResult, StageContext, run_plan
from kdscope.pipeline.stage import Stage
from kdscope.pipeline.store import Store


class Recorder(Events):
    """Every event as (name, label), warnings as (name, text)."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def plan(self, stages):
        self.seen.append(("plan", [stage.label for stage in stages]))

    def working(self, processes):
        self.seen.append(("working", processes))

    def started(self, stage):
        self.seen.append(("started", stage.label))

    def progress(self, stage, done, total, unit, note):
        self.seen.append(("progress", (stage.label, done, total, unit, note)))

    def finished(self, stage, seconds):
        self.seen.append(("finished", stage.label))

    def reused(self, stage):
        self.seen.append(("reused", stage.label))

    def failed(self, stage, message):
        self.seen.append(("failed", (stage.label, message)))

    def blocked(self, stage, missing):
        self.seen.append(("blocked", (stage.label, [one.label for one in missing])))

    def waiting(self, stages):
        self.seen.append(("waiting", [stage.label for stage in stages]))

    def warning(self, message):
        self.seen.append(("warning", message))

    def of(self, name: str) -> list[Any]:
        return [what for kind, what in self.seen if kind == name]


class Toy:
    """Writes a value that tells where it came from; stages whose label is in `broken` fail instead."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.broken: set[str] = set()

    def __call__(self, stage: Stage, context: StageContext) -> None:
        self.calls.append(stage.label)
        if stage.label in self.broken:
            raise DataError("cannot be used", file="toy.jsonl", row=3)
        parts = [f"{role}={(folder / 'value.txt').read_text()}" for role, folder in sorted(context.inputs.items())]
        (context.output / "value.txt").write_text(f"{stage.kind}{dict(stage.parameters)}({','.join(parts)})")
        (context.output / "inner").mkdir()
        (context.output / "inner" / "data.bin").write_bytes(bytes(100))


def make_stage(label, inputs=None, *, kind="toy", version=1, **more) -> Stage:
    parameters = more.pop("parameters", {"name": label})
    return Stage(kind, label, version, parameters, inputs or {}, **more)


@pytest.fixture
def stage() -> Callable[..., Stage]:
    return make_stage


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture
def events() -> Recorder:
    return Recorder()


@pytest.fixture
def run(store: Store, toy: Toy, events: Recorder) -> Callable[..., RunResult]:
    return functools.partial(run_plan, store=store, execute=toy, events=events, poll_seconds=0.01)


@pytest.fixture
def chain(stage) -> list[Stage]:
    """Data, teacher, student, report: each on the one before."""
    stages = [stage("data")]
    for label in ("teacher", "student", "report"):
        stages.append(stage(label, {"source": stages[-1]}))
    return stages

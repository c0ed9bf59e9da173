"""TensorBoard beside a whole study: every trained model is there, and no byte of the results is another."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.conftest import World

pytest.importorskip("tensorboard")
METHODS = ["sft", {"name": "forward_kl", "kd_temperature": 1.0}]
RUNTIME = {"device": "cpu", "threads": 1}


def trained(world: World) -> dict[str, bytes]:
    """Weights and logs of every model in the store, by the stage's identity."""
    stages = (world.folder / ".kdscope/stages").glob("*/*")
    files = (
        file for stage in stages for pattern in ("model/*.safetensors", "*.parquet") for file in stage.glob(pattern)
    )
    kinds = ("adapt_teacher", "distil_student")
    return {
        str(file.relative_to(world.folder)): file.read_bytes()
        for file in files
        if any(kind in file.parts for kind in kinds)
    }


@pytest.mark.slow
def test_trackers_beside_helper_processes_change_no_byte(world: World) -> None:
    common = {"methods": METHODS, "tasks": {"names": []}}
    world.rewrite(**common, runtime=RUNTIME)
    assert world.run()[-1]["failed"] == 0
    plain = trained(world)
    (world.folder / ".kdscope").rename(world.folder / "without")
    world.rewrite(**common, runtime={**RUNTIME, "workers": 2, "trackers": "tensorboard"})
    events = world.run()
    assert events[-1]["failed"] == 0
    assert not [event for event in events if event["event"] == "warning"]
    assert len(plain) >= 6
    assert trained(world) == plain
    folder = world.folder / ".kdscope/tracking/small"
    runs = {str(file.parent.relative_to(folder)) for file in folder.rglob("events.out.tfevents.*")}
    assert runs == {"teacher/big", "cut/sft/s0", "cut/forward_kl-T1/big/s0"}
    assert _steps(folder / "cut/sft/s0") == list(range(1, 9))


def _steps(folder: Path) -> list[int]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return [event.step for event in EventAccumulator(str(folder)).Reload().Scalars("loss")]

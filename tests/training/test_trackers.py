"""Trackers hear what the log has, and nothing they do reaches the training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import tracking as accelerate_tracking
from accelerate.tracking import GeneralTracker

from kdscope.core.errors import MachineError
from kdscope.training import trackers
from kdscope.training.checkpoints import Checkpoints
from kdscope.training.loop import Job, train
from kdscope.training.trackers import Tracking, check_trackers

MakeJob = Callable[..., Job]
PARAMETERS = {"training": {"learning_rate": 3e-3, "max_steps": None}, "method": {"divergence": "none"}, "seed": 0}


class Recorder(GeneralTracker):
    """accelerate's own stub, which remembers what it is told; it fails where it is asked to."""

    name = "recorder"
    requires_logging_directory = False
    made: list[Recorder]
    fails_at: str = ""

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        self.arguments, self.told, self.finished = arguments, list[tuple[int, dict[str, Any]]](), False
        self.configuration: dict[str, Any] = {}
        type(self).made.append(self)

    @property
    def tracker(self) -> None:
        return None

    def start(self) -> None:
        self._fail("start")

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.configuration = values

    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        print("a tracker speaks")
        if len(self.told) == 3:
            self._fail("log")
        self.told.append((int(step or 0), values))

    def finish(self) -> None:
        self._fail("finish")
        self.finished = True

    def _fail(self, where: str) -> None:
        if self.fails_at == where:
            raise ConnectionError(f"no network in {where}\nwith a second line")


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    """Stands in for accelerate's trackers."""
    kind = type("OwnRecorder", (Recorder,), {"made": []})
    classes = dict.fromkeys(("tensorboard", "wandb", "trackio", "mlflow"), kind)
    monkeypatch.setattr(accelerate_tracking, "LOGGER_TYPE_TO_CLASS", classes)
    return kind


def tracking(folder: Path, *names: str, warn: Callable[[str], None] = pytest.fail) -> Tracking:
    return Tracking(names, "study", "cut/sft/s0", folder, PARAMETERS, warn)


def finished(job: Job, folder: Path) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    log = train(job, Checkpoints(folder)).log
    return log, {name: p.detach().clone() for name, p in job.model.trainable().items()}


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_every_number_of_the_log_is_told_and_changes_nothing(
    make_job: MakeJob, recorder: type[Recorder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain_log, plain = finished(make_job(lora=True, dropout=0.1), tmp_path / "plain")
    told_log, told = finished(
        make_job(lora=True, dropout=0.1, tracking=tracking(tmp_path, "wandb", "mlflow")), tmp_path / "told"
    )
    assert told_log == plain_log
    assert_same(plain, told)
    assert len(recorder.made) == 2
    for run in recorder.made:
        rows = [{"step": step, **values} for step, values in run.told]
        assert rows == [{key: value for key, value in row.items() if value is not None} for row in plain_log]
        assert "validation_loss" in rows[3]
        assert "validation_loss" not in rows[2]
        assert run.configuration == {"training.learning_rate": 3e-3, "method.divergence": "none", "seed": 0}
        assert run.finished
    wandb, mlflow = (run.arguments for run in recorder.made)
    assert (wandb["run_name"], wandb["name"]) == ("study", "cut/sft/s0")
    assert (mlflow["experiment_name"], mlflow["run_name"]) == ("study", "cut/sft/s0")
    assert "a tracker speaks" not in capsys.readouterr().out


@pytest.mark.parametrize("where", ["start", "log", "finish"])
def test_a_tracker_that_fails_warns_once_and_stops_nothing(
    make_job: MakeJob, recorder: type[Recorder], tmp_path: Path, where: str
) -> None:
    _, plain = finished(make_job(), tmp_path / "plain")
    recorder.fails_at = where
    warnings: list[str] = []
    job = make_job(tracking=tracking(tmp_path, "wandb", warn=warnings.append))
    log, weights = finished(job, tmp_path / "told")
    assert len(log) == 10
    assert_same(plain, weights)
    assert warnings == [f"cut/sft/s0: tracking with wandb stops, training goes on: no network in {where}"]


def test_one_tracker_that_fails_leaves_the_others(
    make_job: MakeJob, recorder: type[Recorder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = type("Broken", (Recorder,), {"made": [], "fails_at": "log"})
    classes = {"wandb": broken, "trackio": recorder}
    monkeypatch.setattr(accelerate_tracking, "LOGGER_TYPE_TO_CLASS", classes)
    warnings: list[str] = []
    finished(make_job(tracking=tracking(tmp_path, "wandb", "trackio", warn=warnings.append)), tmp_path / "told")
    assert len(warnings) == 1
    assert len(recorder.made[0].told) == 10


def test_a_run_is_closed_where_training_fails(make_job: MakeJob, recorder: type[Recorder], tmp_path: Path) -> None:
    def stop(done: int, total: int, note: str) -> None:
        if done == 2:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        train(make_job(tracking=tracking(tmp_path, "wandb"), progress=stop), Checkpoints(tmp_path / "c"))
    assert recorder.made[0].finished


def test_a_resumed_run_tells_its_past_again(make_job: MakeJob, recorder: type[Recorder], tmp_path: Path) -> None:
    def stop(done: int, total: int, note: str) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(make_job(tracking=tracking(tmp_path, "wandb"), progress=stop), Checkpoints(tmp_path / "c"))
    finished(make_job(tracking=tracking(tmp_path, "wandb")), tmp_path / "c")
    assert [step for step, _ in recorder.made[0].told] == [1, 2, 3, 4, 5]
    assert [step for step, _ in recorder.made[1].told] == list(range(1, 11))


def test_a_project_that_two_processes_make_at_once_is_found_at_the_second_look(
    make_job: MakeJob, recorder: type[Recorder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken_once(self: Recorder) -> None:
        if len(recorder.made) == 1:
            raise ValueError("there is an experiment of that name")

    monkeypatch.setattr(recorder, "start", taken_once)
    finished(make_job(tracking=tracking(tmp_path, "mlflow")), tmp_path / "c")
    assert len(recorder.made[1].told) == 10


def test_what_wandb_is_asked(make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """accelerate's own class on a stand-in for the package."""
    import sys

    asked: list[dict[str, Any]] = []
    logged: list[int] = []
    configured: dict[str, Any] = {}

    def init(**arguments: Any) -> Any:
        asked.append(arguments)
        return SimpleNamespace(log=lambda values, step: logged.append(step), finish=lambda: logged.append(-1))

    config = SimpleNamespace(update=lambda values, allow_val_change: configured.update(values))
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, config=config))
    finished(make_job(tracking=tracking(tmp_path / "logs", "wandb")), tmp_path / "c")
    assert asked == [{"project": "study", "name": "cut/sft/s0", "dir": str(tmp_path / "logs")}]
    assert logged == [*range(1, 11), -1]
    assert configured["training.learning_rate"] == 3e-3


def test_tensorboard_reads_what_was_logged(make_job: MakeJob, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def stop(done: int, total: int, note: str) -> None:
        if done == 5:
            raise KeyboardInterrupt

    job = make_job(tracking=tracking(tmp_path / "logs", "tensorboard"), progress=stop)
    with pytest.raises(KeyboardInterrupt):
        train(job, Checkpoints(tmp_path / "c"))
    log, _ = finished(make_job(tracking=tracking(tmp_path / "logs", "tensorboard")), tmp_path / "c")
    folders = {file.parent for file in (tmp_path / "logs").rglob("events.out.tfevents.*")}
    assert folders == {tmp_path / "logs" / "cut/sft/s0"}, "one run a cell"
    read = EventAccumulator(str(tmp_path / "logs" / "cut/sft/s0"), size_guidance={"scalars": 0}).Reload()
    numbers = {"tokens", "loss", "cross_entropy", "cut_mass", "learning_rate", "gradient_norm", "validation_loss"}
    assert set(read.Tags()["scalars"]) == numbers
    for name in numbers:
        wanted = [(row["step"], row[name]) for row in log if row[name] is not None]
        events = [(event.step, event.value) for event in read.Scalars(name)]
        assert [step for step, _ in events] == [step for step, _ in wanted]
        assert [value for _, value in events] == pytest.approx([value for _, value in wanted], rel=1e-6)
    assert "_hparams_/session_start_info" in read.summary_metadata


def test_a_missing_package_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "_is_installed", lambda name: name == "wandb")
    check_trackers(["wandb"])
    with pytest.raises(MachineError, match=r"asks for tensorboard and mlflow, which are not installed: pip install"):
        check_trackers(["tensorboard", "wandb", "mlflow"])


def test_a_folder_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kdscope-nothing").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not trackers._is_installed("kdscope-nothing")
    assert trackers._is_installed("torch")

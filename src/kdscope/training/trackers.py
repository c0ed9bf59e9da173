"""Training curves sent to experiment trackers as they come, through accelerate's; what they do changes no result.

A tracker that fails is dropped with one warning, and training goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kdscope.core.errors import MachineError, first_line

Track = Callable[[Mapping[str, Any]], None]
"""Called with a row of the training log."""


@dataclass(frozen=True)
class Tracking:
    """Who is told of one training run.

    Attributes:
        trackers: tensorboard, wandb, trackio or mlflow.
        project: What runs are gathered under; the study.
        run: What the run is called; the cell.
        folder: Where trackers that write files put them.
        parameters: What the run was trained with, nested as it likes.
        warn: Told of a tracker that fails.
    """

    trackers: tuple[str, ...]
    project: str
    run: str
    folder: Path
    parameters: Mapping[str, Any]
    warn: Callable[[str], None]


def check_trackers(names: Iterable[str]) -> None:
    """See that every tracker's package is installed; they are named alike.

    Raises:
        MachineError: One is not.
    """
    missing = [name for name in names if not _is_installed(name)]
    if missing:
        raise MachineError(
            f"runtime.trackers asks for {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
            "installed: pip install 'kdscope[trackers]' brings all trackers, or leave it out of the study"
        )


@contextmanager
def tracked(tracking: Tracking | None) -> Iterator[Track]:
    """Open a run with every tracker for the block; it is to be told every row of the log, from step 1."""
    if tracking is None:
        yield lambda row: None
        return
    runs = _Runs(tracking)
    try:
        yield runs.log
    finally:
        runs.finish()


def flat(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, bool | int | float | str]:
    """Nested parameters as trackers take them: dots between the keys, lists as text, nothing for None.

    >>> flat({"training": {"epochs": 3, "max_steps": None}, "seeds": [0, 1]})
    {'training.epochs': 3, 'seeds': '[0, 1]'}
    """
    found: dict[str, bool | int | float | str] = {}
    for key, value in parameters.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        elif value is not None:
            found[f"{prefix}{key}"] = value if isinstance(value, (bool, int, float, str)) else str(value)
    return found


class _Runs:
    """The open run of each tracker that works."""

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking
        self._open: dict[str, Any] = {}
        for name in tracking.trackers:
            self._guarded(name, partial(self._start, name))

    def log(self, row: Mapping[str, Any]) -> None:
        """Tell every tracker the numbers of a row."""
        step = int(row["step"])
        values = {key: value for key, value in row.items() if key != "step" and value is not None}
        for name, tracker in list(self._open.items()):
            self._guarded(name, partial(tracker.log, values, step=step))

    def finish(self) -> None:
        """Close every run."""
        for name, tracker in list(self._open.items()):
            self._guarded(name, tracker.finish)

    def _start(self, name: str) -> None:
        try:
            self._open[name] = _started(name, self._tracking)
        except Exception:
            # Two processes may have made the same new project; the second attempt finds it.
            self._open[name] = _started(name, self._tracking)

    def _guarded(self, name: str, action: Callable[[], object]) -> None:
        try:
            # What trackers print must not stand between lines that programs read.
            with redirect_stdout(sys.stderr):
                action()
        except Exception as error:  # whatever a tracker stumbles over: a network, a disk, a login
            self._open.pop(name, None)
            what = f"{self._tracking.run}: tracking with {name} stops, training goes on"
            self._tracking.warn(f"{what}: {first_line(error)}")


def _started(name: str, tracking: Tracking) -> Any:
    from accelerate import PartialState
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    PartialState(cpu=True)  # accelerate's trackers log through it, and must not choose a device
    folder = tracking.folder
    folder.mkdir(parents=True, exist_ok=True)
    arguments: dict[str, dict[str, Any]] = {
        # An attempt that was interrupted has told its steps already; this one tells all of them again.
        "tensorboard": {"run_name": tracking.run, "logging_dir": str(folder), "purge_step": 1},
        "wandb": {"run_name": tracking.project, "name": tracking.run, "dir": str(folder)},
        "trackio": {"run_name": tracking.project, "name": tracking.run},
        "mlflow": {"experiment_name": tracking.project, "run_name": tracking.run},
    }
    tracker = LOGGER_TYPE_TO_CLASS[name](**arguments[name])
    if hasattr(tracker, "start"):
        tracker.start()
    parameters = flat(tracking.parameters)
    if name == "tensorboard":
        _write_parameters(tracker, parameters)
    else:
        tracker.store_init_configuration(parameters)
    return tracker


def _write_parameters(tracker: Any, parameters: Mapping[str, Any]) -> None:
    """TensorBoard's hyperparameters, in the run itself: its own way of adding them makes another run for them."""
    from torch.utils.tensorboard import summary as summaries

    for summary in summaries.hparams(dict(parameters), {}):  # type: ignore[no-untyped-call]
        tracker.writer.file_writer.add_summary(summary)


def _is_installed(package: str) -> bool:
    try:
        version(package)  # a folder of that name, such as ./wandb, would pass for a module
    except PackageNotFoundError:
        return False
    return True

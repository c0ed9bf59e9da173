"""Executors: who runs the stages of a plan. Each is one file and one entry of `EXECUTORS`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, Self, TypeAlias

from kdscope.pipeline.attempt import Execute, Outcome
from kdscope.pipeline.events import Events
from kdscope.pipeline.executors.processes import ProcessPool
from kdscope.pipeline.executors.serial import SerialExecutor
from kdscope.pipeline.stage import Stage
from kdscope.pipeline.store import Store


class Executor(Protocol):
    """Runs up to `size` stages side by side, inside a `with` block; 0 once all that could run them are gone."""

    size: int

    @property
    def has_room(self) -> bool:
        """Whether one more stage can be submitted."""

    def takes(self, stages: Sequence[Stage]) -> bool:
        """Whether it is worth starting for these; where it is not, the process of the run does them itself."""

    def arrange(self, stages: Sequence[Stage]) -> list[Stage]:
        """The order in which to submit stages that are ready, given all that will run in the order of the plan."""

    def submit(self, stage: Stage) -> None:
        """Have the stage run; only while there is room."""

    def wait(self, seconds: float | None) -> tuple[Stage, Outcome] | None:
        """A submitted stage and what became of it; None if that takes longer than so many seconds."""

    def __enter__(self) -> Self:
        """Ready to work."""

    def __exit__(self, *_: object) -> None:
        """However the block is left, nothing of it goes on running."""


OpenExecutor: TypeAlias = Callable[[Store, Execute, Events, int], Executor]


def _open_serial(store: Store, execute: Execute, events: Events, workers: int) -> Executor:
    return SerialExecutor(store, execute, events)


def _open_processes(store: Store, execute: Execute, events: Events, workers: int) -> Executor:
    # Without -P a file in the current folder could stand in for a module.
    command = (sys.executable, "-P", "-m", "kdscope.worker", str(store.root.absolute()))
    return ProcessPool(command, workers, events)


EXECUTORS: Mapping[str, OpenExecutor] = MappingProxyType({"serial": _open_serial, "processes": _open_processes})
"""By name: opens an executor for a store, the function that runs a stage, a listener, and a number of workers."""

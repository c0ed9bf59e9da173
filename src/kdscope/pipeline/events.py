"""Events of a run, as told to whoever is watching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kdscope.pipeline.stage import Stage


class Events:
    """A listener that ignores everything; subclasses override what they care for.

    Every call returns at once and must not raise.
    """

    def plan(self, stages: Sequence[Stage]) -> None:
        """These will run, each after its inputs; told again when failures have left less to do."""

    def working(self, processes: int) -> None:
        """So many processes work on the run from now on, each on a stage of its own; one if this is never told."""

    def started(self, stage: Stage) -> None:
        """The stage begins to run, here or in a process that works for this one."""

    def progress(self, stage: Stage, done: float, total: float | None, unit: str, note: str) -> None:
        """A running stage has done this much; `total` is None where it cannot know."""

    def finished(self, stage: Stage, seconds: float) -> None:
        """The stage's output is complete and in the store."""

    def reused(self, stage: Stage) -> None:
        """The stage was complete already, or a process of another run completed it."""

    def failed(self, stage: Stage, message: str) -> None:
        """The stage raised an error; the rest of the study goes on."""

    def blocked(self, stage: Stage, missing: Sequence[Stage]) -> None:
        """The stage cannot run because these inputs failed or are blocked themselves."""

    def waiting(self, stages: Sequence[Stage]) -> None:
        """Nothing is left to do in this run until another one is done with one of these."""

    def warning(self, message: str) -> None:
        """Something a person should know; the run goes on."""


@dataclass(frozen=True)
class Progress:
    """How a running stage reports how far it is, without knowing who listens."""

    stage: Stage
    events: Events

    def update(self, done: float, total: float | None = None, unit: str = "steps", note: str = "") -> None:
        """Tell the listener that `done` of `total` units are done."""
        self.events.progress(self.stage, done, total, unit, note)

    def warn(self, message: str) -> None:
        """Tell the listener something a person should know."""
        self.events.warning(message)

"""Who runs stages: this process alone, or others for it."""

from __future__ import annotations

from typing import Protocol

from kdscope.pipeline.attempt import Execute, Outcome, Resources, attempt
from kdscope.pipeline.events import Events
from kdscope.pipeline.stage import Stage
from kdscope.pipeline.store import Store


class Team(Protocol):
    """So many (`size`) that run stages side by side."""

    size: int

    @property
    def has_room(self) -> bool:
        """Whether one more stage can be given."""

    def give(self, stage: Stage) -> None:
        """Have the stage run; only while there is room."""

    def wait(self, seconds: float | None) -> tuple[Stage, Outcome] | None:
        """A stage that was given, and what became of it; None if that takes longer than so many seconds."""


class Alone:
    """This process as a team of one: what it is given is done at once."""

    def __init__(self, store: Store, execute: Execute, events: Events) -> None:
        self.size = 1
        self._store, self._execute, self._events, self._resources = store, execute, events, Resources()
        self._done: list[tuple[Stage, Outcome]] = []

    @property
    def has_room(self) -> bool:
        """Until something was given whose outcome was not asked for."""
        return not self._done

    def give(self, stage: Stage) -> None:
        """Run it here and now."""
        outcome = attempt(stage, self._store, self._execute, self._resources, self._events)
        self._done.append((stage, outcome))

    def wait(self, seconds: float | None) -> tuple[Stage, Outcome] | None:
        """What became of it."""
        return self._done.pop()

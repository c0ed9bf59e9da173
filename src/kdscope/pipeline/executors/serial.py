"""Stages run in this process, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from kdscope.pipeline.attempt import Execute, Outcome, Resources, attempt
from kdscope.pipeline.events import Events
from kdscope.pipeline.stage import Stage
from kdscope.pipeline.store import Store


class SerialExecutor:
    """Runs a stage when it is submitted, and returns once it is done."""

    def __init__(self, store: Store, execute: Execute, events: Events) -> None:
        self.size = 1
        self._store, self._execute, self._events, self._resources = store, execute, events, Resources()
        self._done: list[tuple[Stage, Outcome]] = []

    @property
    def has_room(self) -> bool:
        """Until something was submitted whose outcome was not asked for."""
        return not self._done

    def takes(self, stages: Sequence[Stage]) -> bool:
        """Always: there is nothing to start."""
        return True

    def arrange(self, stages: Sequence[Stage]) -> list[Stage]:
        """As planned: stages that use the same model stand together, and it is loaded once."""
        return list(stages)

    def submit(self, stage: Stage) -> None:
        """Run it here and now."""
        outcome = attempt(stage, self._store, self._execute, self._resources, self._events)
        self._done.append((stage, outcome))

    def wait(self, seconds: float | None) -> tuple[Stage, Outcome] | None:
        """What became of it."""
        return self._done.pop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.clear()

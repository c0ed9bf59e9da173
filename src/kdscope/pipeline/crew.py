"""A team of processes, each at one stage at a time."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Sequence
from typing import Any

from kdscope.core.errors import MachineError, StoreError
from kdscope.pipeline.attempt import Outcome
from kdscope.pipeline.events import Events
from kdscope.pipeline.helper import Helper, News
from kdscope.pipeline.stage import Stage


class Crew:
    """Helper processes, started when first needed and gone when the block is left, however it is left.

    One that dies is not replaced: `size` says how many are left.

    Args:
        command: Starts a helper.
        size: How many to use.
        events: Hears what happens to the stages they run, in the thread that waits for them.
    """

    def __init__(self, command: Sequence[str], size: int, events: Events) -> None:
        self.size = size
        self._command, self._events = tuple(command), events
        self._helpers: list[Helper] = []
        self._news: News = queue.SimpleQueue()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for helper in self._helpers:
            helper.kill()
        for helper in self._helpers:
            helper.end()

    @property
    def started(self) -> bool:
        """Whether any of them is there already."""
        return bool(self._helpers)

    @property
    def has_room(self) -> bool:
        """Whether one of them is idle or still to be started."""
        return sum(helper.stage is not None for helper in self._helpers) < self.size

    def give(self, stage: Stage) -> None:
        """Have one of them run it.

        Raises:
            MachineError: no process can be started.
        """
        idle = (helper for helper in self._helpers if helper.stage is None)
        (next(idle, None) or self._start()).give(stage)

    def wait(self, seconds: float | None) -> tuple[Stage, Outcome] | None:
        """The next stage that one of them is done with, and what became of it; None if so many seconds bring none.

        Raises:
            StoreError: one of them found the store unreadable or unwritable.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            try:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                helper, line = self._news.get(timeout=left)
            except queue.Empty:
                return None
            outcome = self._lose(helper) if line is None else self._hear(helper.stage, json.loads(line))
            if outcome is not None and helper.stage is not None:
                stage, helper.stage = helper.stage, None
                return stage, outcome

    def _start(self) -> Helper:
        try:
            helper = Helper(self._command, self._news)
        except OSError as error:
            raise MachineError(f"no further process can be started: {error}; set runtime.workers lower") from error
        self._helpers.append(helper)
        return helper

    def _lose(self, helper: Helper) -> Outcome:
        self._helpers.remove(helper)
        self.size -= 1
        reason = helper.end()
        if helper.stage is None:
            self._events.warning(f"an idle process died ({reason}); the others go on")
        return Outcome("lost", reason)

    def _hear(self, stage: Stage | None, news: dict[str, Any]) -> Outcome | None:
        match news.pop("event"), stage:
            case "outcome", _:
                return Outcome(**news)
            case "error", _:
                raise StoreError(news["message"])
            case "warning", _:
                self._events.warning(news["message"])
            case "started", Stage():
                self._events.started(stage)
            case "progress", Stage():
                self._events.progress(stage, news["done"], news["total"], news["unit"], news["note"])
        return None

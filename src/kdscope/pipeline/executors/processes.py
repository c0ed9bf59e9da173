"""Stages run in worker processes, each at one stage at a time: lines go in, lines come out, and a process may die.

Not `concurrent.futures`: there the death of one worker breaks the pool and fails every stage that is under way
(docs/decisions/0011-worker-processes.md).
"""

from __future__ import annotations

import json
import queue
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from queue import SimpleQueue
from typing import Any, TextIO, TypeAlias, cast

from kdscope.core.errors import MachineError, StoreError
from kdscope.core.processes import ending, last_line, start_child
from kdscope.pipeline.attempt import Outcome
from kdscope.pipeline.events import Events
from kdscope.pipeline.stage import Stage, stage_to_line

Messages: TypeAlias = "SimpleQueue[tuple[WorkerProcess, str | None]]"


class ProcessPool:
    """Worker processes, started when first needed and gone when the block is left, however it is left.

    One that dies is not replaced: `size` says how many are left.

    Args:
        command: Starts a process that calls `worker_main`.
        size: How many to use.
        events: Hears what happens to the stages they run, in the thread that waits for them.
    """

    def __init__(self, command: Sequence[str], size: int, events: Events) -> None:
        self.size = size
        self._command, self._events = tuple(command), events
        self._workers: list[WorkerProcess] = []
        self._messages: Messages = queue.SimpleQueue()

    def __enter__(self) -> ProcessPool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.end()

    @property
    def started(self) -> bool:
        """Whether any of them is there already."""
        return bool(self._workers)

    @property
    def has_room(self) -> bool:
        """Whether one of them is idle or still to be started."""
        return sum(worker.stage is not None for worker in self._workers) < self.size

    def takes(self, stages: Sequence[Stage]) -> bool:
        """Whether processes run already, or two of these stages can run at once."""
        return self.started or _side_by_side(stages)

    def arrange(self, stages: Sequence[Stage]) -> list[Stage]:
        """Stages with more steps behind them first, else as planned: what begins last is short."""
        steps: dict[str, int] = {}
        for stage in reversed(stages):
            for parent in stage.inputs.values():
                steps[parent.identity] = max(steps.get(parent.identity, 0), steps.get(stage.identity, 0) + 1)
        return sorted(stages, key=lambda stage: -steps.get(stage.identity, 0))

    def submit(self, stage: Stage) -> None:
        """Have one of them run it.

        Raises:
            MachineError: no process can be started.
        """
        idle = (worker for worker in self._workers if worker.stage is None)
        (next(idle, None) or self._start()).send(stage)

    def wait(self, seconds: float | None) -> tuple[Stage, Outcome] | None:
        """The next stage that one of them is done with, and what became of it; None if so many seconds bring none.

        Raises:
            StoreError: one of them found the store unreadable or unwritable.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            try:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                worker, line = self._messages.get(timeout=left)
            except queue.Empty:
                return None
            outcome = self._lose(worker) if line is None else self._hear(worker.stage, json.loads(line))
            if outcome is not None and worker.stage is not None:
                stage, worker.stage = worker.stage, None
                return stage, outcome

    def _start(self) -> WorkerProcess:
        try:
            worker = WorkerProcess(self._command, self._messages)
        except OSError as error:
            raise MachineError(f"no further process can be started: {error}; set runtime.workers lower") from error
        self._workers.append(worker)
        return worker

    def _lose(self, worker: WorkerProcess) -> Outcome:
        self._workers.remove(worker)
        self.size -= 1
        reason = worker.end()
        if worker.stage is None:
            self._events.warning(f"an idle process died ({reason}); the others go on")
        return Outcome("lost", reason)

    def _hear(self, stage: Stage | None, message: dict[str, Any]) -> Outcome | None:
        match message.pop("event"), stage:
            case "outcome", _:
                return Outcome(**message)
            case "error", _:
                raise StoreError(message["message"])
            case "warning", _:
                self._events.warning(message["message"])
            case "started", Stage():
                self._events.started(stage)
            case "progress", Stage():
                self._events.progress(stage, message["done"], message["total"], message["unit"], message["note"])
        return None


def _side_by_side(stages: Sequence[Stage]) -> bool:
    """Whether two of them could run at once; if not, each needs the one before it."""
    return any(first not in second.inputs.values() for first, second in pairwise(stages))


class WorkerProcess:
    """A process that was just started; `stage` is what it is at, if anything.

    Its lines come into a queue as they are said, None after the last. What libraries print in it is kept out of
    sight and looked at only when it dies.

    Args:
        command: Starts a process that calls `executors.worker_main`. It finds modules where this one does.
        messages: Where its lines go.

    Raises:
        OSError: The process cannot be started.
    """

    def __init__(self, command: Sequence[str], messages: Messages) -> None:
        self.stage: Stage | None = None
        self._process, self._errors = start_child(command)
        self._asked = cast(TextIO, self._process.stdin)
        self._listener = threading.Thread(target=self._listen, args=(messages,), daemon=True)
        self._listener.start()

    def send(self, stage: Stage) -> None:
        """Have it run the stage."""
        self.stage = stage
        with suppress(OSError):  # it has just died, of which there will be news
            self._asked.write(stage_to_line(stage) + "\n")
            self._asked.flush()

    def kill(self) -> None:
        """Stop it in whatever it does: what a stage has not completed, the store does not show."""
        self._process.kill()

    def end(self) -> str:
        """Let go of a process that is ending; says how it ended and what it said last."""
        status = self._process.wait()
        self._listener.join(1.0)
        with suppress(OSError):  # a line that was never sent goes nowhere now
            self._asked.close()
        with self._errors as errors:
            said = last_line(errors)
        hint = "; perhaps it ran out of memory" if status == -signal.SIGKILL else ""
        return f"{ending(status)}{hint}" + (f": {said}" if said else "")

    def _listen(self, messages: Messages) -> None:
        with cast(TextIO, self._process.stdout) as lines:
            for line in lines:
                if line.endswith("\n"):  # a line without an end is what a killed process had begun
                    messages.put((self, line))
        messages.put((self, None))

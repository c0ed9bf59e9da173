"""The main loop of a worker process, which runs the stages it is given and tells what becomes of them.

Stages come in as lines on standard input, messages go out as lines on standard output; whatever else would print there
goes to standard error. The end of the input means that the process which gave the stages is gone or done: this one
then ends at once, in the middle of a stage if need be. The store takes that as it takes a kill.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import asdict
from queue import SimpleQueue
from typing import NoReturn, TextIO

from kdscope.core.errors import StoreError
from kdscope.core.processes import take_streams
from kdscope.pipeline.attempt import Execute, Resources, attempt
from kdscope.pipeline.events import Events
from kdscope.pipeline.stage import Stage, stage_from_line
from kdscope.pipeline.store import Store


def worker_main(store: Store, execute: Execute) -> NoReturn:
    """Run every stage that is asked for, one after another, until the input ends."""
    # Ctrl-C reaches every process of the terminal; the one that is in charge decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    given, said = take_streams()
    messenger, resources = _Messenger(said), Resources()
    stages: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_read, args=(given, stages), daemon=True).start()
    while True:
        stage = stage_from_line(stages.get())
        try:
            outcome = attempt(stage, store, execute, resources, messenger)
        except StoreError as error:
            messenger.tell("error", message=str(error))
        else:
            messenger.tell("outcome", **asdict(outcome))


class _Messenger(Events):
    """Tells what happens to the stage at work; which one that is, the other side knows."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def started(self, stage: Stage) -> None:
        self.tell("started")

    def progress(self, stage: Stage, done: float, total: float | None, unit: str, note: str) -> None:
        self.tell("progress", done=done, total=total, unit=unit, note=note)

    def warning(self, message: str) -> None:
        self.tell("warning", message=message)

    def tell(self, event: str, **facts: object) -> None:
        try:
            self._stream.write(json.dumps({"event": event, **facts}, default=float) + "\n")
            self._stream.flush()
        except OSError:
            os._exit(1)  # nobody listens any more; that must not pass for a failure of the stage


def _read(given: TextIO, stages: SimpleQueue[str]) -> None:
    for line in given:
        stages.put(line)
    os._exit(0)

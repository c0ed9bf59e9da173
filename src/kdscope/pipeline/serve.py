"""The side of a helper: a process that runs the stages it is given and tells what becomes of them.

Stages come in as lines on standard input, news go out as lines on standard output; whatever else would print there
goes to standard error. The end of the input means that the process which gave the stages is gone or done: this one
then ends at once, in the middle of a stage if need be. The store takes that as it takes a kill.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from queue import SimpleQueue
from typing import NoReturn, TextIO

from kdscope.core.errors import StoreError
from kdscope.pipeline.attempt import Execute, Resources, attempt
from kdscope.pipeline.events import NullEvents
from kdscope.pipeline.stage import Stage
from kdscope.pipeline.store import Store
from kdscope.pipeline.wire import stage_from_line


def serve(store: Store, execute: Execute) -> NoReturn:
    """Run every stage that is asked for, one after another, until the input ends."""
    # Ctrl-C reaches every process of the terminal; the one that is in charge decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked, told = _take_streams()
    teller, resources = _Teller(told), Resources()
    stages: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_read, args=(asked, stages), daemon=True).start()
    while True:
        stage = stage_from_line(stages.get())
        try:
            outcome = attempt(stage, store, execute, resources, teller)
        except StoreError as error:
            teller.tell("error", message=str(error))
        else:
            teller.tell("outcome", **asdict(outcome))


class _Teller(NullEvents):
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


def _take_streams() -> tuple[TextIO, TextIO]:
    """Standard input and output, out of reach of any code that reads or prints."""
    asked = os.fdopen(os.dup(sys.stdin.fileno()), encoding="utf-8")
    told = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return asked, told


def _read(asked: TextIO, stages: SimpleQueue[str]) -> None:
    for line in asked:
        stages.put(line)
    os._exit(0)

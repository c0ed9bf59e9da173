"""A process that runs stages for this one, as seen from here: lines go in, lines come out, and it may die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import IO, TextIO, TypeAlias, cast

from kdscope.pipeline.stage import Stage
from kdscope.pipeline.wire import stage_to_line

News: TypeAlias = "SimpleQueue[tuple[Helper, str | None]]"

_TAIL_BYTES = 2000


class Helper:
    """A process that was just started; `stage` is what it is at, if anything.

    Its lines come into a queue as they are said, None after the last. What libraries print in it is kept out of
    sight and looked at only when it dies.

    Args:
        command: Starts a process that calls `kdscope.pipeline.serve.serve`. It finds modules where this one does.
        news: Where its lines go.

    Raises:
        OSError: The process cannot be started.
    """

    def __init__(self, command: Sequence[str], news: News) -> None:
        self.stage: Stage | None = None
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(place for place in sys.path if place)}
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `end`)
        try:
            self._process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=environment,
                encoding="utf-8",
            )
        except BaseException:
            self._errors.close()
            raise
        self._asked = cast(TextIO, self._process.stdin)
        self._listener = threading.Thread(target=self._listen, args=(news,), daemon=True)
        self._listener.start()

    def give(self, stage: Stage) -> None:
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
            size = errors.seek(0, os.SEEK_END)
            errors.seek(max(0, size - _TAIL_BYTES))
            lines = errors.read().decode(errors="replace").strip().splitlines()
        how = f"killed by signal {-status}, {signal.strsignal(-status)}" if status < 0 else f"exit code {status}"
        hint = "; perhaps it ran out of memory" if status == -signal.SIGKILL else ""
        return f"{how}{hint}" + (f": {lines[-1]}" if lines else "")

    def _listen(self, news: News) -> None:
        with cast(TextIO, self._process.stdout) as lines:
            for line in lines:
                if line.endswith("\n"):  # a line without an end is what a killed process had begun
                    news.put((self, line))
        news.put((self, None))

"""The renderer of charts, native code, in a process of its own: what kills it ends a report and nothing else."""

from __future__ import annotations

import base64
import json
import math
import re
import sys
from contextlib import suppress
from threading import Timer
from typing import IO, Any, cast

from kdscope.core.characters import plain
from kdscope.core.errors import DataError, MachineError
from kdscope.core.processes import ending, last_line, start_child

LONGEST_SECONDS = 120.0
"""For one panel, which usually takes less than a tenth of one."""
_COMMAND = (sys.executable, "-P", "-m", "kdscope.figures.drawing_process")
_TWO_UNITS = re.compile("[\U00010000-\U0010ffff]")
"""Characters that are two units of UTF-16, emoji among them."""
_NEEDS = "it needs 0.2 GB of memory and 70 GB of addresses (`ulimit -v`). What was computed is kept"


class Renderer:
    """A process that draws one panel after another, from the first one in a block to the block's end.

    Args:
        seconds: For one panel; a process that takes longer is killed.
    """

    def __init__(self, seconds: float = LONGEST_SECONDS) -> None:
        self._seconds = seconds
        self._process: _Process | None = None

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process, in the middle of a panel if need be."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def svg(self, chart: dict[str, Any], version: str) -> str:
        """A Vega-Lite chart, written for this version of Vega-Lite, as SVG.

        Raises:
            DataError: It cannot be drawn.
            MachineError: The process has died, or takes too long.
        """
        try:
            written = json.dumps(_writable(chart), ensure_ascii=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise DataError(f"no chart that can be written: {error}") from error
        try:
            return self._ask("svg", written, version)
        except DataError:
            # Where it shortens a text, it may cut such a character into halves, which it cannot measure.
            replaced = _TWO_UNITS.sub("\ufffd", written)
            if replaced == written:
                raise
        return self._ask("svg", replaced, version)

    def pdf(self, svg: str) -> bytes:
        """An SVG as PDF.

        Raises:
            DataError: It is not valid.
            MachineError: The process has died, or takes too long.
        """
        return base64.b64decode(self._ask("pdf", svg))

    def _ask(self, *request: str) -> str:
        try:
            self._process = self._process or _Process()
            line = self._process.ask(json.dumps(request), self._seconds)
        except (OSError, RuntimeError) as error:  # no process or no thread can be started
            raise MachineError(f"figures cannot be drawn: {error}") from error
        if not line.endswith("\n"):
            raise MachineError(f"figures cannot be drawn: {self._process.death()}")
        answer = json.loads(line)
        if "problem" in answer:
            raise DataError(" ".join(answer["problem"].partition("Stack backtrace")[0].split())[:300])
        return str(answer["drawn"])


class _Process:
    """The process itself: a line goes in, a line comes out, or it has died.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(self) -> None:
        self._late = ""
        self._process, self._errors = start_child(_COMMAND)

    def ask(self, line: str, seconds: float) -> str:
        """What it answers; no whole line where it dies, or takes longer."""
        timer = Timer(seconds, self._kill_late, [f"one took more than {seconds:g} seconds"])
        timer.daemon = True
        timer.start()
        try:
            with suppress(OSError):  # it has died, which shows when it is read from
                asked = cast(IO[str], self._process.stdin)
                asked.write(line + "\n")
                asked.flush()
            return cast(IO[str], self._process.stdout).readline()
        finally:
            timer.cancel()

    def _kill_late(self, why: str) -> None:
        self._late = why
        self._process.kill()

    def death(self) -> str:
        """Why it has died."""
        status = self._process.wait()
        if self._late:
            return self._late
        if status < 0:
            return f"the process that draws them was {ending(status)}; {_NEEDS}"
        said = last_line(self._errors)
        return f"the process that draws them ended with {ending(status)}{f': {said}' if said else ''}"

    def end(self) -> None:
        """Kill it and let go of it; nothing of it stays behind."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(OSError):  # a line that was never sent goes nowhere now
                cast(IO[Any], stream).close()


def _writable(value: Any) -> Any:
    """A chart as JSON can have it and the renderer can bear it: no hidden characters, null for what is not finite."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_writable(key): _writable(part) for key, part in value.items()}
    return [_writable(part) for part in value] if isinstance(value, (list, tuple, set, frozenset)) else value

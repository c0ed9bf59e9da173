"""What processes that work for another one have in common: the streams they talk by, and how they ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import IO, TextIO

_TAIL_BYTES = 2000


def child_environment() -> dict[str, str]:
    """The environment of a Python process that is to find modules where this one does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(place for place in sys.path if place)}


def start_child(command: Sequence[str]) -> tuple[subprocess.Popen[str], IO[bytes]]:
    """A Python process that is talked to by its standard streams, and the open file that its errors go to.

    Raises:
        OSError: It cannot be started; nothing is left open.
    """
    errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by the caller)
    try:
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=child_environment(),
            encoding="utf-8",
        )
    except BaseException:
        errors.close()
        raise
    return process, errors


def take_streams() -> tuple[TextIO, TextIO]:
    """Standard input and output of this process, from now on out of reach of any code that reads or prints."""
    given = os.fdopen(os.dup(sys.stdin.fileno()), encoding="utf-8")
    said = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return given, said


def ending(status: int) -> str:
    """How a process ended, from its return code.

    >>> ending(-9), ending(3)
    ('killed by signal 9, Killed', 'exit code 3')
    """
    return f"killed by signal {-status}, {signal.strsignal(-status)}" if status < 0 else f"exit code {status}"


def last_line(said: IO[bytes]) -> str:
    """The last line of a file that a process wrote to; empty where it wrote nothing."""
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - _TAIL_BYTES))
    lines = said.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""

"""The command line in forked processes: a call costs no imports, and can be killed, starved and timed."""

from __future__ import annotations

import os
import pkgutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

LONGEST_SECONDS = 20.0
"""A command on a small input that takes longer hangs."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit code (negative: by this signal), what it printed, and whether it had to be ended."""

    code: int
    out: str
    err: str
    seconds: float
    late: bool = False

    @property
    def text(self) -> str:
        """Both streams."""
        return self.out + self.err


@dataclass
class Call:
    """A command that runs, with a process group of its own."""

    pid: int
    streams: tuple[Path, Path]
    began: float = field(default_factory=time.monotonic)
    status: int | None = None

    def running(self) -> bool:
        """Whether it has not ended yet."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if pid else None
        return self.status is None

    def kill(self) -> None:
        """SIGKILL to it and to all its processes."""
        if self.running():
            with suppress(ProcessLookupError):  # before it has a group of its own
                os.killpg(self.pid, signal.SIGKILL)
            os.kill(self.pid, signal.SIGKILL)
            self.status = os.waitpid(self.pid, 0)[1]

    def wait(self, seconds: float) -> Outcome:
        """Its end, brought about after this many seconds if it does not come."""
        while self.running() and time.monotonic() - self.began < seconds:
            time.sleep(0.004)
        late = self.running()
        self.kill()
        texts = [path.read_bytes().decode("utf-8", "surrogateescape") for path in self.streams]
        for path in self.streams:
            path.unlink()
        assert self.status is not None
        return Outcome(os.waitstatus_to_exitcode(self.status), *texts, time.monotonic() - self.began, late)


def preload() -> None:
    """Import all of kdscope and what it needs late, so that forked processes find it there."""
    import kdscope

    for module in pkgutil.walk_packages(kdscope.__path__, "kdscope."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    for name in ("torch", "transformers", "peft", "pandas", "pyarrow.parquet", "scipy.stats", "statsmodels.api"):
        import_module(name)


def start(arguments: list[str], folder: Path, prepare: Callable[[], None] | None = None) -> Call:
    """Start `kdscope ARGUMENTS` in a folder; `prepare` is called in the new process first, to set its limits."""
    files = (_new_file(), _new_file())
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        return Call(pid, files)
    code = 70
    try:
        os.setsid()
        for descriptor, file in zip((1, 2), files, strict=True):
            os.dup2(os.open(file, os.O_WRONLY | os.O_TRUNC), descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(folder)
        if prepare:
            prepare()
        code = _run(arguments)
    finally:
        os._exit(code)


def _new_file() -> Path:
    descriptor, name = tempfile.mkstemp(prefix="attack-")
    os.close(descriptor)  # thousands of commands would leave none, and forked ones begin with what is open
    return Path(name)


def _run(arguments: list[str]) -> int:
    from kdscope.cli import main

    sys.argv = ["kdscope", *arguments]
    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else int(code is not None)


def call(
    arguments: list[str], folder: Path, prepare: Callable[[], None] | None = None, seconds: float = LONGEST_SECONDS
) -> Outcome:
    """Run `kdscope ARGUMENTS` in a folder to its end."""
    return start(arguments, folder, prepare).wait(seconds)


def complaint(outcome: Outcome, seconds: float = LONGEST_SECONDS) -> str:
    """What no command may ever do: hang, die by a signal, show a traceback, let control characters through."""
    if outcome.late:
        return f"did not end within {seconds:g} s"
    if outcome.code < 0:
        return f"died by signal {-outcome.code}"
    if "Traceback (most recent call last)" in outcome.text or "Fatal Python error" in outcome.text:
        return "traceback: " + outcome.text.strip().splitlines()[-1]
    if found := [ord(c) for c in outcome.text if (ord(c) < 32 and c not in "\n\t\r") or 127 <= ord(c) < 160]:
        return f"control character {found[0]:#04x} in the output"
    if outcome.code not in (0, 1, 2):
        return f"exit code {outcome.code}"
    if outcome.code == 2 and not outcome.text.strip():
        return "exit code 2 without a word"
    return ""

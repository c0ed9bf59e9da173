"""What a person (or a program) sees while a study runs: progress with a time left, plain lines, or JSON lines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from kdscope.pipeline.stage import Stage


def show_seconds(seconds: float | None) -> str:
    """A duration as people say it.

    >>> show_seconds(59.6), show_seconds(75), show_seconds(3700), show_seconds(None)
    ('1 min 00 s', '1 min 15 s', '1 h 02 min', 'unknown')
    """
    if seconds is None:
        return "unknown"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


class Clock:
    """Time left of a whole run: the estimates of what is still to do, corrected by how the estimates have fared."""

    def __init__(self) -> None:
        self._estimates: dict[str, float] = {}
        self._left: dict[str, float] = {}
        self._expected = self._taken = 0.0

    def plan(self, stages: Sequence[Stage]) -> None:
        """These stages are still to run."""
        for stage in stages:
            # A later announcement may bring stages without an estimate: they keep the one first heard.
            known = self._estimates.get(stage.identity, 1.0)
            self._estimates[stage.identity] = known if stage.cost.seconds is None else stage.cost.seconds
        self._left = {stage.identity: self._estimates[stage.identity] for stage in stages}

    def expects(self, stage: Stage) -> bool:
        """Whether the stage is among those still to run."""
        return stage.identity in self._left

    def done(self, stage: Stage, seconds: float | None) -> None:
        """A stage is settled; `seconds` is what it took, None where that says nothing (another process did it)."""
        estimate = self._left.pop(stage.identity, 0.0)
        if seconds is not None:
            self._expected += estimate
            self._taken += seconds

    def remaining(self, stage: Stage | None = None, fraction: float = 0.0, own: float | None = None) -> float:
        """Seconds left of the run, while `stage` has done this fraction of its work.

        `own` is what the running stage has left by its own pace; None where that is not known yet.
        """
        left = dict(self._left)
        running = left.pop(stage.identity, 0.0) if stage is not None else 0.0
        if own is None:
            own = running * max(0.0, 1 - fraction) * self._correction()
        return own + sum(left.values()) * self._correction()

    def _correction(self) -> float:
        # Ten seconds of prior belief in the estimates keep the first tiny stages from swinging the forecast.
        return (self._taken + 10.0) / (self._expected + 10.0)


class Pace:
    """How fast the running stage moves.

    A resumed stage starts with what it finds done: its first report and the burst after it say nothing about speed.
    """

    def __init__(self) -> None:
        self._first: float | None = None
        self._mark = self._latest = (0.0, 0.0)

    def note(self, now: float, fraction: float) -> None:
        """At this second the stage has done this fraction."""
        self._first = now if self._first is None else self._first
        self._latest = (now, fraction)
        if now - self._first < 1.0:
            self._mark = self._latest

    def seconds_left(self) -> float | None:
        """What is left at this pace; None before it has made some way."""
        (start, before), (now, fraction) = self._mark, self._latest
        if fraction - before < 0.05:
            return None
        return (now - start) * max(0.0, 1 - fraction) / (fraction - before)


class PlainEvents:
    """One line per stage; for logs, pipes and --quiet terminals."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self.stream, self.quiet = stream or sys.stderr, quiet
        self.clock, self.total, self.count = Clock(), 0, 0

    def plan(self, stages: Sequence[Stage]) -> None:
        """Note how much there is to do."""
        self.clock.plan(stages)
        self.total = self.count + len(stages)

    def started(self, stage: Stage) -> None:
        """Say what begins."""
        self.count += 1
        left = show_seconds(self.clock.remaining())
        self._say(f"[{self.count}/{max(self.total, self.count)}] {stage.label} (about {left} left)")

    def progress(self, stage: Stage, done: float, total: float | None, unit: str, note: str) -> None:
        """Too much for a log."""

    def finished(self, stage: Stage, seconds: float) -> None:
        """Say how long it took."""
        self.clock.done(stage, seconds)
        self._say(f"      done in {show_seconds(seconds)}")

    def reused(self, stage: Stage) -> None:
        """Nothing to say: it was there, or another process has made it."""
        self.count += self.clock.expects(stage)
        self.clock.done(stage, None)

    def failed(self, stage: Stage, message: str) -> None:
        """Failures are told even when quiet."""
        self.clock.done(stage, None)
        print(f"FAILED {stage.label}: {message}", file=self.stream, flush=True)

    def blocked(self, stage: Stage, missing: Sequence[Stage]) -> None:
        """Say what a failure takes with it."""
        self._say(f"skipped {stage.label}: needs {', '.join(s.label for s in missing)}")

    def waiting(self, stages: Sequence[Stage]) -> None:
        """Say why nothing moves."""
        self._say(f"waiting for another process: {stages[0].label}")

    def warning(self, message: str) -> None:
        """Warnings are told even when quiet."""
        print(f"warning: {message}", file=self.stream, flush=True)

    def _say(self, text: str) -> None:
        if not self.quiet:
            print(text, file=self.stream, flush=True)


class JsonEvents:
    """One JSON object a line on standard output, for programs."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout

    def plan(self, stages: Sequence[Stage]) -> None:
        """What will run."""
        self._write("plan", stages=[stage.label for stage in stages])

    def started(self, stage: Stage) -> None:
        """A stage begins."""
        self._write("started", stage)

    def progress(self, stage: Stage, done: float, total: float | None, unit: str, note: str) -> None:
        """A stage moves."""
        self._write("progress", stage, done=done, total=total, unit=unit, note=note)

    def finished(self, stage: Stage, seconds: float) -> None:
        """A stage is done."""
        self._write("finished", stage, seconds=round(seconds, 3))

    def reused(self, stage: Stage) -> None:
        """A stage was there."""
        self._write("reused", stage)

    def failed(self, stage: Stage, message: str) -> None:
        """A stage failed."""
        self._write("failed", stage, message=message)

    def blocked(self, stage: Stage, missing: Sequence[Stage]) -> None:
        """A stage cannot run."""
        self._write("blocked", stage, missing=[s.label for s in missing])

    def waiting(self, stages: Sequence[Stage]) -> None:
        """Another process is at work."""
        self._write("waiting", stages=[stage.label for stage in stages])

    def warning(self, message: str) -> None:
        """Something to know."""
        self._write("warning", message=message)

    def _write(self, event: str, stage: Stage | None = None, **facts: Any) -> None:
        named = {} if stage is None else {"kind": stage.kind, "label": stage.label, "identity": stage.identity}
        print(json.dumps({"event": event, **named, **facts}), file=self.stream, flush=True)


class RichEvents(PlainEvents):
    """Two bars on a terminal: the whole run and the running stage, with the time left of the run."""

    def __init__(self, console: Console) -> None:
        super().__init__(sys.stderr)
        self.console, self.pace = console, Pace()
        # Labels and messages are text, never markup: a name may hold brackets or colons.
        name = TextColumn("{task.description}", markup=False)
        note = TextColumn("{task.fields[note]}", markup=False, style="dim")
        columns = (name, BarColumn(24), TaskProgressColumn(), TimeElapsedColumn(), note)
        self.bars = Progress(*columns, console=console, transient=True)
        self.run: TaskID | None = None
        self.step: TaskID | None = None

    def __enter__(self) -> RichEvents:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def plan(self, stages: Sequence[Stage]) -> None:
        """Set the bar of the run."""
        super().plan(stages)
        if self.run is None:
            self.run = self.bars.add_task("study", total=self.total, note="")
        self.bars.update(self.run, total=self.total)

    def started(self, stage: Stage) -> None:
        """Show the bar of the stage."""
        self.count += 1
        self.pace = Pace()
        self._drop_step()
        self.step = self.bars.add_task(stage.label, total=None, note="")
        self._note_left(stage, 0.0)

    def progress(self, stage: Stage, done: float, total: float | None, unit: str, note: str) -> None:
        """Move it."""
        if self.step is not None:
            text = f"{done:g}/{total:g} {unit}  {note}" if total else f"{done:g} {unit}  {note}"
            self.bars.update(self.step, completed=done, total=total, note=text)
            fraction = done / total if total else 0.0
            self.pace.note(time.monotonic(), fraction)
            self._note_left(stage, fraction)

    def finished(self, stage: Stage, seconds: float) -> None:
        """Leave one line behind."""
        self.clock.done(stage, seconds)
        self._drop_step()
        self.console.print(Text.assemble(("done", "green"), f" {stage.label} ", (show_seconds(seconds), "dim")))
        self._settled()

    def failed(self, stage: Stage, message: str) -> None:
        """Leave the reason behind."""
        self.clock.done(stage, None)
        self._drop_step()
        self.console.print(Text.assemble(("failed", "red"), f" {stage.label}: {message}"))
        self._settled()

    def warning(self, message: str) -> None:
        """Leave the warning behind."""
        self.console.print(Text.assemble(("warning", "yellow"), f" {message}"))

    def _say(self, text: str) -> None:
        self.console.print(Text(text, style="dim"))

    def _drop_step(self) -> None:
        if self.step is not None:
            self.bars.remove_task(self.step)
            self.step = None

    def _settled(self) -> None:
        if self.run is not None:
            self.bars.update(self.run, completed=self.count)
        self._note_left(None, 0.0)

    def _note_left(self, stage: Stage | None, fraction: float) -> None:
        if self.run is not None:
            left = self.clock.remaining(stage, fraction, None if stage is None else self.pace.seconds_left())
            self.bars.update(self.run, note=f"stage {self.count}/{self.total}, about {show_seconds(left)} left")

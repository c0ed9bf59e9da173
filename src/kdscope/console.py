"""What a person (or a program) sees while a study runs: progress with a time left, plain lines, or JSON lines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

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
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


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

    def done(self, stage: Stage, seconds: float | None) -> None:
        """A stage is settled; `seconds` is what it took, None where that says nothing (another process did it)."""
        estimate = self._left.pop(stage.identity, 0.0)
        if seconds is not None:
            self._expected += estimate
            self._taken += seconds

    def remaining(self, stage: Stage | None = None, fraction: float = 0.0, elapsed: float = 0.0) -> float:
        """Seconds left; the running stage's own pace counts once it has made some way."""
        left = dict(self._left)
        running = left.pop(stage.identity, 0.0) if stage is not None else 0.0
        own = elapsed * (1 - fraction) / fraction if fraction > 0.05 else running * self._correction()
        return own + sum(left.values()) * self._correction()

    def _correction(self) -> float:
        # Ten seconds of prior belief in the estimates keep the first tiny stages from swinging the forecast.
        return (self._taken + 10.0) / (self._expected + 10.0)


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
        """Nothing to say: it was there."""
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
        self.console, self.began = console, 0.0
        columns = (TextColumn("{task.description}"), BarColumn(24), TaskProgressColumn(), TimeElapsedColumn())
        self.bars = Progress(*columns, TextColumn("[dim]{task.fields[note]}"), console=console, transient=True)
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
        self.began = time.monotonic()
        self._drop_step()
        self.step = self.bars.add_task(escape(stage.label), total=None, note="")
        self._note_left(stage, 0.0)

    def progress(self, stage: Stage, done: float, total: float | None, unit: str, note: str) -> None:
        """Move it."""
        if self.step is not None:
            text = f"{done:g}/{total:g} {unit}  {note}" if total else f"{done:g} {unit}  {note}"
            self.bars.update(self.step, completed=done, total=total, note=escape(text))
            self._note_left(stage, done / total if total else 0.0)

    def finished(self, stage: Stage, seconds: float) -> None:
        """Leave one line behind."""
        self.clock.done(stage, seconds)
        self._drop_step()
        self.console.print(f"[green]done[/] {escape(stage.label)} [dim]{show_seconds(seconds)}[/]")
        if self.run is not None:
            self.bars.update(self.run, completed=self.count)
        self._note_left(None, 0.0)

    def failed(self, stage: Stage, message: str) -> None:
        """Leave the reason behind."""
        self.clock.done(stage, None)
        self._drop_step()
        self.console.print(f"[red]failed[/] {escape(stage.label)}: {escape(message)}")

    def warning(self, message: str) -> None:
        """Leave the warning behind."""
        self.console.print(f"[yellow]warning[/] {escape(message)}")

    def _say(self, text: str) -> None:
        self.console.print(escape(text), style="dim")

    def _drop_step(self) -> None:
        if self.step is not None:
            self.bars.remove_task(self.step)
            self.step = None

    def _note_left(self, stage: Stage | None, fraction: float) -> None:
        if self.run is not None:
            left = self.clock.remaining(stage, fraction, time.monotonic() - self.began)
            self.bars.update(self.run, note=f"stage {self.count}/{self.total}, about {show_seconds(left)} left")

"""Progress of a study on a terminal or in a log: bars with a time left, plain lines, or JSON lines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.text import Text

from kdscope.core.characters import plain
from kdscope.core.terminal import clean_streams, raw
from kdscope.pipeline.events import Events
from kdscope.pipeline.stage import Stage
from kdscope.results.formatting import duration


class Clock:
    """Time left of a whole run: the estimates of what is still to do, corrected by how the estimates have fared.

    `processes` share it.
    """

    def __init__(self) -> None:
        self.processes = 1
        self._estimates: dict[str, float] = {}
        self._left: dict[str, float] = {}
        self._paces: dict[str, Pace] = {}  # of the running stages
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

    def started(self, stage: Stage) -> None:
        """The stage runs from now on."""
        self._paces[stage.identity] = Pace()

    def progress(self, stage: Stage, fraction: float, now: float) -> None:
        """At this second the running stage has done this fraction of its work."""
        if stage.identity in self._paces:
            self._paces[stage.identity].note(now, fraction)

    def done(self, stage: Stage, seconds: float | None) -> None:
        """A stage is settled; `seconds` is what it took, None where that says nothing (another run did it)."""
        self._paces.pop(stage.identity, None)
        estimate = self._left.pop(stage.identity, 0.0)
        if seconds is not None:
            self._expected += estimate
            self._taken += seconds

    def stage_left(self, stage: Stage) -> float | None:
        """Seconds left of a running stage by its own pace; None before it has made some way."""
        pace = self._paces.get(stage.identity)
        return None if pace is None else pace.seconds_left()

    def remaining(self) -> float:
        """Seconds left of the run: what is left to do over those who do it, and no less than any one stage needs."""
        running = [self._rest(identity, pace) for identity, pace in self._paces.items()]
        waiting = sum(left for identity, left in self._left.items() if identity not in self._paces)
        share = max(1, min(self.processes, len(self._left)))
        return max([*running, (sum(running) + waiting * self._correction()) / share])

    def _rest(self, identity: str, pace: Pace) -> float:
        """What a running stage has left: by its own pace, or by its estimate where that is not known yet."""
        left = pace.seconds_left()
        return self._left.get(identity, 0.0) * (1 - pace.fraction) * self._correction() if left is None else left

    def _correction(self) -> float:
        # Ten seconds of prior belief in the estimates keep the first tiny stages from swinging the forecast.
        return (self._taken + 10.0) / (self._expected + 10.0)


class Pace:
    """How fast a running stage moves.

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

    @property
    def fraction(self) -> float:
        """What was done at the last report, at most all of it."""
        return min(1.0, self._latest[1])

    def seconds_left(self) -> float | None:
        """What is left at this pace; None before it has made some way."""
        (start, before), (now, fraction) = self._mark, self._latest
        if fraction - before < 0.05:
            return None
        return (now - start) * max(0.0, 1 - fraction) / (fraction - before)


class PlainEvents(Events):
    """One line per stage; for logs, pipes and --quiet terminals."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self.stream, self.quiet = stream or sys.stderr, quiet
        self.clock, self.total = Clock(), 0
        self._counted: set[str] = set()

    @property
    def count(self) -> int:
        """How many of the stages of this run were begun, here or elsewhere."""
        return len(self._counted)

    def plan(self, stages: Sequence[Stage]) -> None:
        """Note how much there is to do."""
        self.clock.plan(stages)
        self.total = len(self._counted | {stage.identity for stage in stages})

    def working(self, processes: int) -> None:
        """Note among how many it is shared."""
        self.clock.processes = processes

    def started(self, stage: Stage) -> None:
        """Say what begins."""
        self._counted.add(stage.identity)
        self.clock.started(stage)
        left = duration(self.clock.remaining())
        self._say(f"[{self.count}/{max(self.total, self.count)}] {stage.label} (about {left} left)")

    def progress(self, stage: Stage, done: float, total: float | None, unit: str, note: str) -> None:
        """Too much for a log, but the clock heeds it."""
        self.clock.progress(stage, done / total if total else 0.0, time.monotonic())

    def finished(self, stage: Stage, seconds: float) -> None:
        """Say how long it took, and what: beside other stages that is not clear."""
        which = f": {stage.label}" if self.clock.processes > 1 else ""
        self.clock.done(stage, seconds)
        self._say(f"      done in {duration(seconds)}{which}")

    def reused(self, stage: Stage) -> None:
        """Nothing to say: it was there, or another run has made it."""
        if self.clock.expects(stage):
            self._counted.add(stage.identity)
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


class JsonEvents(Events):
    """One JSON object a line on standard output, for programs."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout

    def plan(self, stages: Sequence[Stage]) -> None:
        """What will run."""
        self._write("plan", stages=[stage.label for stage in stages])

    def working(self, processes: int) -> None:
        """How many stages may run at once."""
        self._write("working", processes=processes)

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


class CleanConsole(Console):
    """The terminal behind standard error, on which labels and messages are text and command nothing."""

    def __init__(self) -> None:
        super().__init__(file=raw(sys.stderr))

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What `rich` makes of something, texts in it cleaned; its own control sequences stay."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)


@contextmanager
def shown(bars: Progress) -> Iterator[Progress]:
    """Within the block the bars are on the terminal, and what is printed stands above them, cleaned as ever."""
    with bars, clean_streams():
        yield bars


class RichEvents(PlainEvents):
    """Bars on a terminal: the whole run with the time left, and each running stage."""

    def __init__(self, console: Console) -> None:
        super().__init__(sys.stderr)
        self.console = console
        # Labels and messages are text, never markup: a name may hold brackets or colons.
        name = TextColumn("{task.description}", markup=False)
        note = TextColumn("{task.fields[note]}", markup=False, style="dim")
        columns = (name, BarColumn(24), TaskProgressColumn(), TimeElapsedColumn(), note)
        self.bars = Progress(*columns, console=console, transient=True)
        self.run: TaskID | None = None
        self.steps: dict[str, TaskID] = {}
        self._shown = ExitStack()

    def __enter__(self) -> RichEvents:
        self._shown.enter_context(shown(self.bars))
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.close()

    def plan(self, stages: Sequence[Stage]) -> None:
        """Set the bar of the run."""
        super().plan(stages)
        if self.run is None:
            self.run = self.bars.add_task("study", total=self.total, note="")
        self.bars.update(self.run, total=self.total)

    def started(self, stage: Stage) -> None:
        """Show the bar of the stage."""
        self._drop_step(stage)
        self._counted.add(stage.identity)
        self.clock.started(stage)
        self.steps[stage.identity] = self.bars.add_task(stage.label, total=None, note="")
        self._note_left()

    def progress(self, stage: Stage, done: float, total: float | None, unit: str, note: str) -> None:
        """Move it."""
        super().progress(stage, done, total, unit, note)
        if stage.identity in self.steps:
            left = self.clock.stage_left(stage)
            shown = "" if left is None else f"about {duration(left)} left"
            count = f"{done:g}/{total:g} {unit}" if total else f"{done:g} {unit}"
            text = "  ".join(part for part in (count, shown, note) if part)
            self.bars.update(self.steps[stage.identity], completed=done, total=total, note=text)
            self._note_left()

    def finished(self, stage: Stage, seconds: float) -> None:
        """Leave one line behind."""
        self.clock.done(stage, seconds)
        self.console.print(Text.assemble(("done", "green"), f" {stage.label} ", (duration(seconds), "dim")))
        self._settled(stage)

    def reused(self, stage: Stage) -> None:
        """Another run has made it, or it was there: the bar of the run moves."""
        super().reused(stage)
        self._settled(stage)

    def failed(self, stage: Stage, message: str) -> None:
        """Leave the reason behind."""
        self.clock.done(stage, None)
        self.console.print(Text.assemble(("failed", "red"), f" {stage.label}: {message}"))
        self._settled(stage)

    def warning(self, message: str) -> None:
        """Leave the warning behind."""
        self.console.print(Text.assemble(("warning", "yellow"), f" {message}"))

    def _say(self, text: str) -> None:
        self.console.print(Text(text, style="dim"))

    def _drop_step(self, stage: Stage) -> None:
        if stage.identity in self.steps:
            self.bars.remove_task(self.steps.pop(stage.identity))

    def _settled(self, stage: Stage) -> None:
        self._drop_step(stage)
        if self.run is not None:
            self.bars.update(self.run, completed=self.count - len(self.steps))
        self._note_left()

    def _note_left(self) -> None:
        if self.run is not None:
            left = duration(self.clock.remaining())
            self.bars.update(self.run, note=f"stage {self.count}/{self.total}, about {left} left")

"""How long a run will still take."""

from __future__ import annotations

from collections.abc import Sequence

from kdscope.pipeline.stage import Stage


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

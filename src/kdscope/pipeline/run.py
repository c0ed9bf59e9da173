"""Run a plan: every needed stage once, in order, around failures and beside other processes."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar

from kdscope.errors import KdscopeError, StoreError
from kdscope.pipeline.events import Events, NullEvents, Progress
from kdscope.pipeline.fingerprint import JSON
from kdscope.pipeline.plan import needed
from kdscope.pipeline.rewire import Rewiring, rewire
from kdscope.pipeline.stage import Stage, in_order
from kdscope.pipeline.store import Store

Value = TypeVar("Value")


class Resources:
    """Keeps the one thing that was expensive to load last, such as a model, for the next stage that asks for it.

    Who changes what it got from here must not leave it changed.
    """

    def __init__(self) -> None:
        self._slot: dict[str, object] = {}

    def get(self, key: str, make: Callable[[], Value]) -> Value:
        """What `make` returned for this key, if it was the last one asked for; otherwise made now.

        The old one is let go before the new one is made, so that the two are never in memory together.
        """
        if key not in self._slot:
            self._slot.clear()
            self._slot[key] = make()
        return self._slot[key]  # type: ignore[return-value]

    def clear(self) -> None:
        """Let go of what is kept."""
        self._slot.clear()


@dataclass(frozen=True)
class StageContext:
    """What a stage function gets to work with.

    `inputs` are folders to read, by role. `output` is an empty folder to fill with regular files. `scratch` is for
    checkpoints: a killed attempt leaves it to the next, so what is written there must be replaced atomically.
    `facts` may be filled with what is worth knowing later; they go to the manifest.
    """

    stage: Stage
    inputs: Mapping[str, Path]
    output: Path
    scratch: Path
    progress: Progress
    resources: Resources
    facts: dict[str, JSON]


Execute: TypeAlias = Callable[[Stage, StageContext], None]


@dataclass(frozen=True)
class RunResult:
    """What became of every stage; `messages` has the reason of each failure by identity.

    Stages that ran on what others left over are listed as they ran; `final` leads from the planned stage to them.
    """

    executed: list[Stage]
    reused: list[Stage]
    failed: list[Stage]
    blocked: list[Stage]
    messages: Mapping[str, str]
    store: Store
    rewiring: Rewiring

    def final(self, stage: Stage) -> Stage | None:
        """The completed stage that stands for a planned one; None if it failed or is blocked."""
        return self.rewiring.actual.get(stage.identity)

    def path(self, stage: Stage) -> Path:
        """The folder with the output of a planned stage.

        Raises:
            StoreError: the stage failed or is blocked.
        """
        final = self.final(stage)
        if final is None:
            raise StoreError(f"{stage.label}: there is no output, because it or something it needs failed")
        return self.store.path(final)


def run_plan(
    targets: Iterable[Stage],
    store: Store,
    execute: Execute,
    *,
    events: Events | None = None,
    poll_seconds: float = 0.2,
) -> RunResult:
    """Complete the targets: run what is missing, reuse what is there, go on after failures.

    `execute` runs one stage and may raise anything. Its failure is recorded; the rest of the study goes on. Outputs
    that a stage will read are verified by content hash once per run. Stages locked by another process are left to it.

    Raises:
        StoreError: the store itself cannot be read or written.
        KeyboardInterrupt: passed on, with nothing half-written visible.
    """
    run = _Run(store, execute, events or NullEvents(), poll_seconds)
    return run.complete(list(targets))


@dataclass
class _Run:
    store: Store
    execute: Execute
    events: Events
    poll_seconds: float
    resources: Resources = field(default_factory=Resources)
    sound: dict[str, bool] = field(default_factory=dict)  # by full verification, or by having been completed here
    wanted: set[str] = field(default_factory=set)  # all that any round found to be needed
    executed: dict[str, Stage] = field(default_factory=dict)
    reused: dict[str, Stage] = field(default_factory=dict)
    failed: dict[str, Stage] = field(default_factory=dict)
    blocked: dict[str, Stage] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)

    def complete(self, targets: list[Stage]) -> RunResult:
        """Rounds of planning and running, until one brings no new failure."""
        while True:
            failures = len(self.failed)
            rewiring = rewire(targets, self.failed, lambda stage: self._is_sound(stage, False))
            left = [stage for target in targets if (stage := rewiring.actual[target.identity]) is not None]
            to_run = needed(left, self._is_sound)
            self._announce(left, to_run, rewiring)
            self._run_all(to_run)
            if len(self.failed) == failures:
                break
        return RunResult(
            executed=list(self.executed.values()),
            reused=list(self.reused.values()),
            failed=list(self.failed.values()),
            blocked=list(self.blocked.values()),
            messages=self.messages,
            store=self.store,
            rewiring=rewiring,
        )

    def _is_sound(self, stage: Stage, as_input: bool) -> bool:
        if stage.identity not in self.sound:
            complete = self.store.inspect(stage, full=as_input).state == "done"
            if not as_input:
                return complete
            self.sound[stage.identity] = complete
        return self.sound[stage.identity]

    def _announce(self, left: list[Stage], to_run: list[Stage], rewiring: Rewiring) -> None:
        self.wanted.update(stage.identity for stage in to_run)
        for stage in in_order(left):
            if stage.identity not in self.wanted and self._is_sound(stage, False):
                self._reuse(stage)
        for stage, missing in rewiring.blocked.items():
            if stage.identity in self.wanted and stage.identity not in self.blocked:
                self.blocked[stage.identity] = stage
                self.events.blocked(stage, missing)
        if to_run:
            self.events.plan(to_run)

    def _run_all(self, stages: list[Stage]) -> None:
        """Settle every stage whose inputs can be had; those behind a failure are left for the next round."""
        pending = {stage.identity: stage for stage in stages}
        waiting = False
        while ready := [stage for stage in pending.values() if self._is_ready(stage, pending)]:
            settled = next((stage for stage in ready if self._settle(stage)), None)
            if settled is not None:
                del pending[settled.identity]
            else:
                if not waiting:
                    self.events.waiting(ready)
                time.sleep(self.poll_seconds)
            waiting = settled is None

    def _is_ready(self, stage: Stage, pending: Mapping[str, Stage]) -> bool:
        return all(p.identity not in pending and p.identity not in self.failed for p in stage.inputs.values())

    def _settle(self, stage: Stage) -> bool:
        """Run the stage, or find it completed or failed; False if another process is at it."""
        with self.store.try_lock(stage) as held:
            if not held:
                return False
            # Looked at again under the lock: another process may have completed it since the plan was made.
            found = self.store.inspect(stage, full=True)
            if found.state == "done":
                self.sound[stage.identity] = True
                self._reuse(stage)
                return True
            if found.state == "damaged":
                aside = self.store.set_aside(stage)
                self.events.warning(f"{stage.label}: {found.problem}; moved to {aside} and run again")
            self._run_stage(stage)
            return True

    def _run_stage(self, stage: Stage) -> None:
        self.events.started(stage)
        began = time.monotonic()
        inputs = {role: self.store.path(parent) for role, parent in stage.inputs.items()}
        progress = Progress(stage, self.events)
        try:
            with self.store.build(stage) as work:
                given = StageContext(stage, inputs, work.output, work.scratch, progress, self.resources, work.facts)
                self.execute(stage, given)
        except Exception as error:
            self._fail(stage, error)
            return
        self.sound[stage.identity] = True
        self.executed[stage.identity] = stage
        self.events.finished(stage, time.monotonic() - began)

    def _fail(self, stage: Stage, error: Exception) -> None:
        message = str(error) if isinstance(error, KdscopeError) else f"{type(error).__name__}: {error}"
        self.resources.clear()
        self.sound[stage.identity] = False  # for this run, even if another process manages
        self.failed[stage.identity] = stage
        self.messages[stage.identity] = message
        self.events.failed(stage, message)
        try:
            self.store.record_failure(stage, message, "".join(traceback.format_exception(error)))
        except StoreError as trouble:
            self.events.warning(str(trouble))

    def _reuse(self, stage: Stage) -> None:
        if stage.identity not in self.reused:
            self.store.tidy(stage)
            self.reused[stage.identity] = stage
            self.events.reused(stage)

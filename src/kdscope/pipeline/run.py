"""Run a plan: every needed stage once, in order, around failures and beside other processes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kdscope.core.errors import StoreError
from kdscope.pipeline.attempt import Execute, Outcome, Resources, StageContext, record_failure
from kdscope.pipeline.events import Events
from kdscope.pipeline.executors import Executor
from kdscope.pipeline.executors.serial import SerialExecutor
from kdscope.pipeline.plan import Pruned, needed, prune_failed
from kdscope.pipeline.stage import Stage, in_order
from kdscope.pipeline.store import Store

__all__ = ["Execute", "Resources", "RunResult", "StageContext", "run_plan"]


@dataclass(frozen=True)
class RunResult:
    """What became of every stage; `messages` has the reason of each failure by identity.

    `bad_input` has the failures that are due to a file of a person's. Stages that ran on what others left over are
    listed as they ran; `final` leads from the planned stage to them.
    """

    executed: list[Stage]
    reused: list[Stage]
    failed: list[Stage]
    blocked: list[Stage]
    messages: Mapping[str, str]
    store: Store
    pruned: Pruned
    bad_input: frozenset[str] = frozenset()

    @property
    def exit_code(self) -> int:
        """0 nothing failed, 2 what failed did so for files of a person's alone, 1 otherwise."""
        if not self.failed:
            return 0
        return 2 if all(stage.identity in self.bad_input for stage in self.failed) else 1

    def final(self, stage: Stage) -> Stage | None:
        """The completed stage that stands for a planned one; None if it failed or is blocked."""
        return self.pruned.actual.get(stage.identity)

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
    executor: Executor | None = None,
    poll_seconds: float = 0.2,
) -> RunResult:
    """Complete the targets: run what is missing, reuse what is there, go on after failures.

    `execute` runs one stage and may raise anything. Its failure is recorded; the rest of the study goes on. Targets,
    and outputs that a stage will read, are verified by content hash once per run. Stages locked by a process of another
    run are left to it. The `executor` runs the stages if it takes them; otherwise, and should it die out, this process
    does.

    Raises:
        StoreError: the store itself cannot be read or written.
        MachineError: a process of the executor cannot be started.
        KeyboardInterrupt: passed on, with nothing half-written visible.
    """
    listener = events or Events()
    alone = SerialExecutor(store, execute, listener)
    return _Run(store, listener, alone, executor or alone, poll_seconds).complete(list(targets))


@dataclass
class _Run:
    store: Store
    events: Events
    alone: SerialExecutor
    executor: Executor
    poll_seconds: float
    processes: int = 1  # at work, as last told
    sound: dict[str, bool] = field(default_factory=dict)  # by full verification, or by having been completed here
    wanted: set[str] = field(default_factory=set)  # all that any round found to be needed
    lost: set[str] = field(default_factory=set)  # what a process has died of, or at least with
    executed: dict[str, Stage] = field(default_factory=dict)
    reused: dict[str, Stage] = field(default_factory=dict)
    failed: dict[str, Stage] = field(default_factory=dict)
    blocked: dict[str, Stage] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    bad_input: set[str] = field(default_factory=set)

    def complete(self, targets: list[Stage]) -> RunResult:
        """Rounds of planning and running, until one brings no new failure."""
        while True:
            failures = len(self.failed)
            pruned = prune_failed(targets, self.failed, self._looks_complete)
            left = [stage for target in targets if (stage := pruned.actual[target.identity]) is not None]
            to_run = needed(left, self._is_sound)
            self._announce(left, to_run, pruned)
            self._run_all(to_run)
            self.store.remember()
            if len(self.failed) == failures:
                break
        return RunResult(
            executed=list(self.executed.values()),
            reused=list(self.reused.values()),
            failed=list(self.failed.values()),
            blocked=list(self.blocked.values()),
            messages=self.messages,
            store=self.store,
            pruned=pruned,
            bad_input=frozenset(self.bad_input),
        )

    def _is_sound(self, stage: Stage) -> bool:
        if stage.identity not in self.sound:
            self.sound[stage.identity] = self.store.inspect(stage, full=True).state == "done"
        return self.sound[stage.identity]

    def _looks_complete(self, stage: Stage) -> bool:
        """By its manifest and file sizes, unless more is known."""
        known = self.sound.get(stage.identity)
        return self.store.inspect(stage).state == "done" if known is None else known

    def _announce(self, left: list[Stage], to_run: list[Stage], pruned: Pruned) -> None:
        self.wanted.update(stage.identity for stage in to_run)
        for stage in in_order(left):
            if stage.identity not in self.wanted and self._looks_complete(stage):
                self._reuse(stage)
        for stage, missing in pruned.blocked.items():
            if stage.identity in self.wanted and stage.identity not in self.blocked:
                self.blocked[stage.identity] = stage
                self.events.blocked(stage, missing)
        if to_run:
            self.events.plan(to_run)

    def _run_all(self, stages: list[Stage]) -> None:
        """Settle every stage whose inputs can be had; those behind a failure are left for the next round."""
        chosen = self.executor if self.executor.takes(stages) else self.alone
        pending = {stage.identity: stage for stage in chosen.arrange(stages)}
        submitted, elsewhere, waiting = set[str](), set[str](), False
        while ready := [stage for stage in pending.values() if self._is_ready(stage, pending)]:
            executor = self._alive(chosen)
            for stage in ready:
                if executor.has_room and stage.identity not in submitted | elsewhere:
                    submitted.add(stage.identity)
                    executor.submit(stage)
            if not submitted and not waiting:
                self.events.waiting(ready)
                waiting = True
            news = self._next(executor, submitted, elsewhere)
            if news is None:
                elsewhere.clear()
            elif self._settle(*news):
                del pending[news[0].identity]
                elsewhere.clear()
                waiting = False

    def _is_ready(self, stage: Stage, pending: Mapping[str, Stage]) -> bool:
        return all(p.identity not in pending and p.identity not in self.failed for p in stage.inputs.values())

    def _alive(self, chosen: Executor) -> Executor:
        """The executor that was chosen, or this process once all of its own have died."""
        executor = chosen if chosen.size else self.alone
        if executor.size != self.processes:
            self.processes = executor.size
            self.events.working(executor.size)
        return executor

    def _next(self, executor: Executor, submitted: set[str], elsewhere: set[str]) -> tuple[Stage, Outcome] | None:
        """What became of a stage that was submitted; None when it is time to ask again for those at work elsewhere."""
        if not submitted:
            time.sleep(self.poll_seconds)
            return None
        news = executor.wait(self.poll_seconds if elsewhere else None)
        if news is not None:
            stage, outcome = news
            submitted.remove(stage.identity)
            if outcome.state == "elsewhere":
                elsewhere.add(stage.identity)
        return news

    def _settle(self, stage: Stage, outcome: Outcome) -> bool:
        """Note what became of the stage; False if it is still to be run."""
        match outcome.state:
            case "executed":
                self.sound[stage.identity] = True
                self.executed[stage.identity] = stage
                self.store.learn(stage)
                self.events.finished(stage, outcome.seconds)
            case "reused":
                self.sound[stage.identity] = True
                self._reuse(stage)
            case "failed":
                self.bad_input |= {stage.identity} if outcome.bad_input else set()
                self._fail(stage, outcome.message)
            case "lost":
                return self._lose(stage, outcome.message)
        return outcome.state != "elsewhere"

    def _reuse(self, stage: Stage) -> None:
        if stage.identity not in self.reused:
            self.store.tidy(stage)
            self.reused[stage.identity] = stage
            self.events.reused(stage)

    def _fail(self, stage: Stage, message: str) -> None:
        self.sound[stage.identity] = False  # for this run, even if another one manages
        self.failed[stage.identity] = stage
        self.messages[stage.identity] = message
        self.events.failed(stage, message)

    def _lose(self, stage: Stage, reason: str) -> bool:
        """A stage gets a second process, not a third: it may be what they die of."""
        if stage.identity not in self.lost:
            self.lost.add(stage.identity)
            self.events.warning(f"{stage.label}: its process died ({reason}); it starts again in another one")
            return False
        message = f"its process died, and so did the one that tried again ({reason})"
        record_failure(stage, self.store, message, "", self.events)
        self._fail(stage, message)
        return True

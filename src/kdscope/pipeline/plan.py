"""Planning without running: the stages that would run, and those left to run once some have failed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from kdscope.pipeline.stage import Cost, Stage, in_order
from kdscope.pipeline.store import Inspection, Store


@dataclass(frozen=True)
class PlannedStage:
    """A stage of a plan.

    `damaged` means it was complete, no longer is, and will run again; `not needed` that nothing which will run uses
    it, though its own output is not there or damaged. `problem` says what is damaged.
    """

    stage: Stage
    state: Literal["done", "will run", "damaged", "not needed"]
    problem: str = ""

    @property
    def cost(self) -> Cost:
        """What is still to be paid for this stage: nothing unless it will run."""
        return self.stage.cost if self.state in ("will run", "damaged") else Cost(seconds=0.0)


def needed(targets: Iterable[Stage], is_sound: Callable[[Stage], bool]) -> list[Stage]:
    """The stages that must run to complete the targets, in execution order.

    A complete stage needs none of its inputs. `is_sound` says whether a stage is complete; it is asked about the
    targets and about what a stage of the result will read, whose content therefore matters.
    """
    targets, found = list(targets), set[str]()

    waiting = list(targets)
    while waiting:
        stage = waiting.pop()
        if stage.identity not in found and not is_sound(stage):
            found.add(stage.identity)
            waiting += stage.inputs.values()
    return [stage for stage in in_order(targets) if stage.identity in found]


def plan_states(targets: Iterable[Stage], store: Store) -> list[PlannedStage]:
    """The state of every stage of a study, in execution order, as a run would find it.

    The content of targets, and of what will be read, is verified; of all others manifests and file sizes are looked at.

    Raises:
        StoreError: the store cannot be read.
    """
    targets = list(targets)
    found: dict[str, Inspection] = {}

    def is_sound(stage: Stage) -> bool:
        if stage.identity not in found:
            found[stage.identity] = store.inspect(stage, full=True)
        return found[stage.identity].state == "done"

    running = set(needed(targets, is_sound))
    store.remember()
    return [_planned(stage, found.get(stage.identity) or store.inspect(stage), running) for stage in in_order(targets)]


def _planned(stage: Stage, found: Inspection, running: Collection[Stage]) -> PlannedStage:
    if stage in running:
        return PlannedStage(stage, "damaged" if found.problem else "will run", found.problem)
    return PlannedStage(stage, "done" if found.state == "done" else "not needed", found.problem)


def total_cost(planned: Iterable[PlannedStage]) -> Cost:
    """What is still to be paid for a whole plan; the time is None if that of any stage to run is unknown."""
    return sum((item.cost for item in planned), Cost(seconds=0.0))


@dataclass(frozen=True)
class Pruned:
    """`actual` maps each planned identity to the stage that stands for it now, or to None if none can.

    `blocked` has the planned stages that cannot run, each with the inputs it misses; failed ones are not among them.
    """

    actual: Mapping[str, Stage | None]
    blocked: Mapping[Stage, tuple[Stage, ...]]


def prune_failed(targets: Iterable[Stage], failed: Collection[str], is_complete: Callable[[Stage], bool]) -> Pruned:
    """What is left of a study without these failed identities.

    A stage that tolerates missing inputs becomes the stage without them, as long as one input is left; whatever
    depends on it is rewired to that. Any other stage with a missing input is blocked. A complete stage stays as it is.
    """
    actual: dict[str, Stage | None] = {}
    blocked: dict[Stage, tuple[Stage, ...]] = {}
    for stage in in_order(targets):
        if is_complete(stage):
            actual[stage.identity] = stage
            continue
        inputs = {role: actual[parent.identity] for role, parent in stage.inputs.items()}
        present = {role: parent for role, parent in inputs.items() if parent is not None}
        missing = tuple(parent for role, parent in stage.inputs.items() if role not in present)
        if missing and not (stage.tolerates_missing and present):
            actual[stage.identity] = None
            blocked[stage] = missing
            continue
        left = stage if present == stage.inputs else stage.with_inputs(present)
        actual[stage.identity] = None if left.identity in failed else left
    return Pruned(actual, blocked)

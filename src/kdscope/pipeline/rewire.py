"""What is left of a study once some stages have failed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from kdscope.pipeline.stage import Stage, in_order


@dataclass(frozen=True)
class Rewiring:
    """`actual` maps each planned identity to the stage that stands for it now, or to None if none can.

    `blocked` has the planned stages that cannot run, each with the inputs it misses; failed ones are not among them.
    """

    actual: Mapping[str, Stage | None]
    blocked: Mapping[Stage, tuple[Stage, ...]]


def rewire(targets: Iterable[Stage], failed: Collection[str], is_complete: Callable[[Stage], bool]) -> Rewiring:
    """Route a study around failed identities.

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
        rewired = stage.with_inputs(present)
        actual[stage.identity] = None if rewired.identity in failed else rewired
    return Rewiring(actual, blocked)

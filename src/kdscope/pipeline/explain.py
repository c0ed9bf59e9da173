"""Why a stage is complete, or what makes it run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from kdscope.pipeline.fingerprint import JSON
from kdscope.pipeline.manifest import Manifest
from kdscope.pipeline.plan import PlannedStage
from kdscope.pipeline.stage import Stage
from kdscope.pipeline.store import Store


@dataclass(frozen=True)
class Explanation:
    """The state of a stage, as the plan has it, and the reasons for it, one sentence each."""

    state: Literal["done", "will run", "damaged", "not needed"]
    reasons: list[str]


def explain(planned: PlannedStage, store: Store) -> Explanation:
    """Compare a stage with what the store holds of it, or with the completed stage of its kind most like it.

    Raises:
        StoreError: the store cannot be read.
    """
    stage = planned.stage
    manifest = store.inspect(stage).manifest if planned.state == "done" else None
    if manifest is not None:
        return Explanation("done", [f"complete since {manifest.finished}, {len(manifest.files)} files"])
    reasons = [f"damaged: {planned.problem}"] if planned.problem else []
    if planned.state == "not needed":
        return Explanation("not needed", [*reasons, "what was made from it is complete"])
    if reasons:
        return Explanation("damaged", reasons)
    failure = store.last_failure(stage)
    reasons = [] if failure is None else [f"failed last time: {failure}"]
    return Explanation("will run", reasons + _compare_with_nearest(stage, store))


def _compare_with_nearest(stage: Stage, store: Store) -> list[str]:
    candidates = store.manifests(stage.kind)
    if not candidates:
        return [f"never ran: no {stage.kind} stage is complete in {store.root}"]

    def distance(manifest: Manifest) -> tuple[int, bool, str]:
        changes = len(_own_changes(stage, manifest)) + len(_changed_roles(stage, manifest))
        return changes, manifest.label != stage.label, manifest.identity

    nearest = min(candidates, key=distance)
    heading = f"never ran like this; the nearest complete {stage.kind} is {nearest.label!r} ({nearest.identity[:16]}):"
    return [heading, *_differences(stage, nearest, store)]


def _differences(stage: Stage, manifest: Manifest, store: Store) -> Iterator[str]:
    """What changed in the stage itself, then, through changed inputs, what changed in those."""
    yield from _own_changes(stage, manifest)
    for role in _changed_roles(stage, manifest):
        yield from _input_changes(role, stage.inputs.get(role), manifest.inputs.get(role), store)


def _input_changes(role: str, now: Stage | None, before: str | None, store: Store) -> Iterator[str]:
    if now is None:
        yield f"input {role}: no longer used"
    elif before is None:
        yield f"input {role}: new, {now.label!r}"
    else:
        yield f"input {role} changed: {before[:16]} -> {now.identity[:16]} ({now.label})"
        earlier = next((one for one in store.manifests(now.kind) if one.identity == before), None)
        if earlier is not None:
            yield from (f"  {role} > {reason.strip()}" for reason in _differences(now, earlier, store))


def _changed_roles(stage: Stage, manifest: Manifest) -> list[str]:
    now = {role: parent.identity for role, parent in stage.inputs.items()}
    return [role for role in sorted({*now, *manifest.inputs}) if now.get(role) != manifest.inputs.get(role)]


def _own_changes(stage: Stage, manifest: Manifest) -> list[str]:
    changes = []
    if stage.version != manifest.version:
        changes.append(f"code of {stage.kind} changed: version {manifest.version} -> {stage.version}")
    before, now = dict(_leaves(manifest.parameters)), dict(_leaves(stage.parameters))
    for key in sorted({*before, *now}):
        old, new = before.get(key, "(absent)"), now.get(key, "(absent)")
        if old != new:
            changes.append(f"parameter {key}: {_short(old)} -> {_short(new)}")
    return changes


def _leaves(value: JSON, key: str = "") -> Iterator[tuple[str, str]]:
    """Every innermost value as JSON text, by its dotted key."""
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _leaves(item, f"{key}.{name}" if key else name)
    elif isinstance(value, list | tuple) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, f"{key}[{index}]")
    else:
        yield key, json.dumps(value)


def _short(text: str) -> str:
    return text if len(text) <= 70 else f"{text[:50]}... ({len(text)} characters)"

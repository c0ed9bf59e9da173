"""A stage as one line of JSON, with all it depends on: how it reaches a process that has no plan."""

from __future__ import annotations

import json
from typing import Any

from kdscope.pipeline.stage import Stage, in_order


def stage_to_line(stage: Stage) -> str:
    """The stage and everything behind it; cost and tolerance stay behind, as they concern planning alone."""
    return json.dumps([_values(one) for one in in_order([stage])])


def stage_from_line(line: str) -> Stage:
    """The stage that was written, with the same identity.

    Raises:
        ValueError: Here it would have another identity, so the two processes do not run the same code.
    """
    found: dict[str, Stage] = {}
    for values in json.loads(line):
        identity, inputs = values.pop("identity"), values.pop("inputs")
        stage = Stage(inputs={role: found[parent] for role, parent in inputs.items()}, **values)
        if stage.identity != identity:
            raise ValueError(f"{stage.label}: its identity is {stage.identity} here and {identity} where it came from")
        found[identity] = stage
    return stage


def _values(stage: Stage) -> dict[str, Any]:
    names = ("kind", "label", "version", "parameters", "context", "identity")
    inputs = {role: parent.identity for role, parent in stage.inputs.items()}
    return {**{name: getattr(stage, name) for name in names}, "inputs": inputs}

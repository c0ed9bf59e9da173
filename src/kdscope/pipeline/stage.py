"""A stage: one step of a study, named by everything that decides its output."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from kdscope.core.errors import IdentityError
from kdscope.pipeline.fingerprint import JSON, fingerprint, fingerprint_plain, plain

KIND = re.compile(r"[a-z][a-z_]*")


@dataclass(frozen=True)
class Cost:
    """What a stage is expected to take; `seconds` is None where nobody knows."""

    tokens: int = 0
    flops: float = 0.0
    disk_bytes: int = 0
    seconds: float | None = None

    def __add__(self, other: Cost) -> Cost:
        """The cost of doing both; the time of the two is known only if both are."""
        known = self.seconds is not None and other.seconds is not None
        return Cost(
            self.tokens + other.tokens,
            self.flops + other.flops,
            self.disk_bytes + other.disk_bytes,
            (self.seconds or 0.0) + (other.seconds or 0.0) if known else None,
        )


@dataclass(frozen=True, eq=False, repr=False)
class Stage:
    """A pure function (`kind` at code `version`) of its parameters and of its inputs' outputs.

    `identity` is the SHA-256 of exactly those four. `label` is for people, `cost` for planning, and `context` says
    where things are (a path, a device), which changes nothing about what comes out; none of them is part of it.
    `tolerates_missing` lets the stage run on the inputs that are left when others failed, as `without` them.

    Raises:
        IdentityError: a parameter has no stable identity, or the kind is not a plain lower-case word.
    """

    kind: str
    label: str
    version: int
    parameters: Mapping[str, JSON]
    inputs: Mapping[str, Stage]
    cost: Cost = Cost()
    tolerates_missing: bool = False
    context: Mapping[str, JSON] = field(default_factory=dict)
    identity: str = field(init=False)

    def __post_init__(self) -> None:
        # The kind becomes a folder name; own copies keep later changes by the caller away from the identity.
        if not KIND.fullmatch(self.kind):
            raise IdentityError(f"stage kind {self.kind!r}: only lower-case letters and underscores")
        self._keep(
            parameters=plain(self.parameters, f"{self.kind}.parameters"),
            context=plain(self.context, f"{self.kind}.context"),
            inputs=dict(self.inputs),
        )
        self._keep(identity=self._identify())

    def _identify(self) -> str:
        inputs = {role: stage.identity for role, stage in self.inputs.items()}
        return fingerprint_plain(_ingredients(self.kind, self.version, self.parameters, inputs))

    def _keep(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def directory_name(self) -> str:
        """A short name for people and for folders that need not be unique: kind and 16 digits of the identity."""
        return f"{self.kind}-{self.identity[:16]}"

    def with_inputs(self, inputs: Mapping[str, Stage]) -> Stage:
        """The same step on other inputs."""
        other = copy(self)
        other._keep(inputs=dict(inputs))
        other._keep(identity=other._identify())
        return other

    def with_cost(self, cost: Cost) -> Stage:
        """The same stage with another expectation of what it takes."""
        other = copy(self)
        other._keep(cost=cost)
        return other

    def without(self, roles: Collection[str]) -> Stage:
        """The same step with some inputs left out: another stage, with an identity of its own."""
        return self.with_inputs({role: stage for role, stage in self.inputs.items() if role not in roles})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stage) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def __repr__(self) -> str:
        return f"Stage({self.directory_name}, {self.label!r})"


def identify(kind: str, version: int, parameters: Mapping[str, JSON], inputs: Mapping[str, str]) -> str:
    """The identity of a stage from its four ingredients; `inputs` maps roles to identities.

    Raises:
        IdentityError: an ingredient has no stable identity.
    """
    return fingerprint(_ingredients(kind, version, parameters, inputs))


def _ingredients(kind: str, version: int, parameters: Mapping[str, JSON], inputs: Mapping[str, str]) -> dict[str, JSON]:
    return {"kind": kind, "version": version, "parameters": parameters, "inputs": inputs}


def in_order(targets: Iterable[Stage]) -> list[Stage]:
    """The targets and all they depend on, inputs first, each identity once.

    Depth first, in the order given: what one target needs stays together. Stages are frozen, so no cycle can exist.
    """
    found: dict[str, Stage] = {}
    for target in targets:
        # A stack of its own: a chain of stages may be longer than Python's.
        path = [] if target.identity in found else [(target, iter(target.inputs.values()))]
        while path:
            stage, parents = path[-1]
            parent = next((p for p in parents if p.identity not in found), None)
            if parent is not None:
                path.append((parent, iter(parent.inputs.values())))
            else:
                found[stage.identity] = stage
                path.pop()
    return list(found.values())


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

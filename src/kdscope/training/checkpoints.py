"""Checkpoints of a run (weights, optimiser moments and the log, as safetensors and JSON), and which step is kept.

A checkpoint is a folder that appears by one rename; the pointer file is replaced last. A kill at any instant leaves
the previous checkpoint or the new one, never half of either.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from kdscope.core.files import discard, discard_unfinished, replace_folder, sync, write_atomically

VALIDATION_LOSS, VALIDATION_ACCURACY = "validation_loss", "validation_accuracy"
Log = Sequence[Mapping[str, Any]]
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass
class Position:
    """How far training has come.

    Attributes:
        step: Optimiser steps done.
        kept: The step whose weights the rule keeps, of those validated so far; None before the first.
        log: One row per optimiser step.
    """

    step: int = 0
    kept: int | None = None
    log: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Checkpoints:
    """Checkpoints of one cell, under one folder."""

    folder: Path

    def save(
        self, position: Position, weights: Mapping[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer
    ) -> None:
        """Write where training stands; older checkpoints go once the new one is in place."""
        name = f"step-{position.step:08d}"
        building = self._fresh(f"{name}.building")
        _save_weights(weights, building / "weights.safetensors")
        save_file(_moments(weights, optimizer), building / "optimizer.safetensors")
        (building / "position.json").write_text(json.dumps(asdict(position)))
        self._publish(building, name)
        write_atomically(self.folder / "latest", name)
        self._drop_except("step-*", name)

    def restore(self, weights: Mapping[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> Position:
        """Load the latest checkpoint into model and optimiser; the start of training where there is none."""
        discard_unfinished(self.folder)
        pointer = self.folder / "latest"
        latest = self.folder / (pointer.read_text() if pointer.exists() else "none")
        if not (latest / "position.json").exists():
            return Position()
        _load_weights(latest / "weights.safetensors", weights)
        _load_moments(latest / "optimizer.safetensors", weights, optimizer)
        return Position(**json.loads((latest / "position.json").read_text()))

    def save_best(self, step: int, weights: Mapping[str, torch.nn.Parameter]) -> None:
        """Keep the weights of the step that the rule would keep so far."""
        name = f"best-{step:08d}"
        building = self._fresh(f"{name}.building")
        _save_weights(weights, building / "weights.safetensors")
        self._publish(building, name)

    def restore_best(self, step: int, weights: Mapping[str, torch.nn.Parameter]) -> None:
        """Load the weights kept for `step`."""
        _load_weights(self.folder / f"best-{step:08d}" / "weights.safetensors", weights)

    def drop_best_except(self, step: int) -> None:
        """Remove superseded best weights; called after a checkpoint that no longer refers to them."""
        self._drop_except("best-*", f"best-{step:08d}")

    def _drop_except(self, pattern: str, name: str) -> None:
        for old in self.folder.glob(pattern):
            if old.name != name:
                discard(old)

    def _fresh(self, name: str) -> Path:
        path = self.folder / name
        discard(path)
        path.mkdir(parents=True)
        return path

    def _publish(self, building: Path, name: str) -> None:
        for file in building.iterdir():
            sync(file)
        replace_folder(building, self.folder / name)
        sync(self.folder)


def kept_step(rule: str, log: Log) -> int | None:
    """The step that a rule keeps of those in the log; None where it compares what was not measured.

    Args:
        rule: last; best_accuracy: the highest validation accuracy, ties to the later step; best_loss: the lowest
            validation loss, ties to the earlier step.
        log: One row an optimiser step, with `step` and both measures (None where not measured).

    >>> kept_step("best_accuracy", [{"step": 1, "validation_accuracy": 0.5}, {"step": 2, "validation_accuracy": 0.5}])
    2
    """
    if rule == "last":
        return int(log[-1]["step"]) if log else None
    best_accuracy = rule == "best_accuracy"
    measured = VALIDATION_ACCURACY if best_accuracy else VALIDATION_LOSS
    found: int | None = None
    best = math.inf
    for row in log:
        value = row.get(measured)
        if value is None or not math.isfinite(value):
            continue
        score = -value if best_accuracy else value
        if score < best or (best_accuracy and score == best):
            found, best = int(row["step"]), score
    return found


def measured_at(step: int, measure: str, log: Log) -> float | None:
    """What validation measured at a step; None where it did not."""
    value = next((row.get(measure) for row in log if row["step"] == step), None)
    return None if value is None else float(value)


def _save_weights(weights: Mapping[str, torch.nn.Parameter], file: Path) -> None:
    save_file({name: parameter.detach().cpu().contiguous() for name, parameter in weights.items()}, file)


def _moments(weights: Mapping[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, parameter in weights.items():
        state = optimizer.state.get(parameter, {})
        for moment in _MOMENTS:
            if moment in state:
                tensors[f"{moment}/{name}"] = state[moment].detach().cpu().contiguous()
        if "step" in state:
            tensors[f"step/{name}"] = state["step"].detach().cpu().reshape(1).clone()
    return tensors


def _load_weights(file: Path, weights: Mapping[str, torch.nn.Parameter]) -> None:
    stored = load_file(file)
    with torch.no_grad():
        for name, parameter in weights.items():
            parameter.copy_(stored[name])


def _load_moments(file: Path, weights: Mapping[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    stored = load_file(file)
    for name, parameter in weights.items():
        if f"step/{name}" not in stored:
            continue
        state = optimizer.state[parameter]
        # AdamW keeps its step count where it computes: on the device when fused, on the CPU otherwise.
        fused = bool(optimizer.param_groups[0].get("fused"))
        state["step"] = stored[f"step/{name}"][0].clone().to(parameter.device if fused else "cpu")
        for moment in _MOMENTS:
            state[moment] = stored[f"{moment}/{name}"].to(parameter.device, parameter.dtype)

"""Where a running cell stands: weights, optimiser moments and the log so far, in safetensors and JSON.

A checkpoint is a folder that appears by one rename; the pointer file is replaced last. A kill at any instant leaves
the previous checkpoint or the new one, never half of either.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

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
        save_file({key: p.detach().cpu().contiguous() for key, p in weights.items()}, building / "weights.safetensors")
        save_file(_moments(weights, optimizer), building / "optimizer.safetensors")
        (building / "position.json").write_text(json.dumps(asdict(position)))
        self._publish(building, name)
        self._point("latest", name)
        for old in self.folder.glob("step-*"):
            if old.name != name:
                shutil.rmtree(old, ignore_errors=True)

    def restore(self, weights: Mapping[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> Position:
        """Load the latest checkpoint into model and optimiser; the start of training where there is none."""
        latest = self._pointed("latest")
        if latest is None:
            return Position()
        _load_weights(latest / "weights.safetensors", weights)
        _load_moments(latest / "optimizer.safetensors", weights, optimizer)
        return Position(**json.loads((latest / "position.json").read_text()))

    def save_best(self, step: int, weights: Mapping[str, torch.nn.Parameter]) -> None:
        """Keep the weights of the step that the rule would keep so far."""
        name = f"best-{step:08d}"
        building = self._fresh(f"{name}.building")
        save_file({key: p.detach().cpu().contiguous() for key, p in weights.items()}, building / "weights.safetensors")
        self._publish(building, name)

    def restore_best(self, step: int, weights: Mapping[str, torch.nn.Parameter]) -> None:
        """Load the weights kept for `step`."""
        _load_weights(self.folder / f"best-{step:08d}" / "weights.safetensors", weights)

    def drop_best_except(self, step: int) -> None:
        """Remove superseded best weights; called after a checkpoint that no longer refers to them."""
        for old in self.folder.glob("best-*"):
            if old.name != f"best-{step:08d}":
                shutil.rmtree(old, ignore_errors=True)

    def _fresh(self, name: str) -> Path:
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def _publish(self, building: Path, name: str) -> None:
        for file in building.iterdir():
            _sync(file)
        shutil.rmtree(self.folder / name, ignore_errors=True)
        os.replace(building, self.folder / name)
        _sync(self.folder)

    def _point(self, pointer: str, name: str) -> None:
        temporary = self.folder / f"{pointer}.tmp"
        temporary.write_text(name)
        _sync(temporary)
        os.replace(temporary, self.folder / pointer)
        _sync(self.folder)

    def _pointed(self, pointer: str) -> Path | None:
        try:
            path = self.folder / (self.folder / pointer).read_text()
        except FileNotFoundError:
            return None
        return path if (path / "position.json").exists() else None


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


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""What a model is, told from its files alone: identity, parameters, layers. No torch."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODEL_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")


@dataclass(frozen=True)
class ModelPlace:
    """Where a model is loaded from.

    Attributes:
        location: A folder, or a hub repository.
        revision: The hub commit; None for a folder.
        adapter: Folder of a peft adapter to put on top; None for the plain model.
        trust_remote_code: Whether code in the repository may run.
    """

    location: str
    revision: str | None = None
    adapter: str | None = None
    trust_remote_code: bool = False


@dataclass(frozen=True)
class ModelShape:
    """Sizes read from config.json and the headers of the weight files."""

    parameters: int
    layers: int
    layer_parameters: int
    weight_bytes: int

    def keeping(self, layers: int) -> ModelShape:
        """The shape after depth pruning to `layers` layers."""
        share = layers / self.layers
        cut = round(self.layer_parameters * (1 - share))
        bytes_each = self.weight_bytes / max(1, self.parameters)
        return ModelShape(
            self.parameters - cut,
            layers,
            round(self.layer_parameters * share),
            round((self.parameters - cut) * bytes_each),
        )


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model folder."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def read_shape(folder: Path) -> ModelShape:
    """Count parameters from safetensors headers, without loading a weight."""
    total = in_layers = size = 0
    for file in sorted(folder.glob("*.safetensors")):
        for name, shape in _tensor_shapes(file).items():
            count = math.prod(shape)
            total += count
            in_layers += count if ".layers." in name or ".h." in name else 0
        size += file.stat().st_size
    return ModelShape(total, int(read_config(folder).get("num_hidden_layers", 1)), in_layers, size)


def _tensor_shapes(file: Path) -> dict[str, list[int]]:
    # The safetensors format: 8 bytes little-endian header length, then a JSON header.
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}


def spaced_layers(total: int, keep: int | tuple[int, ...]) -> tuple[int, ...]:
    """The layers a depth-pruned student keeps.

    A number keeps that many, evenly spaced with the first and the last among them; indices are kept as given.

    >>> spaced_layers(30, 4)
    (0, 10, 19, 29)
    >>> spaced_layers(30, (0, 5))
    (0, 5)
    """
    if isinstance(keep, tuple):
        return keep
    if keep == 1:
        return (0,)
    return tuple(math.floor(i * (total - 1) / (keep - 1) + 0.5) for i in range(keep))

"""What a model is, told from its files alone: identity, parameters, layers. No torch."""

from __future__ import annotations

import json
import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdscope.core.errors import ModelError

MODEL_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.tiktoken", "*.py")
_IN_LAYER = re.compile(r"(?:^|\.)(?:layers|h)\.\d+\.")
_LONGEST_HEADER_BYTES = 100_000_000


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
    """Sizes read from config.json and the headers of the weight files; `width` and `vocabulary` are the head's."""

    parameters: int
    layers: int
    layer_parameters: int
    weight_bytes: int
    width: int = 0
    vocabulary: int = 0

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
            self.width,
            self.vocabulary,
        )


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model folder."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def read_shape(folder: Path) -> ModelShape:
    """Count parameters from safetensors headers, without loading a weight.

    Raises:
        ModelError: There are no safetensors weights, or a file is not what its name says.
    """
    config, files = read_config(folder), _weight_files(folder)
    shapes = {name: shape for file in files for name, shape in _tensor_shapes(file).items()}
    if config.get("tie_word_embeddings"):
        shapes.pop("lm_head.weight", None)  # some checkpoints store the embeddings a second time
    counts = {name: math.prod(shape) for name, shape in shapes.items()}
    in_layers = sum(count for name, count in counts.items() if _IN_LAYER.search(name))
    size = sum(file.stat().st_size for file in files)
    text = config.get("text_config", config)
    width = text.get("word_embed_proj_dim", text.get("hidden_size", text.get("n_embd", 0)))
    layers = int(config.get("num_hidden_layers", 1))
    return ModelShape(sum(counts.values()), layers, in_layers, size, int(width), int(text.get("vocab_size", 0)))


def _weight_files(folder: Path) -> list[Path]:
    """What transformers would load: other safetensors (a second format, an adapter) may lie beside it."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if not index.is_file():
        raise ModelError(f"{folder} has no model.safetensors")
    places: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    return [folder / name for name in sorted(set(places.values()))]


def _tensor_shapes(file: Path) -> dict[str, list[int]]:
    # The safetensors format: 8 bytes little-endian header length, then a JSON header.
    with file.open("rb") as stream:
        first = stream.read(8)
        length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
        if not 0 < length <= _LONGEST_HEADER_BYTES:
            raise ModelError(f"{file} is not a safetensors file; was it downloaded whole?")
        header = json.loads(stream.read(length))
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}


def read_vocabulary(folder: Path) -> dict[str, int] | None:
    """String -> id of a folder's fast tokenizer, added tokens included; None where it cannot be told from its files."""
    try:
        tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        own = tokenizer["model"]["vocab"]
        pieces = dict(own) if isinstance(own, dict) else {piece[0]: i for i, piece in enumerate(own)}
        return pieces | {token["content"]: token["id"] for token in tokenizer.get("added_tokens", [])}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


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

"""A model told from its files alone, without torch: where it is, at which commit, its parameters and its layers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdscope.core.errors import ModelError
from kdscope.models.configuration import CONFIG, check_config, read_config, text_config
from kdscope.models.files import named_weights
from kdscope.models.headers import tensor_shapes

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_IN_LAYER = re.compile(r"(?:^|\.)(?:layers|h)\.\d+\.")
SOFTCAPS = ("final_logit_softcapping", "logits_soft_cap")
"""What configurations call the bound of capped logits; the second is RecurrentGemma's."""
_COMMIT = re.compile(r"[0-9a-f]{40}")


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


def resolve_revision(repository: str, revision: str | None = None, hub: HfApi | None = None) -> str:
    """The commit of a branch or tag of a model repository, or of its newest state.

    Args:
        repository: Such as Qwen/Qwen2.5-0.5B.
        revision: A commit, which is returned as it is, or a branch or tag; the newest state where absent.
        hub: Who is asked; huggingface.co where absent.

    Raises:
        ModelError: The hub does not know it, or cannot be reached.
    """
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision
    if hub is None:
        from huggingface_hub import HfApi

        hub = HfApi()
    try:
        commit = hub.model_info(repository, revision=revision).sha
    except Exception as error:  # the client raises its own errors, those of its transport, and ValueError
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ModelError(f"{repository} is no folder here, and the hub does not give its commit: {reason}") from error
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise ModelError(f"the hub names no commit of {repository}")
    return commit


def read_shape(folder: Path) -> ModelShape:
    """Count parameters from safetensors headers, without loading a weight.

    Raises:
        ModelError: There are no safetensors weights, or a file is not what its name says.
    """
    config = read_config(folder)
    check_config(config, folder / CONFIG)
    files = [folder / name for name in named_weights(folder, config)]
    shapes = {name: shape for file in files for name, shape in tensor_shapes(file).items()}
    if config.get("tie_word_embeddings"):
        shapes.pop("lm_head.weight", None)  # some checkpoints store the embeddings a second time
    counts = {name: math.prod(shape) for name, shape in shapes.items()}
    in_layers = sum(count for name, count in counts.items() if _IN_LAYER.search(name))
    size = sum(file.stat().st_size for file in files)
    text = text_config(config)
    width = _number(text, 0, "word_embed_proj_dim", "hidden_size", "n_embd")
    layers = _number(config, 1, "num_hidden_layers")
    return ModelShape(sum(counts.values()), layers, in_layers, size, width, _number(text, 0, "vocab_size"))


def _number(config: Mapping[str, Any], default: int, *names: str) -> int:
    return next((value for name in names if isinstance(value := config.get(name), int)), default)


def read_vocabulary(folder: Path) -> dict[str, int] | None:
    """String -> id of a folder's fast tokenizer, added tokens included; None where it cannot be told from its files."""
    try:
        tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        own = tokenizer["model"]["vocab"]
        pieces = dict(own) if isinstance(own, dict) else {piece[0]: i for i, piece in enumerate(own)}
        return pieces | {token["content"]: token["id"] for token in tokenizer.get("added_tokens", [])}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
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

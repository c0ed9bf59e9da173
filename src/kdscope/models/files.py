"""The files of a model or an adapter: which are read, and whether they can be what their names say. Without torch.

They may come from anybody. A file that another file names must lie in the model's folder and be safetensors, and the
numbers of a configuration must lie within bounds, before anything is built from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from glob import escape
from pathlib import Path, PureWindowsPath
from typing import Any

from kdscope.core.errors import ModelFileError
from kdscope.models.configuration import (
    CONFIG,
    check_config,
    check_numbers,
    check_own_code,
    leaves,
    read_config,
    read_object,
)
from kdscope.models.headers import tensor_shapes

MODEL_FILES = (
    *("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.tiktoken", "*.py", "*.spm", "*.codes"),
    *("additional_chat_templates/*.jinja", "custom_generate/**/*.py"),
)
"""What is read of every model folder, as patterns; `files_read` adds what its own files name."""
WEIGHTS, ADAPTER_WEIGHTS = "model.safetensors", "adapter_model.safetensors"
ADAPTER_CONFIG, TOKENIZER_CONFIG = "adapter_config.json", "tokenizer_config.json"
INDEX = f"{WEIGHTS}.index.json"
_NOT_OF_ADAPTERS = {
    "megatron_config": "it imports a module by name",
    "layer_replication": "it makes another model of the base",
    "adapters": "it names adapters in other folders",
    "arrow_config": "it names adapters in other folders",
}
# They become part of regular expressions: no groups or braces, so that matching takes a bounded time.
_NAME = re.compile(r"[^*+?(){}\[\]]*([*+?]{1,2}[^*+?(){}\[\]]*){0,2}")


def files_read(folder: Path) -> tuple[str, ...]:
    """Patterns of all files that a model or adapter in this folder is loaded from, relative to it.

    Beside `MODEL_FILES` the weights that an index names, wherever in the folder they lie, and all modules where a
    configuration brings code.

    Raises:
        ModelFileError: A file that tells cannot be read, or names what lies outside the folder.
    """
    patterns = list(MODEL_FILES)
    if (folder / CONFIG).is_file():
        config = read_config(folder)
        patterns += [escape(name) for name in named_weights(folder, config)]
        tokenizer = folder / TOKENIZER_CONFIG
        if "auto_map" in config or (tokenizer.is_file() and "auto_map" in read_object(tokenizer)):
            patterns.append("**/*.py")
    return tuple(patterns)


def named_weights(folder: Path, config: Mapping[str, Any]) -> list[str]:
    """The weight files of a model, relative to its folder: one, or those that its index names.

    Raises:
        ModelFileError: The index cannot be read; a file is no safetensors file or lies outside the folder.
    """
    name = weights_of_config(config, folder / CONFIG)
    if name is None:
        name = next((name for name in (WEIGHTS, INDEX) if (folder / name).is_file()), None)
    if name is None:
        raise ModelFileError(f"{folder} has no {WEIGHTS}")
    return shards_of(read_object(folder / name), folder, name) if name.endswith(".index.json") else [name]


def weights_of_config(config: Mapping[str, Any], file: Path) -> str | None:
    """The file or index of weights that config.json names; None where it leaves that to the usual names.

    Raises:
        ModelFileError: It is no safetensors file, or lies outside the folder.
    """
    name = config.get("transformers_weights")
    if name is None:
        return None
    if not isinstance(name, str) or not name.removesuffix(".index.json").endswith(".safetensors"):
        raise ModelFileError(f"{file}: transformers_weights is {name!r:.80}; weights are *.safetensors")
    _check_inside(name, file)
    return name


def shards_of(index: Mapping[str, Any], folder: Path, name: str) -> list[str]:
    """The files that an index of weights names.

    Args:
        index: Its content.
        folder: The model's.
        name: Of the index.

    Raises:
        ModelFileError: It names no files, or one that is no safetensors file or lies outside the folder.
    """
    places = index.get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(place, str) for place in places.values()):
        raise ModelFileError(f"{folder / name} has no weight_map from weights to files")
    found = sorted(set(places.values()))
    for place in found:
        if not place.endswith(".safetensors"):
            raise ModelFileError(
                f"{folder / name} names {place!r:.80}; weights are read from *.safetensors only, no pickles"
            )
        _check_inside(place, folder / name)
    return found


def _check_inside(name: str, told_by: Path) -> None:
    """Raise where a name leads out of the folder.

    A link that lies in the folder may: the hub's caches have links for weights, and so have people with more than one
    disk. What it leads to is in the identity as any other file.
    """
    path = PureWindowsPath(name)  # takes C: and / for what leads elsewhere
    if path.anchor or ".." in path.parts or "\\" in name or not name.isprintable():
        raise ModelFileError(f"{told_by} names {name!r:.80}, which is not in the folder of the model")


def check_model(folder: Path, *, trusted: bool = False) -> None:
    """Look at everything of a model folder that can be wrong before anything is built from it.

    Args:
        folder: The model's.
        trusted: Whether code in it may run.

    Raises:
        ModelFileError: Names the file, what was found there and what may be there.
    """
    config = read_config(folder)
    check_config(config, folder / CONFIG, trusted=trusted)
    if (folder / ADAPTER_CONFIG).is_file():
        raise ModelFileError(
            f"{folder} holds a model and an adapter ({ADAPTER_CONFIG}); give each a folder of its own, or remove the "
            "files of the one that is not meant"
        )
    if shard := next(folder.glob("shard-*-model-*.safetensors"), None):
        raise ModelFileError(f"{shard} is part of a distributed checkpoint; save the whole model with save_pretrained")
    if (file := folder / TOKENIZER_CONFIG).is_file():
        check_tokenizer(file, trusted=trusted)
    for name in named_weights(folder, config):
        tensor_shapes(folder / name)


def check_adapter(folder: Path) -> dict[str, Any]:
    """Look at everything of an adapter's folder that can be wrong before anything is built from it.

    Returns:
        adapter_config.json.

    Raises:
        ModelFileError: Names the file, what was found there and what may be there.
    """
    file = folder / ADAPTER_CONFIG
    config = read_object(file)
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise ModelFileError(f"{folder} has no {ADAPTER_WEIGHTS}; pickled adapters are refused")
    tensor_shapes(folder / ADAPTER_WEIGHTS)
    _check_adapter_config(config, file)
    return config


def _check_adapter_config(config: Mapping[str, Any], file: Path) -> None:
    ranks = config.get("rank_pattern")
    check_numbers(config, file, finite=True)
    check_numbers({"rank": list(ranks.values()) if isinstance(ranks, dict) else []}, file)
    for key, why in _NOT_OF_ADAPTERS.items():
        if config.get(key) not in (None, [], {}, False):
            raise ModelFileError(f"{file}: {key} is not supported: {why}")
    for key in ("modules_to_save", "layers_pattern", "rank_pattern", "alpha_pattern"):
        wrong = [name for name in _names(config.get(key)) if not isinstance(name, str) or not _NAME.fullmatch(name)]
        if wrong:
            raise ModelFileError(f"{file}: {key} has {wrong[0]!r:.80}; it takes names of modules, with two * at most")
    for key in ("target_modules", "exclude_modules"):
        if not all(isinstance(name, str) for name in _names(config.get(key))):
            raise ModelFileError(f"{file}: {key} takes names of modules, or one pattern")


def _names(value: object) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | dict) else [value]


def check_tokenizer(file: Path, *, trusted: bool) -> None:
    """Look at tokenizer_config.json.

    Raises:
        ModelFileError: It is no JSON object, or names files elsewhere or code of another repository.
    """
    config = read_object(file)
    for _, _, name in leaves(config.get("fast_tokenizer_files", [])):
        if not isinstance(name, str) or Path(name).name != name:
            raise ModelFileError(
                f"{file}: fast_tokenizer_files names {name!r:.80}, which is not in the folder of the model"
            )
    if trusted:
        check_own_code(config, file)

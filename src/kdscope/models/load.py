"""Loading causal LMs and tokenizers (safetensors only, one precision, one device), and which of their weights train."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import cached_file, logging

from kdscope.core.errors import MachineError, ModelError, ModelFileError, first_line
from kdscope.models.adapters import merge_adapter, quiet_peft
from kdscope.models.configuration import CONFIG, check_config, is_whole, read_config, read_object, some_of
from kdscope.models.files import (
    ADAPTER_CONFIG,
    INDEX,
    TOKENIZER_CONFIG,
    check_adapter,
    check_model,
    check_tokenizer,
    named_weights,
    shards_of,
    weights_of_config,
)
from kdscope.models.headers import tensor_shapes
from kdscope.models.source import ModelPlace, spaced_layers

# Entries of a configuration that are lists for another reason than having one value a layer.
_NOT_PER_LAYER = frozenset({"architectures", "bos_token_id", "eos_token_id", "pad_token_id"})

# Of a model that sees or hears too, the parts that no causal LM has.
_OTHER_PART = re.compile(
    r"(^|\.)(vision|visual|image|audio|speech|video|multi_modal|mm_|embed_vision|embed_audio|connector|projector)"
)
# Masks and tables of positions, which models make themselves now and older files hold; modules that predict several
# tokens ahead (mtp), which stand beside a causal LM.
_LEFT_OUT = re.compile(
    r"(\.inv_freq|(attn|attention)\.(bias|masked_bias|causal_mask)|(^|\.)position_ids)$|(^|\.)mtp[._]"
)
_UNTOLD_WEIGHTS = 2**24
MAX_BUFFER_BYTES = 2**33
"""Of tables that a model makes itself, such as masks of all positions."""

# Architectures whose `out_proj` takes no adapter, by peft's own rule.
_MAMBA = frozenset({"falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h"})

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype of a study's dtype name."""
    return _DTYPES[name]


def check_device(device: str, dtype: str) -> torch.device:
    """The torch device, or an error that says what this machine lacks.

    Raises:
        MachineError: The device is absent, or cannot compute in bfloat16 although that was asked.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise MachineError("this run wants CUDA, but torch sees no usable device; set runtime.device: cpu")
    if device == "mps" and not torch.backends.mps.is_available():
        raise MachineError("this run wants MPS, but torch sees no usable device; set runtime.device: cpu")
    if device == "cuda" and dtype == "bfloat16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise MachineError("this GPU does not compute in bfloat16; set runtime.dtype: float32")
    return torch.device(device)


def load_tokenizer(place: ModelPlace) -> PreTrainedTokenizerBase:
    """The tokenizer of a model; padding falls back to the end token, which masks never confuse with it.

    Raises:
        ModelError: No tokenizer, or one without an end token.
    """
    try:
        with _quietly():
            if place.trust_remote_code:
                check_place(place)
            tokenizer = AutoTokenizer.from_pretrained(
                place.location, revision=place.revision, trust_remote_code=place.trust_remote_code
            )
            tokenizer("One text is tried, as some settings are read no sooner.")
    except ModelFileError:
        raise
    except Exception as error:  # a broken tokenizer.json raises whatever its parser stumbles over
        raise ModelFileError(f"no usable tokenizer in {place.location}: {first_line(error)}") from error
    if tokenizer.eos_token_id is None:
        raise ModelFileError(f"the tokenizer of {place.location} has no end-of-sequence token")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(place: ModelPlace, dtype: str, device: str) -> PreTrainedModel:
    """A causal LM in evaluation mode; an adapter (if any) is merged in float32, then the weights are rounded once.

    Raises:
        ModelError: Weights or an adapter that cannot be read, or are not those of the model, all of them and no others;
            pickled weights are refused.
        MachineError: The device is not there.
    """
    target = check_device(device, dtype)
    try:
        with _quietly():
            config = check_place(place)
            _check_sizes(place, config)
            model, found = AutoModelForCausalLM.from_pretrained(
                place.location,
                revision=place.revision,
                trust_remote_code=place.trust_remote_code,
                dtype=torch_dtype(dtype) if place.adapter is None else torch.float32,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # they are told below
                output_loading_info=True,
            )
    except (ModelError, MemoryError):
        raise
    except Exception as error:  # whatever a library stumbles over in files that may be anybody's
        raise ModelFileError(f"cannot load a causal LM from {place.location}: {first_line(error)}") from error
    _check_weights(place, found, "text_config" in config)
    if place.adapter is not None:
        model = merge_adapter(model, Path(place.adapter), torch_dtype(dtype))
    # A checkpoint's own sampling defaults would silently change how it is evaluated.
    model.generation_config = GenerationConfig(eos_token_id=_end_ids(place, model))
    model.to(target)
    model.eval()
    return model


def _end_ids(place: ModelPlace, model: PreTrainedModel) -> int | list[int] | None:
    """The end tokens of the checkpoint, which a file without a check may give as anything."""
    told: int | list[int] | None = model.generation_config.eos_token_id
    for token in told if isinstance(told, list) else [told]:
        if token is not None and not (is_whole(token) and -1 <= token < 2**31):
            raise ModelFileError(f"{place.location}: eos_token_id is {told!r:.80}; it is a token id, or a list of them")
    return told


def prune_depth(model: PreTrainedModel, keep: int | tuple[int, ...]) -> PreTrainedModel:
    """Keep some decoder layers, in place; the configuration follows.

    Raises:
        ModelError: The model's layers cannot be found, or fewer exist than asked for.
    """
    decoder = model.get_decoder()
    layers = getattr(decoder, "layers", None)
    if not isinstance(layers, torch.nn.ModuleList):
        raise ModelError(f"depth pruning needs a decoder with .layers; {type(model).__name__} has none")
    kept = spaced_layers(len(layers), keep)
    if len(set(kept)) != len(kept) or max(kept) >= len(layers):
        raise ModelError(
            f"keep_layers asks for {len(kept)} layers up to index {max(kept)}, the model has {len(layers)}"
        )
    decoder.layers = torch.nn.ModuleList(layers[i] for i in kept)
    for index, layer in enumerate(decoder.layers):
        _renumber(layer, index)
    _cut_config(model.config.get_text_config(), kept, len(layers))
    return model


def save_model(model: Any, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """An ordinary Hugging Face (or peft adapter) folder, safetensors only."""
    with quiet_peft():
        model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def check_place(place: ModelPlace) -> Mapping[str, Any]:
    """Look at the files of a model, and of its adapter, before anything is built; of a hub model at those that tell.

    Returns:
        config.json.

    Raises:
        ModelError: Names the file, what was found there and what may be there.
    """
    folder = Path(place.location)
    if place.adapter is not None:
        check_adapter(Path(place.adapter))
    if folder.is_dir():
        check_model(folder, trusted=place.trust_remote_code)
        return read_config(folder)
    if (file := _hub_file(place, CONFIG)) is None:
        raise ModelFileError(f"{place.location} has no {CONFIG}")
    config = read_object(file)
    check_config(config, file, trusted=place.trust_remote_code)
    if _hub_file(place, ADAPTER_CONFIG) is not None:
        raise ModelFileError(
            f"{place.location} holds an adapter ({ADAPTER_CONFIG}); its weights are a model and an adapter"
        )
    if (tokenizer := _hub_file(place, TOKENIZER_CONFIG)) is not None:
        check_tokenizer(tokenizer, trusted=place.trust_remote_code)
    named = weights_of_config(config, file) or INDEX
    if named.endswith(".index.json") and (index := _hub_file(place, named)) is not None:
        shards_of(read_object(index), index.parent, index.name)
    return config


def _hub_file(place: ModelPlace, name: str) -> Path | None:
    try:
        found = cached_file(place.location, name, revision=place.revision, _raise_exceptions_for_missing_entries=False)
    except OSError as error:
        raise ModelFileError(f"cannot load {name} of {place.location}: {first_line(error)}") from error
    return None if found is None else Path(found)


@contextmanager
def _quietly() -> Iterator[None]:
    """No progress bars, a run has its own; no report of keys, which become errors."""
    logging.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _check_sizes(place: ModelPlace, config: Mapping[str, Any]) -> None:
    """Refuse a configuration of far more weights than the files hold, which would be made up first and missed then."""
    if not Path(place.location).is_dir() or config.get("quantization_config") is not None:
        return
    trust = {"trust_remote_code": place.trust_remote_code}
    with torch.device("meta"):
        built = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(place.location, **trust), **trust)
    folder = Path(place.location)
    files = [folder / name for name in named_weights(folder, config)]
    held = sum(math.prod(shape) for file in files for shape in tensor_shapes(file).values())
    weights = sum(weight.numel() for weight in built.parameters())
    if weights > 2 * held + _UNTOLD_WEIGHTS:
        raise ModelFileError(f"{folder / CONFIG} is of a model of {weights:,} weights; its files hold {held:,}")
    buffers = sum(buffer.numel() * buffer.element_size() for buffer in built.buffers())
    if buffers > MAX_BUFFER_BYTES:
        raise ModelFileError(f"{folder / CONFIG} asks for tables of {buffers:,} bytes; at most {MAX_BUFFER_BYTES:,}")


def _check_weights(place: ModelPlace, found: Mapping[str, Any], composite: bool) -> None:
    # transformers fills what a checkpoint lacks with random numbers, leaves out what it cannot place, and goes on.
    placeless = {key for key in found["unexpected_keys"] if not _LEFT_OUT.search(key)}
    unexpected = {key for key in placeless if not (composite and _OTHER_PART.search(key))}
    other = {f"{key} {list(here)}, not {list(wanted)}" for key, here, wanted in found["mismatched_keys"]}
    for keys, what in (
        (found["missing_keys"], "lacks {} of the model's weights"),
        (unexpected, "has {} weights that are not of the model its config.json describes"),
        (other, "has {} weights of another shape than its config.json describes"),
    ):
        if keys:
            raise ModelFileError(f"{place.location} {what.format(len(keys))} ({some_of(keys)})")


def _renumber(layer: torch.nn.Module, index: int) -> None:
    # Attention modules address the key-value cache by their layer index.
    for module in layer.modules():
        if hasattr(module, "layer_idx"):
            module.layer_idx = index  # type: ignore[assignment]


def _cut_config(config: Any, kept: tuple[int, ...], total: int) -> None:
    # Such as layer_types, or SmolLM3's no_rope_layers: a layer must take its own entry along.
    lists = {name: value for name, value in vars(config).items() if isinstance(value, list) and len(value) == total}
    config.num_hidden_layers = len(kept)
    for name in lists.keys() - _NOT_PER_LAYER:
        setattr(config, name, [lists[name][i] for i in kept])


@dataclass(frozen=True)
class TrainableModel:
    """A model ready to train.

    Attributes:
        network: What is saved: a peft model, or the plain model.
        base: The causal LM inside, adapters active; what is run.
        is_adapter: Whether only an adapter trains.
    """

    network: torch.nn.Module
    base: PreTrainedModel
    is_adapter: bool

    def trainable(self) -> dict[str, torch.nn.Parameter]:
        """The parameters that train, by name, in a stable order."""
        return {name: p for name, p in self.network.named_parameters() if p.requires_grad}


def add_lora(
    model: PreTrainedModel,
    *,
    rank: int,
    alpha: float,
    dropout: float,
    target_modules: str | Sequence[str],
    seed: int,
) -> TrainableModel:
    """Put a LoRA adapter (Hu et al. 2022) on a frozen model; the adapter itself is float32.

    Raises:
        ModelError: No module of the model matches `target_modules`.
    """
    from peft import LoraConfig, get_peft_model

    modules = target_modules if isinstance(target_modules, str) else list(target_modules)
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=modules, bias="none", task_type="CAUSAL_LM"
    )
    if modules == "all-linear":
        config.exclude_modules = _not_adaptable(model) or None
    torch.manual_seed(seed)
    try:
        with quiet_peft():
            network = get_peft_model(model, config)
    except ValueError as error:
        raise ModelError(f"LoRA target_modules {modules}: {error}") from error
    return TrainableModel(network, network.get_base_model(), is_adapter=True)


def _not_adaptable(model: PreTrainedModel) -> list[str]:
    """Linear layers that compute something else too: a router's choice, a product by groups, or Mamba's projection.

    Mamba's kernel reads the weight of `out_proj` past an adapter, so that peft refuses one there.
    """
    own = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and type(module).forward is not torch.nn.Linear.forward
        and type(module).__module__ == type(model).__module__
        and not _is_linear(module)
    ]
    fused = model.config.model_type in _MAMBA
    return own + [name for name, _ in model.named_modules() if fused and name.endswith(".out_proj")]


@torch.no_grad()
def _is_linear(module: torch.nn.Linear) -> bool:
    given = module.weight.new_ones(1, module.in_features)
    try:
        made, expected = module(given), torch.nn.functional.linear(given, module.weight, module.bias)
        return bool(torch.allclose(made, expected, rtol=0.01, atol=1e-3))
    except Exception:  # it takes or gives something else
        return False


def all_weights(model: PreTrainedModel) -> TrainableModel:
    """Train every weight, kept in float32 whatever precision the forward pass runs in."""
    network = model.float().requires_grad_(True)
    return TrainableModel(network, network, is_adapter=False)

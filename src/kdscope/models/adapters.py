"""Adapters that peft saved: put on a model whole or not at all, and merged into it without changing what it says."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute
import torch
from transformers import PreTrainedModel

from kdscope.core.errors import MachineError, ModelError, ModelFileError, first_line
from kdscope.models.configuration import some_of
from kdscope.models.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, check_adapter
from kdscope.models.forward import check_numbers
from kdscope.models.headers import tensor_shapes

PROBES = 8
"""Tokens that the merged model is compared on."""
MERGE_TOLERANCE = 1e-3
"""Of the largest logit: what float32 may round differently."""
_PREFIX = "base_model.model."


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Silence warnings of peft about itself, and those of what is checked here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        warnings.filterwarnings(
            "ignore", message=".*(tie_word_embeddings|no longer tied|missing adapter keys|save_embedding_layers).*"
        )
        yield


def merge_adapter(model: PreTrainedModel, folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """Merge an adapter into a float32 model, then round the weights once.

    A head that shares its weights with the embeddings gets its own where the adapter is on one of the two, as merging
    would change the other with it. What the merged model says is compared with what it said with the adapter beside it.

    Raises:
        ModelFileError: The adapter cannot be read, does not fit the model, or cannot be merged.
    """
    with quiet_peft():
        try:
            network = _with_adapter(model, folder)
            merged = _merged(network, folder)
        except (ModelFileError, MachineError, MemoryError):
            raise
        except Exception as error:  # whatever peft stumbles over in a file that may be anybody's
            raise ModelFileError(f"cannot put the adapter in {folder} on this model: {first_line(error)}") from error
    # Weights only: `.to(dtype)` would round the rotary frequencies too, which no loaded model does.
    for parameter in merged.parameters():
        parameter.data = parameter.data.to(dtype)
    return merged


def _with_adapter(model: PreTrainedModel, folder: Path) -> Any:
    from peft import PeftConfig, PeftModel

    told = check_adapter(folder)
    names = [name for name, _ in model.named_modules()]
    config = PeftConfig.from_pretrained(str(folder))
    if config.is_prompt_learning or config.is_adaption_prompt:
        raise ModelFileError(
            f"{folder / ADAPTER_CONFIG}: a {config.peft_type.value} adapter cannot be merged into a model"
        )
    for key in ("target_modules", "exclude_modules"):
        # A list is compared name by name; one text is a pattern, which peft would match without a bound.
        if isinstance(pattern := told.get(key), str) and pattern != "all-linear":
            setattr(config, key, matching(pattern, names, folder / ADAPTER_CONFIG, key))
    _check_keys(folder, [], _base_weights(model, config, folder))
    config.inference_mode = True
    # Nothing is allocated for weights that the file does not hold: what it lacks stays on the meta device. Where the
    # adapter begins as a part of the base (PiSSA, OLoRA), that part must be computed and taken out of the base again.
    lazily = not isinstance(told.get("init_lora_weights"), str)
    network = PeftModel(model, config, low_cpu_mem_usage=lazily)
    found = network.load_adapter(str(folder), "default", torch_device="cpu", low_cpu_mem_usage=lazily)
    _check_keys(folder, sorted(found.missing_keys), sorted(found.unexpected_keys))
    _check_keys(folder, [name for name, weight in network.named_parameters() if weight.is_meta], [])
    for weight in network.parameters():
        weight.data = weight.data.float()
    return network.eval()


def matching(pattern: str, names: list[str], file: Path, key: str) -> list[str]:
    """The names that a regular expression matches whole, in a time that is linear in their length.

    Raises:
        ModelFileError: It is not one, needs backtracking (lookaround, back references), or names no target.
    """
    try:
        matched = compute.match_substring_regex(pa.array(names, pa.string()), f"^(?:{pattern})$")
    except pa.ArrowInvalid as error:
        raise ModelFileError(
            f"{file}: {key} has the pattern {pattern!r:.80}, which cannot be matched in linear time "
            f"({first_line(error)}); give a list of modules"
        ) from None
    found = [name for name, is_matched in zip(names, matched.to_pylist(), strict=True) if is_matched]
    if not found and key == "target_modules":
        raise ModelFileError(f"{file}: {key} has the pattern {pattern!r:.80}, which no module of this model matches")
    return found


def _base_weights(model: PreTrainedModel, config: Any, folder: Path) -> list[str]:
    """Weights of the base that stand in the adapter's file, and would replace it, though the adapter trains no such."""
    own = {f"{name}.weight" for name, module in model.named_modules() if module in _ends(model)}
    for name, _ in model.named_parameters():
        is_bias = name.endswith(".bias") and getattr(config, "bias", "none") != "none"
        if is_bias or any(f".{part}." in f".{name}" for part in getattr(config, "modules_to_save", None) or ()):
            own.add(name)
    foreign = {name for name, _ in model.named_parameters()} - own
    keys = tensor_shapes(folder / ADAPTER_WEIGHTS)
    return sorted(key for key in keys if key.removeprefix(_PREFIX).replace(".base_layer.", ".") in foreign)


def _ends(network: Any) -> list[Any]:
    return [network.get_input_embeddings(), network.get_output_embeddings()]


def _check_keys(folder: Path, missing: list[str], unexpected: list[str]) -> None:
    for what, keys in (("lacks", missing), ("has, and this model has no place for,", unexpected)):
        if keys:
            raise ModelFileError(f"the adapter in {folder} {what} {len(keys)} weights ({some_of(keys)})")


def _merged(network: Any, folder: Path) -> PreTrainedModel:
    beside = _probe_logits(network)
    try:
        check_numbers(beside)
    except ModelError as error:
        raise ModelFileError(f"with the adapter in {folder} {error}") from None
    _untie(network)
    merged: PreTrainedModel = network.merge_and_unload()
    inside = _probe_logits(merged)
    ruled_out = beside.isneginf() & inside.isneginf()
    largest = beside.masked_fill(ruled_out, 0.0).abs().max().item()
    apart = (inside - beside).masked_fill(ruled_out, 0.0).abs().max().item()
    if not apart <= MERGE_TOLERANCE * max(1.0, largest):
        raise ModelFileError(
            f"merging the adapter in {folder} changes what the model says: logits differ by {apart:.2g}, of at most "
            f"{largest:.2g}"
        )
    return merged


@torch.no_grad()
def _probe_logits(network: Any) -> torch.Tensor:
    """Logits of a few tokens from all over the vocabulary, [1, PROBES, V]."""
    rows = network.get_input_embeddings().weight.shape[0]
    ids = torch.linspace(0, rows - 1, PROBES).long().unsqueeze(0)
    logits: torch.Tensor = network(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    return logits.float()


def _untie(network: Any) -> None:
    """Give the head weights of its own if the adapter is on it or on the embeddings, and both share theirs."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    ends = _ends(network)
    bases = [end.get_base_layer() if isinstance(end, BaseTunerLayer) else end for end in ends]
    if None in bases or bases[0].weight is not bases[1].weight or not any(isinstance(e, BaseTunerLayer) for e in ends):
        return
    bases[1].weight = torch.nn.Parameter(bases[1].weight.detach().clone(), requires_grad=False)
    config = network.get_base_model().config
    for part in (config, config.get_text_config()):
        part.tie_word_embeddings = False

"""Which weights train: a LoRA adapter through peft, or all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from kdscope.core.errors import ModelError
from kdscope.models.load import quiet_peft


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
    torch.manual_seed(seed)
    try:
        with quiet_peft():
            network = get_peft_model(model, config)
    except ValueError as error:
        raise ModelError(f"LoRA target_modules {modules}: {error}") from error
    return TrainableModel(network, network.get_base_model(), is_adapter=True)


def all_weights(model: PreTrainedModel) -> TrainableModel:
    """Train every weight, kept in float32 whatever precision the forward pass runs in."""
    network = model.float().requires_grad_(True)
    return TrainableModel(network, network, is_adapter=False)

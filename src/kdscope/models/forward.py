"""A language model in two parts: the decoder, run once on every token, and the head, applied where it is asked for.

A model's own forward pass makes logits for every position, and its head is its most expensive layer; losses need the
logits of response tokens, and never all of them at once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kdscope.core.errors import ModelError, first_line
from kdscope.models.limits import forget_lengths, rotary_switch
from kdscope.models.source import SOFTCAPS
from kdscope.objectives import Head

NOT_NUMBERS = "the model's logits are not numbers: its weights or its activations overflowed"


class SelectedStates(torch.nn.Module):
    """A causal LM that returns its last hidden states [N, D] at N chosen positions."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self._remembers_lengths = rotary_switch(model) is not None

    def forward(
        self,
        input_ids: Tensor,
        selected: Tensor,
        *,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        lengths: tuple[int, ...] | None = None,
    ) -> Tensor:
        """Hidden states after the final norm at the chosen positions [N, D].

        Args:
            input_ids: Token ids: padded on the right [B, L], or packed [1, L].
            selected: Chosen positions, in the flattened [B * L]; [N].
            attention_mask: Of a padded batch: 1 for real tokens [B, L].
            position_ids: Of a packed batch: position of each token in its own sequence [1, L].
            lengths: Of a packed batch: tokens of each sequence; the model must attend to packed sequences
                (`models.packing`).
        """
        inputs: dict[str, Any] = (
            {"attention_mask": attention_mask}
            if lengths is None
            else {"position_ids": position_ids, "lengths": lengths}
        )
        if self._remembers_lengths:
            forget_lengths(self.model)
        states: Tensor = decoder_of(self.model)(input_ids=input_ids, use_cache=False, **inputs).last_hidden_state
        return states.flatten(0, 1)[selected]


def decoder_of(model: PreTrainedModel) -> torch.nn.Module:
    """The part of a model that makes hidden states.

    transformers takes all of Llama 4's text model for it, and the head of ModernBERT's.
    """
    decoder: torch.nn.Module = model.get_decoder()
    return model.get_submodule("model") if decoder is model or isinstance(decoder, torch.nn.Linear) else decoder


def head_of(model: PreTrainedModel, dtype: torch.dtype | None = None) -> Head:
    """The output head, with what the model does to its logits: they are cap(scale * (W h + b)).

    Gemma caps (cap * tanh(z / cap)), Cohere multiplies by `logit_scale`, Granite divides by `logits_scaling`. Where the
    head trains, its weight carries the gradient; an adapter on it is added to the weight.

    Args:
        model: The model.
        dtype: Precision of the multiplication; the weight's own where None.

    Raises:
        ModelError: The head is not a linear layer, or has an adapter with dropout.
    """
    layer = model.get_output_embeddings()
    weight, bias = _effective_weight(layer), getattr(layer, "bias", None)
    config = model.config.get_text_config()
    # Of MPT's scale, which may be a name (inv_sqrt_d_model), transformers makes no use.
    scale = None if config.model_type == "mpt" else getattr(config, "logit_scale", None)
    divisor = getattr(config, "logits_scaling", None)
    return Head(
        weight=weight if dtype is None else weight.to(dtype),
        bias=bias if dtype is None or bias is None else bias.to(dtype),
        scale=(1.0 if scale is None else float(scale)) / (1.0 if divisor is None else float(divisor)),
        softcap=next((cap for name in SOFTCAPS if (cap := getattr(config, name, None)) is not None), None),
    )


def _effective_weight(layer: Any) -> Tensor:
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        raise ModelError(f"the output head is a {type(layer).__name__}, not a linear layer")
    for adapter in getattr(layer, "active_adapters", ()):
        if getattr(layer.lora_dropout[adapter], "p", 0.0) > 0:
            raise ModelError("LoRA on the output head works without dropout only; leave lm_head out of target_modules")
        weight = weight + layer.get_delta_weight(adapter)
    return weight


def apply_head(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Logits [N, V], at least float32, of hidden states [N, D]."""
    return head_of(model).logits(hidden)


def check_numbers(values: Tensor) -> None:
    """Refuse hidden states, or logits of which none is finite, that are not numbers.

    Args:
        values: [..., D]; single entries may be -inf, as logits of tokens that a model rules out.

    Raises:
        ModelError: The largest of some row is NaN or infinite.
    """
    if values.numel() and not bool(values.amax(-1).isfinite().all()):
        raise ModelError(NOT_NUMBERS)


@torch.no_grad()
def check_head(model: PreTrainedModel) -> None:
    """Refuse a model whose own logits are not decoder + head as computed here.

    Raises:
        ModelError: The model does something more between its decoder and its logits, or they are not numbers.
    """
    device = next(model.parameters()).device
    ids = torch.arange(1, 9, device=device).unsqueeze(0) % model.config.get_text_config().vocab_size
    mask = torch.ones_like(ids)
    try:
        with torch.autocast(device.type, enabled=False):
            own = model(input_ids=ids, attention_mask=mask).logits[0].float()
            hidden = decoder_of(model)(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state[0]
            ours = apply_head(model, hidden).float()
    except (TypeError, AttributeError, LookupError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        told = f"{type(model).__name__} does not run as a decoder and a head: {first_line(error)}"
        raise ModelError(told) from error
    check_numbers(own)
    tolerance = 1e-4 if next(model.parameters()).dtype == torch.float32 else 0.05
    if not torch.allclose(own, ours, rtol=tolerance, atol=tolerance * own.abs().max().item()):
        raise ModelError(f"{type(model).__name__} changes its logits in a way kdscope does not know; it is refused")

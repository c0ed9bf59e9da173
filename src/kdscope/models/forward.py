"""Logits at chosen positions only: the head of a language model is its most expensive layer.

A model's own forward pass makes logits for every position; losses need those of response tokens. Here the decoder
runs once and the head only where it is asked for, with the head's own scale and soft-capping.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kdscope.errors import ModelError


class SelectedLogits(torch.nn.Module):
    """A causal LM that returns logits [N, V] at N chosen (row, position) pairs."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, rows: Tensor, positions: Tensor) -> Tensor:
        """Logits that predict the token after each chosen position.

        Args:
            input_ids: Token ids [B, L], padded on the right.
            attention_mask: 1 for real tokens [B, L].
            rows: Row of each chosen position [N].
            positions: Position within its row [N].

        Returns:
            Logits [N, V] in the precision the model runs in.
        """
        decoder = self.model.get_decoder()
        hidden = decoder(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
        return apply_head(self.model, hidden[rows, positions])


def apply_head(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """The output head on hidden states [N, D] -> logits [N, V], with the model's scale and soft-capping.

    Gemma caps (cap * tanh(z / cap)), Cohere multiplies by `logit_scale`, Granite divides by `logits_scaling`.
    """
    logits: Tensor = model.get_output_embeddings()(hidden)
    config = model.config.get_text_config()
    scale = getattr(config, "logit_scale", None)
    if scale is not None:
        logits = logits * scale
    divisor = getattr(config, "logits_scaling", None)
    if divisor is not None:
        logits = logits / divisor
    cap = getattr(config, "final_logit_softcapping", None)
    return logits if cap is None else cap * torch.tanh(logits / cap)


@torch.no_grad()
def check_head(model: PreTrainedModel) -> None:
    """Refuse a model whose own logits are not decoder + head as computed here.

    Raises:
        ModelError: The model does something more between its decoder and its logits.
    """
    device = next(model.parameters()).device
    ids = torch.arange(1, 9, device=device).unsqueeze(0) % model.config.get_text_config().vocab_size
    mask = torch.ones_like(ids)
    positions = torch.arange(8, device=device)
    with torch.autocast(device.type, enabled=False):
        own = model(input_ids=ids, attention_mask=mask).logits[0].float()
        ours = SelectedLogits(model)(ids, mask, torch.zeros_like(positions), positions).float()
    tolerance = 1e-4 if next(model.parameters()).dtype == torch.float32 else 0.05
    if not torch.allclose(own, ours, rtol=tolerance, atol=tolerance * own.abs().max().item()):
        raise ModelError(f"{type(model).__name__} changes its logits in a way kdscope does not know; it is refused")

"""Tiny causal LMs with random weights, one of each kind of head and layer that matters here."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

VOCABULARY = 64

_SHARED = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 5,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "initializer_range": 0.3,
}
_OPT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "word_embed_proj_dim": 16,
    "ffn_dim": 48,
    "num_hidden_layers": 5,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "init_std": 0.3,
}
_GPT2 = {
    "vocab_size": VOCABULARY,
    "n_embd": 32,
    "n_layer": 5,
    "n_head": 2,
    "n_positions": 64,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "initializer_range": 0.3,
}
_KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", "LlamaForCausalLM", _SHARED),
    "gemma2": (
        "Gemma2Config",
        "Gemma2ForCausalLM",
        _SHARED | {"head_dim": 16, "final_logit_softcapping": 2.0, "sliding_window": 4},
    ),
    "granite": ("GraniteConfig", "GraniteForCausalLM", _SHARED | {"logits_scaling": 7.0}),
    "cohere": ("CohereConfig", "CohereForCausalLM", _SHARED | {"logit_scale": 0.3}),
    "qwen2": (
        "Qwen2Config",
        "Qwen2ForCausalLM",
        _SHARED | {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 2},
    ),
    "smollm3": ("SmolLM3Config", "SmolLM3ForCausalLM", _SHARED),
    "opt": ("OPTConfig", "OPTForCausalLM", _OPT),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel", _GPT2),
}


def tiny(kind: str, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A model of this kind in evaluation mode."""
    config_name, model_name, values = _KINDS[kind]
    config = getattr(transformers, config_name)(**values | changes)
    torch.manual_seed(seed)
    model: PreTrainedModel = getattr(transformers, model_name)(config)
    model.eval()
    return model


def some_ids(*shape: int, seed: int = 0) -> torch.Tensor:
    """Random token ids, neither padding nor end."""
    return torch.randint(2, VOCABULARY, shape, generator=torch.Generator().manual_seed(seed))

"""Every architecture of causal LM that transformers has, built tiny from its configuration, with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

VOCABULARY = 264
"""Rows of the embeddings: a few more than `builders.make_tokenizer` has tokens."""

# By whatever name a configuration has it, the same tiny size.
_SIZES: dict[int, tuple[str, ...]] = {
    2: (
        *("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers"),
        *("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"),
        *("encoder_attention_heads", "linear_num_key_heads", "linear_num_value_heads", "index_n_heads"),
        *("num_experts_per_tok", "num_experts_per_token", "mamba_expand", "linear_num_heads"),
    ),
    4: ("num_experts", "num_local_experts", "n_routed_experts", "mamba_n_heads", "mamba_num_heads", "index_topk"),
    8: (
        *("head_dim", "dim_head", "kv_lora_rank", "q_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"),
        *("linear_key_head_dim", "linear_value_head_dim", "mamba_d_head", "mamba_head_dim", "mamba_d_state"),
        *("state_size", "ssm_state_size", "index_head_dim", "hidden_size_per_layer_input", "sliding_window"),
        *("linear_head_dim", "swa_head_dim"),
    ),
    16: (
        *("hidden_size", "n_embd", "d_model", "word_embed_proj_dim", "embedding_size", "embed_dim", "dim_model"),
        *("moe_intermediate_size", "shared_expert_intermediate_size", "qk_head_dim", "attention_hidden_size"),
        *("shared_experts_intermediate_size", "input_embedding_size", "output_embedding_size"),
    ),
    32: ("intermediate_size", "ffn_dim", "decoder_ffn_dim", "encoder_ffn_dim", "d_ff", "dff", "d_inner", "dim_ff"),
    512: ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"),
    VOCABULARY: ("vocab_size", "vocab_size_per_layer_input"),
}
_VALUES: dict[str, Any] = {
    **{name: size for size, names in _SIZES.items() for name in names},
    **dict.fromkeys(("num_key_value_heads", "n_group", "topk_group", "mamba_n_groups", "n_groups"), 1),
    **dict.fromkeys(("n_shared_experts", "num_shared_experts", "first_k_dense_replace", "first_k_dense"), 1),
    **{"bos_token_id": 0, "eos_token_id": 256, "pad_token_id": 257, "rotary_dim": 4, "is_decoder": True},
    **dict.fromkeys(("initializer_range", "init_std"), 0.1),
}
_LINEAR_FIRST = ["linear_attention", "full_attention"]
# What an architecture needs beside that, such as sizes that depend on each other.
_OWN: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "bailing_hybrid": {"n_group": 1, "topk_group": 1},
    "codegen": {"n_head": 4, "n_embd": 32, "rotary_dim": 4},
    "diffllama": {"num_key_value_heads": 2},
    "falcon_h1": {"mamba_d_ssm": 32},
    "gemma3n": {"num_kv_shared_layers": 0},
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granitemoehybrid": {"layer_types": _LINEAR_FIRST, "num_hidden_layers": 2},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2_moe": {"layer_types": ["full_attention", "full_attention"]},
    "mamba2": {"num_heads": 4},
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {"axial_pos_embds": False},
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
    "zaya": {"num_experts_per_tok": 1},
}

CANNOT_BE_BUILT: dict[str, str] = {
    "blt": "reads bytes in patches that a second model cuts, whose tables take 12 GB at any size",
    "cohere_compass_text": "its default configuration has no rotary parameters for its layers",
    "dbrx": "its default configuration has no rotary parameters",
    "emu3": "its text model is no causal LM by itself",
    "gemma4_assistant": "drafts tokens for another model, whose keys and values it reads",
    "gemma4_unified_assistant": "drafts tokens for another model, whose keys and values it reads",
    "git": "brings a vision tower of 86 million parameters that a text configuration does not shrink",
    "mllama": "its text model is no causal LM by itself",
    "musicgen": "continues audio codes, not text",
    "musicgen_melody": "continues audio codes, not text",
    "phi4_multimodal": "brings vision and audio towers of 870 million parameters that a text configuration keeps",
    "qwen4_exp": "its default configuration lacks sizes of its n-gram tables",
    "qwen4_exp_text": "its default configuration lacks sizes of its n-gram tables",
    "xlstm": "its states have another shape than its own code expects where heads are this small",
    "zamba": "layers share weights by patterns that two layers cannot have",
    "zamba2": "layers share weights by patterns that two layers cannot have",
}
"""Architectures that are not in the zoo, and why."""

ARCHITECTURES = tuple(sorted(set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - set(CANNOT_BE_BUILT)))
"""Those that are, by their `model_type`."""


def tiny_config(model_type: str, **changes: Any) -> PreTrainedConfig:
    """The text configuration of an architecture: width 16, a layer of each kind it has and at least two."""
    default = CONFIG_MAPPING[model_type]().get_text_config()
    known = set(default.to_dict())
    values = {name: value for name, value in _VALUES.items() if name in known}
    if "kv_lora_rank" in known:  # every head has keys and values of its own
        values["num_key_value_heads"] = 2
    if kinds := list(dict.fromkeys(default.to_dict().get("layer_types") or ())):
        values["layer_types"] = kinds * (2 if len(kinds) == 1 else 1)
        values["num_hidden_layers"] = len(values["layer_types"])
    return type(default)(**values | _OWN.get(model_type, {}) | changes)


def tiny_model(model_type: str, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A model of an architecture, in evaluation mode."""
    with _seeded(seed):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(tiny_config(model_type, **changes))
    return model.eval()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield

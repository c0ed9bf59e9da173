"""What a model cannot read: longer texts than it has positions for, ids without a row; and what it reads only alone.

A model reads a text alone where its rotary frequencies depend on how long the longest text of a forward pass is
(longrope, Ding et al. 2024, and dynamic NTK, Peng et al. 2023): a neighbour in a batch would change them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kdscope.core.errors import ModelError

_POSITION_TABLE = re.compile(r"(?:^|\.)(?:wpe|pos_encoding|embed_positions|positions?_embed(?:dings)?)$")


def least(limits: Iterable[int | None]) -> int | None:
    """The smallest of some limits, of which None is no limit.

    >>> least([None, 7, 9]), least([None])
    (7, None)
    """
    return min((limit for limit in limits if limit is not None), default=None)


def position_limit(model: PreTrainedModel) -> int | None:
    """The most tokens the model has positions for; None where none are stored, as with rotary embeddings."""
    if any(hasattr(module, "build_mpt_alibi_tensor") for module in model.modules()):  # slopes for so many positions
        return int(model.config.max_seq_len)
    tables = [(name, module.weight) for name, module in model.named_modules() if isinstance(module, torch.nn.Embedding)]
    named = (pair for pair in (*tables, *model.named_buffers()) if _POSITION_TABLE.search(pair[0]))
    return least(_positions(model, name, table) for name, table in named)


def _positions(model: PreTrainedModel, name: str, table: Tensor) -> int:
    """Rows of a table that stand for positions: OPT and BART leave out two, RoBERTa those up to its padding id."""
    module = dict(model.named_modules()).get(name)
    padding = getattr(module, "padding_idx", None)
    return len(table) - int(getattr(module, "offset", 0 if padding is None else padding + 1))


def token_limit(model: PreTrainedModel) -> int:
    """Ids below this have a row in the embeddings and in the head."""
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    return min(len(layer.weight) for layer in layers if isinstance(getattr(layer, "weight", None), Tensor))


def longest_text(model: PreTrainedModel) -> int:
    """`position_limit`, as a number in any case."""
    limit = position_limit(model)
    return sys.maxsize if limit is None else limit


def check_tokens(model: PreTrainedModel, texts: Iterable[Sequence[int]], tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse texts with tokens that the model has no row for; to be asked before the first of them is read.

    Args:
        model: Reads.
        texts: Token ids of each.
        tokenizer: Made them.

    Raises:
        ModelError: An id has no row.
    """
    rows, highest = token_limit(model), max((max(text, default=0) for text in texts), default=0)
    if highest >= rows:
        raise ModelError(
            f"the tokenizer of {tokenizer.name_or_path} makes token {highest} "
            f"({tokenizer.convert_ids_to_tokens(highest)!r}), but the model has rows for {rows} tokens: resize its "
            "embeddings (resize_token_embeddings in transformers), or take the tokenizer it was trained with"
        )


def check_texts(model: PreTrainedModel, texts: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse texts for training that the model cannot read, by their tokens (`check_tokens`) or their length.

    Raises:
        ModelError: An id has no row, or a text is longer than the model has positions for.
    """
    check_tokens(model, texts, tokenizer)
    positions, longest = position_limit(model), max(map(len, texts), default=0)
    if positions is not None and longest > positions:
        raise ModelError(
            f"a text has {longest} tokens, but the model of {tokenizer.name_or_path} has positions for {positions}: "
            f"set training.max_length_tokens to at most {positions}"
        )


def padding_id(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """What fills rows: the tokenizer's padding, or 0 where the model has no row for that; masked in any case."""
    pad = int(tokenizer.pad_token_id)
    return pad if pad < token_limit(model) else 0


def rotary_switch(model: PreTrainedModel) -> int | None:
    """The length, in tokens, beyond which the model's rotary frequencies depend on the length of a text; None if never.

    Told by the configuration: `original_max_position_embeddings` of longrope, the positions trained on of dynamic NTK.
    """
    config = model.config.get_text_config()
    parameters = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    # One set of parameters, or one for each kind of layer.
    nested = [entry for entry in parameters.values() if isinstance(entry, Mapping)] or [parameters]
    return least(_switch(config, entry) for entry in nested)


def _switch(config: Any, parameters: Mapping[str, Any]) -> int | None:
    kind = str(parameters.get("rope_type", parameters.get("type", "")))
    if "dynamic" in kind:
        return int(config.max_position_embeddings)
    if kind in ("longrope", "su"):
        own = parameters.get("original_max_position_embeddings")
        return int(own or getattr(config, "original_max_position_embeddings", config.max_position_embeddings))
    return None


def forget_lengths(model: PreTrainedModel) -> None:
    """Reset the frequencies that dynamic NTK keeps of the longest text so far: what was read before must not count."""
    for module in model.modules():
        if not hasattr(module, "max_seq_len_cached"):
            continue
        for name, _ in list(module.named_buffers(recurse=False)):
            prefix, _, rest = name.rpartition("inv_freq")
            if rest == "" and not prefix.endswith("original_"):
                original = getattr(module, f"{prefix}original_inv_freq", None)
                if original is None:  # a model's own code, which keeps no more than it began with
                    continue
                # Longrope writes into the one in use.
                original = original.to(getattr(module, name).device).clone()
                module.register_buffer(name, original, persistent=False)
                setattr(module, f"{prefix}max_seq_len_cached", module.original_max_seq_len)

"""Packed batches: several sequences in one row without padding, each attended to by itself.

A padded batch of worked solutions is a quarter padding, and its attention is quadratic in the longest sequence. Packed,
linear layers run on real tokens only, and attention runs causally within each sequence, without a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import pad_sequence
from transformers import AttentionInterface, PreTrainedModel

from kdscope.core.errors import ModelError
from kdscope.models.forward import decoder_of
from kdscope.models.limits import rotary_switch

PACKED_ATTENTION = "kdscope_packed"
# From about so many tokens on, the full square of scores of `short_causal_attention` costs more than it saves.
_LONGEST_SHORT = 512
_KNOWN = frozenset({"lengths", "sliding_window", "is_causal", "position_ids", "use_cache", "cache_position"})


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each sequence of a packed row; called as transformers calls its attention functions.

    Args:
        module: The attention layer.
        query: [1, H, L, d], all sequences one after another.
        key: [1, H_kv, L, d].
        value: [1, H_kv, L, d].
        attention_mask: Unused: the lengths say it all.
        dropout: Probability that a weight is dropped.
        scaling: Factor of the scores; 1 / sqrt(d) where None.
        **more: `lengths`, and `sliding_window` where the layer has one.

    Returns:
        [1, L, H, d], and no weights.

    Raises:
        ModelError: No lengths were given, or the layer asks for something that is not done here.
    """
    lengths: list[int] = list(more.get("lengths") or ())
    unknown = sorted(name for name, setting in more.items() if setting is not None and name not in _KNOWN)
    if not lengths or attention_mask is not None or unknown:
        raise ModelError(f"{type(module).__name__} cannot attend to packed sequences (it passes {unknown})")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    parts = zip(*(torch.split(states, lengths, dim=2) for states in (query, key, value)), strict=True)
    attended = [_attend(q, k, v, dropout, scale, more.get("sliding_window")) for q, k, v in parts]
    return torch.cat(attended, dim=2).transpose(1, 2), None


def can_pack(model: PreTrainedModel) -> bool:
    """Whether packed sequences give this model's own hidden states: tried on two of them, longer than any window.

    Models whose layers mix positions by other means (recurrence, capped scores, sinks), or that do not hand the lengths
    down to their attention, keep padded batches.
    """
    config = model.config.get_text_config()
    if any(kind not in ("full_attention", "sliding_attention") for kind in getattr(config, "layer_types", None) or ()):
        return False
    window = getattr(config, "sliding_window", None) or 0
    return _shares(model, (7, min(11 + window, 300)), _read_packed)


def can_pad(model: PreTrainedModel) -> bool:
    """Whether sequences padded on the right have this model's own hidden states: tried on two of them.

    They are long enough for sparse attention to choose among its keys.
    """
    return _shares(model, (29, 61), _read_padded)


def longest_together(model: PreTrainedModel, pack: bool) -> int | None:
    """The most tokens of a sequence that others may stand beside in a forward pass; None for no limit, 0 for none.

    Args:
        model: Reads.
        pack: Whether sequences would be packed, which it must be able to; padded otherwise.
    """
    return rotary_switch(model) if pack or can_pad(model) else 0


def _shares(
    model: PreTrainedModel,
    lengths: tuple[int, int],
    read: Callable[[PreTrainedModel, Sequence[Tensor]], Tensor],
) -> bool:
    """Whether sequences of these lengths have the same hidden states together as each alone."""
    device = next(model.parameters()).device
    ids = torch.arange(1, 1 + sum(lengths), device=device) % model.config.get_text_config().vocab_size
    texts = torch.split(ids, list(lengths))
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            decoder = decoder_of(model)
            alone = [decoder(input_ids=text[None], use_cache=False).last_hidden_state[0] for text in texts]
            found = read(model, texts).float()
    except Exception:  # a model of another build fails in its own way
        return False
    finally:
        model.train(was_training)
    expected = torch.cat(alone).float()
    tolerance = 1e-3 if next(model.parameters()).dtype == torch.float32 else 0.1
    return bool((found - expected).norm() < tolerance * expected.norm())


def _read_packed(model: PreTrainedModel, texts: Sequence[Tensor]) -> Tensor:
    lengths = [len(text) for text in texts]
    positions = torch.cat([torch.arange(length, device=texts[0].device) for length in lengths])
    inputs = {"input_ids": torch.cat(list(texts))[None], "position_ids": positions[None], "lengths": lengths}
    with packed(model):
        states: Tensor = decoder_of(model)(**inputs, use_cache=False).last_hidden_state
    return states[0]


def _read_padded(model: PreTrainedModel, texts: Sequence[Tensor]) -> Tensor:
    mask = pad_sequence([torch.ones_like(text) for text in texts], batch_first=True)
    ids = pad_sequence(list(texts), batch_first=True)
    states: Tensor = decoder_of(model)(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    return states[mask.bool()]


@contextmanager
def packed(model: PreTrainedModel, wanted: bool = True) -> Iterator[None]:
    """The model attends to packed sequences inside the block, and as before after it.

    A backward pass belongs inside too: with gradient checkpointing it runs attention again.
    """
    with _attention(model, PACKED_ATTENTION if wanted else None):
        yield


@contextmanager
def padded(model: PreTrainedModel) -> Iterator[None]:
    """The model attends in torch's ordinary way inside the block, such as for generation."""
    with _attention(model, "sdpa" if model.config._attn_implementation == PACKED_ATTENTION else None):
        yield


@contextmanager
def _attention(model: PreTrainedModel, name: str | None) -> Iterator[None]:
    before = model.config._attn_implementation
    if name is None or name == before:
        yield
        return
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _attend(query: Tensor, key: Tensor, value: Tensor, dropout: float, scale: float, window: int | None) -> Tensor:
    """Causal attention of one sequence, [1, H, L, d]."""
    length, precision = query.shape[2], query.dtype
    everything = window is None or length <= window
    if query.device.type == "cpu" and precision == torch.bfloat16:
        if length <= _LONGEST_SHORT and dropout == 0.0 and everything:
            return short_causal_attention(query, key, value, scale)
        # torch's kernel for processors is slower in half precision, and less exact.
        query, key, value = query.float(), key.float(), value.float()
    visible = {"is_causal": True} if everything else {"attn_mask": _window(length, int(window or 0), query.device)}
    grouped = query.shape[1] != key.shape[1]
    attended = F.scaled_dot_product_attention(
        query, key, value, dropout_p=dropout, scale=scale, enable_gqa=grouped, **visible
    )
    return attended.to(precision)


def short_causal_attention(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """softmax(scale Q Kᵀ, causal) V over a short sequence, in half precision on a processor.

    Scores and softmax are float32, as in torch's own kernel, which is slow here; the products with the weights, and the
    backward pass, are half precision. For worked solutions of 100 to 300 tokens forward and backward take half the
    time.

    Args:
        query: [1, H, L, d], half precision.
        key: [1, H_kv, L, d]; H is a multiple of H_kv, and head h reads key h // (H / H_kv).
        value: [1, H_kv, L, d_v].
        scale: Factor of the scores.

    Returns:
        [1, H, L, d_v].
    """
    attended: Tensor = _ShortAttention.apply(query, key, value, scale)  # type: ignore[no-untyped-call]
    return attended


class _ShortAttention(torch.autograd.Function):
    """The queries of all heads that share a key stand below each other: [H_kv, H / H_kv * L, d]."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        _, heads, length, _ = query.shape
        shared = key.shape[1]
        q, k, v = (part.reshape(shared, -1, part.shape[-1]) for part in (query, key, value))
        future = torch.full((length, length), float("-inf")).triu_(1).repeat(heads // shared, 1)
        scores = torch.baddbmm(future, q.float(), k.float().transpose(1, 2), alpha=scale)
        weights = torch.softmax(scores, dim=-1).to(q.dtype)
        ctx.save_for_backward(q, k, v, weights)
        ctx.scale, ctx.shapes = scale, (query.shape, key.shape, value.shape)
        return torch.bmm(weights, v).view(1, heads, length, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, weights = ctx.saved_tensors
        query, key, value = ctx.shapes
        upstream = upstream.reshape(len(q), q.shape[1], -1)
        of_value = torch.bmm(weights.transpose(1, 2), upstream)
        of_weights = torch.bmm(upstream, v.transpose(1, 2))
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype).mul_(ctx.scale)
        of_query, of_key = torch.bmm(of_scores, k), torch.bmm(of_scores.transpose(1, 2), q)
        return of_query.view(query), of_key.view(key), of_value.view(value), None


def _window(length: int, window: int, device: torch.device) -> Tensor:
    """Which positions each position of a sequence sees: the last `window` of them, itself included."""
    behind = torch.arange(length, device=device)[:, None] - torch.arange(length, device=device)[None, :]
    return (behind >= 0) & (behind < window)


AttentionInterface.register(PACKED_ATTENTION, packed_attention)

"""Causal attention over short sequences in half precision on a processor, where torch's own kernel is slow.

Scores and softmax are float32, as in that kernel; the products with the weights, and the backward pass, are half
precision. For worked solutions of 100 to 300 tokens forward and backward take half the time; from about 500 tokens on,
the full square of scores costs more than it saves.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

LONGEST = 512


def short_causal_attention(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """softmax(scale Q Kᵀ, causal) V.

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

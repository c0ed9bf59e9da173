"""A key-value cache that is written in place: transformers' own is copied whole for every token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

# Positions a buffer grows by: one copy in as many steps.
_BLOCK = 64


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values [B, heads, L, width] of one layer, views of buffers with room for more positions."""

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Empty buffers of the kind of these tensors."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys = self._key_buffer = key_states[:, :, :0]
        self.values = self._value_buffer = value_states[:, :, :0]
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append along the positions; returns all keys and values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.keys.shape[2]
        stop = start + key_states.shape[2]
        if stop > self._key_buffer.shape[2]:
            self._key_buffer, self._value_buffer = _grown(self.keys, stop), _grown(self.values, stop)
        self._key_buffer[:, :, start:stop] = key_states
        self._value_buffer[:, :, start:stop] = value_states
        self.keys, self.values = self._key_buffer[:, :, :stop], self._value_buffer[:, :, :stop]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows only; those that keep their place are not copied."""
        length, rows = self.keys.shape[2], len(indices)
        moved = (indices != torch.arange(rows, device=indices.device)).nonzero()[:, 0]
        for buffer in (self._key_buffer, self._value_buffer):
            buffer[moved, :, :length] = buffer[indices[moved], :, :length]
        self._key_buffer, self._value_buffer = self._key_buffer[:rows], self._value_buffer[:rows]
        self.keys, self.values = self._key_buffer[:, :, :length], self._value_buffer[:, :, :length]

    def place(self, part: GrowingLayer, rows: Tensor, batch: int, shared: int, width: int) -> None:
        """Take another layer's rows over: what all rows share stays in front, the rest is moved to end at `width`.

        What is between the two is zero.

        Args:
            part: A layer with some of the rows.
            rows: Their places in this one.
            batch: Rows of this one.
            shared: Positions that all rows share.
            width: Positions of this one.
        """
        if not self.is_initialized:
            self.lazy_initialization(part.keys, part.values)
            self._key_buffer, self._value_buffer = (_empty(t, batch, width).zero_() for t in (part.keys, part.values))
            self.keys, self.values = self._key_buffer[:, :, :width], self._value_buffer[:, :, :width]
        own = part.keys.shape[2] - shared
        for whole, some in ((self.keys, part.keys), (self.values, part.values)):
            whole[rows, :, :shared] = some[:, :, :shared]
            whole[rows, :, width - own :] = some[:, :, shared:]


def new_cache(model: PreTrainedModel) -> DynamicCache | None:
    """An empty cache for this model; None if it keeps more than keys and values, which only its own code understands.

    Layers with full attention grow in place; sliding ones hold their window, and stay transformers' own.
    """
    cache = DynamicCache(config=model.config)
    if not cache.layers or any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in cache.layers):
        return None
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def keeps_everything(cache: DynamicCache) -> bool:
    """Whether all layers keep every position, so that positions may be moved."""
    return all(isinstance(layer, GrowingLayer) for layer in cache.layers)


def _grown(used: Tensor, needed: int) -> Tensor:
    room = _empty(used, used.shape[0], needed)
    room[:, :, : used.shape[2]] = used
    return room


def _empty(like: Tensor, rows: int, length: int) -> Tensor:
    return like.new_empty(rows, like.shape[1], -(-length // _BLOCK) * _BLOCK, like.shape[3])

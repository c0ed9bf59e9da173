"""A key-value cache that is written in place: transformers' own is copied whole for every token."""

from __future__ import annotations

from typing import Any

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
        """Keep these rows only."""
        length = self.keys.shape[2]
        self._key_buffer, self._value_buffer = self._key_buffer[indices], self._value_buffer[indices]
        self.keys, self.values = self._key_buffer[:, :, :length], self._value_buffer[:, :, :length]


def new_cache(model: PreTrainedModel) -> DynamicCache | None:
    """An empty cache for this model; None if it keeps more than keys and values, which only its own code understands.

    Layers with full attention grow in place; sliding ones hold their window, and stay transformers' own.
    """
    cache = DynamicCache(config=model.config)
    if not cache.layers or any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in cache.layers):
        return None
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def _grown(used: Tensor, needed: int) -> Tensor:
    rows, heads, length, width = used.shape
    room = used.new_empty(rows, heads, -(-needed // _BLOCK) * _BLOCK, width)
    room[:, :, :length] = used
    return room

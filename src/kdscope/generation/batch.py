"""The rows being written: their prompts, read into one cache, and then a token each at a time.

What all prompts begin with, such as the head of a template, is read once. The rest is read in parts of like length, so
that short prompts are not padded to the longest. Neither changes a result beyond rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from kdscope.core.errors import ModelError
from kdscope.models.forward import decoder_of

# A run of its own for what all prompts begin with costs as much as reading about so many positions.
_LEAST_SAVED = 32
# Positions a buffer of keys or values grows by: one copy in as many steps.
_BLOCK = 64
# Positions of a part: with fewer, products become slow; with more, short prompts are padded to long ones.
_PART = 2048


class DecodingBatch:
    """Rows with a shared beginning, then padding, then each row's own prompt and what it has written.

    Args:
        model: Reads and writes.
        prompts: Token ids of each, at least one.
        steps: Most tokens to be appended.

    Raises:
        ModelError: The model keeps more than keys and values of what it has read.
    """

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], steps: int) -> None:
        self._model, self._decoder, self._device = model, decoder_of(model), model.device
        self._prompts, self._width = prompts, max(len(prompt) for prompt in prompts)
        self._cache = self._new_cache()
        self._movable = keeps_everything(self._cache)
        self._shared = _shared_beginning(prompts) if self._movable else 0
        self._mask, self._positions = self._layout(prompts, self._width + steps)

    def read(self) -> Tensor:
        """The last hidden state of each prompt, [B, D]."""
        start = self._beginning()
        parts = self._parts()
        if len(parts) == 1:
            return self._read(self._prompts, self._cache, start)
        states = torch.cat([self._read_part(part, start) for part in parts])
        return states[torch.tensor([row for part in parts for row in part], device=self._device).argsort()]

    def append(self, tokens: Tensor) -> Tensor:
        """The hidden state of one more token a row, [B, D]."""
        start, self._width = self._width, self._width + 1
        mask, positions = self._mask[:, : self._width], self._positions[:, start : self._width]
        return self._run(tokens[:, None], mask, positions, self._cache)

    def keep(self, places: Tensor) -> None:
        """Go on with the rows at these places, in this order."""
        self._cache.batch_select_indices(places)
        self._mask, self._positions = self._mask[places], self._positions[places]

    def _beginning(self) -> DynamicCache | None:
        """The cache of what all prompts begin with, one row."""
        if self._shared == 0:
            return None
        cache = self._new_cache()
        ids = torch.tensor([list(self._prompts[0][: self._shared])], device=self._device)
        self._run(ids, torch.ones_like(ids), torch.arange(self._shared, device=self._device)[None], cache)
        return cache

    def _read_part(self, rows: Sequence[int], start: DynamicCache | None) -> Tensor:
        """Read some rows, and take them over; their last hidden states in this order."""
        cache, places = self._new_cache(), torch.tensor(rows, device=self._device)
        states = self._read([self._prompts[row] for row in rows], cache, start)
        for whole, some in zip(self._cache.layers, cache.layers, strict=True):
            whole.place(some, places, len(self._prompts), self._shared, self._width)
        return states

    def _read(self, prompts: Sequence[Sequence[int]], cache: DynamicCache, start: DynamicCache | None) -> Tensor:
        if start is not None:
            for layer, begun in zip(cache.layers, start.layers, strict=True):
                layer.update(*(states.expand(len(prompts), -1, -1, -1) for states in (begun.keys, begun.values)))
        width = max(len(prompt) for prompt in prompts)
        mask, positions = self._layout(prompts, width)
        # Whatever stands in the padding is masked; 0 is a token of every vocabulary.
        own = [[0] * (width - len(prompt)) + list(prompt[self._shared :]) for prompt in prompts]
        return self._run(torch.tensor(own, device=self._device), mask, positions[:, self._shared :], cache)

    def _run(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache) -> Tensor:
        output = self._decoder(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        )
        states: Tensor = output.last_hidden_state
        return states[:, -1]

    def _layout(self, prompts: Sequence[Sequence[int]], length: int) -> tuple[Tensor, Tensor]:
        """Which places hold a token, and the position of each, [B, length]."""
        width = max(len(prompt) for prompt in prompts)
        padding = torch.tensor([width - len(prompt) for prompt in prompts], device=self._device)[:, None]
        places = torch.arange(length, device=self._device)
        begun = places < self._shared
        positions = torch.where(begun, places, (places - padding).clamp(min=0))
        return (begun | (places >= self._shared + padding)).long(), positions

    def _parts(self) -> list[list[int]]:
        """Rows to be read together, longest first."""
        lengths = [len(prompt) - self._shared for prompt in self._prompts]
        if not self._movable:
            return [list(range(len(lengths)))]
        parts: list[list[int]] = []
        for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
            if parts and (len(parts[-1]) + 1) * lengths[parts[-1][0]] <= _PART:
                parts[-1].append(row)
            else:
                parts.append([row])
        return parts

    def _new_cache(self) -> DynamicCache:
        cache = new_cache(self._model)
        if cache is None:
            raise ModelError(f"{type(self._model).__name__} keeps more than keys and values of what it has read")
        return cache


def _shared_beginning(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with; 0 if that saves nothing. Each keeps a token of its own."""
    first, last = min(map(tuple, prompts)), max(map(tuple, prompts))
    most = min(len(prompt) for prompt in prompts) - 1
    same = next((n for n in range(most) if first[n] != last[n]), most)
    return same if same * (len(prompts) - 1) >= _LEAST_SAVED else 0


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values [B, heads, L, width] of one layer, views of buffers with room for more positions.

    transformers' own layer copies everything it holds for every token.
    """

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

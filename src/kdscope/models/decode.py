"""Batched decoding: the prompts once, then a token a step for the rows that are not finished.

transformers' `generate` serves every model and every wish; this loop serves one wish and the models it was seen to be
right for (`can_decode`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kdscope.errors import ModelError
from kdscope.models.cache import new_cache
from kdscope.models.forward import head_of
from kdscope.models.linears import prepared_linears, prepared_product

# A token for each row of the batch: (logits [B, V], the prompt each row continues [B], step) -> token ids [B].
Choose = Callable[[Tensor, Tensor, int], Tensor]

# Finished rows leave the batch once they are this share of it: the copy of the cache costs less than a step, and there
# are few of them.
_FINISHED_SHARE = 0.125


@torch.inference_mode()
def decode(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    room: Sequence[int],
    stops: Collection[int],
    choose: Choose,
    dtype: torch.dtype | None = None,
) -> list[list[int]]:
    """What a model writes after each prompt: up to an end token, which is kept, or until the room is used up.

    Args:
        model: In evaluation mode, and one for which `can_decode` is true.
        prompts: Token ids of each prompt.
        room: Most tokens to write after each prompt.
        stops: The end tokens.
        choose: Gives the tokens; what it gives for one row should not depend on the others.
        dtype: Precision of the products (that of autocast); the weights' own where None.

    Raises:
        ModelError: The model's logits are not numbers.
    """
    written: list[list[int]] = [[] for _ in prompts]
    rows = [row for row, most in enumerate(room) if most > 0]
    if not rows:
        return written
    with prepared_linears(model.get_decoder(), dtype):
        head = head_of(model, dtype)
        project = prepared_product(head.weight)
        batch = _Batch(model, [prompts[row] for row in rows], max(room))
        states, which = batch.read(), torch.tensor(rows, device=model.device)
        for step in range(max(room)):
            tokens = choose(head.finish(project(states)), which, step)
            going = _write(rows, tokens.tolist(), written, room, stops)
            if not going:
                break
            if len(going) <= (1 - _FINISHED_SHARE) * len(rows):
                rows = [rows[place] for place in going]
                kept = torch.tensor(going, device=model.device)
                tokens, which = tokens[kept], which[kept]
                batch.keep(kept)
            states = batch.append(tokens)
    return written


def can_decode(model: PreTrainedModel) -> bool:
    """Whether `decode` gives this model's own logits: three prompts, padded, one of them finished early.

    The reference is the model's plain forward pass on each text alone, without padding and without a cache.
    """
    vocabulary = model.config.get_text_config().vocab_size
    texts = [[(7 * row + 3 * place + 1) % vocabulary for place in range(12)] for row in range(3)]
    lengths, room = (7, 3, 5), (5, 2, 4)
    seen: dict[tuple[int, int], Tensor] = {}

    def follow(logits: Tensor, rows: Tensor, step: int) -> Tensor:
        for row, values in zip(rows.tolist(), logits, strict=True):
            seen[row, step] = values
        return torch.tensor([texts[row][lengths[row] + step] for row in rows.tolist()], device=logits.device)

    try:
        with torch.no_grad(), torch.autocast(model.device.type, enabled=False):
            decode(model, [text[:n] for text, n in zip(texts, lengths, strict=True)], room, (), follow)
            own = [model(input_ids=torch.tensor([text], device=model.device)).logits[0].float() for text in texts]
    except Exception:  # a model of another build fails in its own way; transformers' `generate` knows it
        return False
    tolerance = 1e-4 if model.dtype == torch.float32 else 0.05
    return all(
        _agree(own[row][lengths[row] + step - 1], seen[row, step], tolerance)
        for row in range(3)
        for step in range(room[row])
    )


class _Batch:
    """The rows being written: their cache, which of its places are padding, and their positions."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], steps: int) -> None:
        cache, width = new_cache(model), max(len(prompt) for prompt in prompts)
        if cache is None:
            raise ModelError(f"{type(model).__name__} keeps more than keys and values of what it has read")
        self._decoder, self._cache, self._width = model.get_decoder(), cache, width
        padding = torch.tensor([width - len(prompt) for prompt in prompts], device=model.device)[:, None]
        places = torch.arange(width + steps, device=model.device)
        self._mask = (places >= padding).long()
        self._positions = (places - padding).clamp(min=0)
        # Whatever stands in the padding is masked; 0 is a token of every vocabulary.
        self._prompts = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts], device=model.device)

    def read(self) -> Tensor:
        """The last hidden state of each prompt, [B, D]."""
        return self._run(self._prompts, 0, self._width)

    def append(self, tokens: Tensor) -> Tensor:
        """The hidden state of one more token a row, [B, D]."""
        self._width += 1
        return self._run(tokens[:, None], self._width - 1, self._width)

    def keep(self, places: Tensor) -> None:
        """Leave the rows at other places out."""
        self._cache.batch_select_indices(places)
        self._mask, self._positions = self._mask[places], self._positions[places]

    def _run(self, ids: Tensor, start: int, stop: int) -> Tensor:
        output = self._decoder(
            input_ids=ids,
            attention_mask=self._mask[:, :stop],
            position_ids=self._positions[:, start:stop],
            past_key_values=self._cache,
            use_cache=True,
        )
        states: Tensor = output.last_hidden_state
        return states[:, -1]


def _write(
    rows: Sequence[int],
    tokens: Sequence[int],
    written: list[list[int]],
    room: Sequence[int],
    stops: Collection[int],
) -> list[int]:
    """Note the tokens of the rows that were not finished before; gives the places in the batch that go on."""
    going = []
    for place, (row, token) in enumerate(zip(rows, tokens, strict=True)):
        text = written[row]
        if text and (len(text) == room[row] or text[-1] in stops):
            continue
        if token < 0:
            raise ModelError("the model's logits are not numbers: its weights or its activations overflowed")
        text.append(token)
        if len(text) < room[row] and token not in stops:
            going.append(place)
    return going


def _agree(own: Tensor, ours: Tensor, tolerance: float) -> bool:
    # Logits that are not numbers agree: `decode` says so where it meets them.
    largest = own.nan_to_num(0.0, 0.0, 0.0).abs().max().item()
    return torch.allclose(own, ours, rtol=tolerance, atol=tolerance * largest, equal_nan=True)

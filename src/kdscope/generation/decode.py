"""Batched decoding: the prompts once, then a token a step for the rows that are not finished.

transformers' `generate` serves every model and every wish; this loop serves one wish and the models it was seen to be
right for (`can_decode`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kdscope.core.errors import ModelError
from kdscope.generation.batch import DecodingBatch
from kdscope.generation.linears import prepared_linears, prepared_product
from kdscope.models.forward import head_of

# A token for each row of the batch: (logits [B, V], the prompt each row continues [B], step) -> token ids [B].
Choose = Callable[[Tensor, Tensor, int], Tensor]
# Whether a row ends with the last of the tokens it has written.
Reached = Callable[[Sequence[int]], bool]

# Finished rows leave the batch once they are this share of it: moving others into their place costs less than they do.
_FINISHED_SHARE = 1 / 32


@torch.inference_mode()
def decode(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    room: Sequence[int],
    stops: Collection[int],
    choose: Choose,
    dtype: torch.dtype | None = None,
    reached: Reached | None = None,
) -> list[list[int]]:
    """What a model writes after each prompt: up to an end token, which is kept, or until the room is used up.

    Args:
        model: In evaluation mode, and one for which `can_decode` is true.
        prompts: Token ids of each prompt.
        room: Most tokens to write after each prompt.
        stops: The end tokens.
        choose: Gives the tokens; what it gives for one row should not depend on the others.
        dtype: Precision of the products (that of autocast); the weights' own where None.
        reached: Asked after every token whether what a row has written is to be its end.

    Raises:
        ModelError: The model's logits are not numbers.
    """
    texts = _Texts(room, stops, reached)
    rows = [row for row, most in enumerate(room) if most > 0]
    if not rows:
        return texts.written
    with prepared_linears(model.get_decoder(), dtype):
        head = head_of(model, dtype)
        project = prepared_product(head.weight)
        batch = DecodingBatch(model, [prompts[row] for row in rows], max(room))
        states, which = batch.read(), torch.tensor(rows, device=model.device)
        for step in range(max(room)):
            tokens = choose(head.finish(project(states)), which, step)
            going = texts.write(rows, tokens.tolist())
            if not going:
                break
            if len(going) <= (1 - _FINISHED_SHARE) * len(rows):
                places = _closed_up(going)
                rows = [rows[place] for place in places]
                kept = torch.tensor(places, device=model.device)
                tokens, which = tokens[kept], which[kept]
                batch.keep(kept)
            states = batch.append(tokens)
    return texts.written


def can_decode(model: PreTrainedModel) -> bool:
    """Whether `decode` gives this model's own logits: three prompts that begin alike, padded, one finished early.

    The reference is the model's plain forward pass on each text alone, without padding and without a cache.
    """
    vocabulary = model.config.get_text_config().vocab_size
    texts = [[((place >= 16) * 7 * row + 3 * place + 1) % vocabulary for place in range(28)] for row in range(3)]
    lengths, room = (23, 19, 21), (5, 2, 4)
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


class _Texts:
    """What each row has written, and which rows go on."""

    def __init__(self, room: Sequence[int], stops: Collection[int], reached: Reached | None) -> None:
        self.written: list[list[int]] = [[] for _ in room]
        self._room, self._stops, self._reached = room, stops, reached
        self._finished = {row for row, most in enumerate(room) if most == 0}

    def write(self, rows: Sequence[int], tokens: Sequence[int]) -> list[int]:
        """Note the tokens of the rows that were not finished before; gives the places in the batch that go on."""
        going = []
        for place, (row, token) in enumerate(zip(rows, tokens, strict=True)):
            if row in self._finished:
                continue
            if token < 0:
                raise ModelError("the model's logits are not numbers: its weights or its activations overflowed")
            self.written[row].append(token)
            if self._ends(row, token):
                self._finished.add(row)
            else:
                going.append(place)
        return going

    def _ends(self, row: int, token: int) -> bool:
        text = self.written[row]
        return (
            len(text) == self._room[row] or token in self._stops or (self._reached is not None and self._reached(text))
        )


def _closed_up(going: Sequence[int]) -> list[int]:
    """The same places, those that are late put where others have left: as few rows as possible are moved.

    >>> _closed_up([0, 2, 4, 5])
    [0, 4, 2, 5]
    """
    count = len(going)
    stay, late = {place for place in going if place < count}, iter([place for place in going if place >= count])
    return [place if place in stay else next(late) for place in range(count)]


def _agree(own: Tensor, ours: Tensor, tolerance: float) -> bool:
    # Logits that are not numbers agree: `decode` says so where it meets them.
    largest = own.nan_to_num(0.0, 0.0, 0.0).abs().max().item()
    return torch.allclose(own, ours, rtol=tolerance, atol=tolerance * largest, equal_nan=True)

"""From text to tensors: token ids, which of them are targets, and in which order they are seen.

Shape legend: B sequences, L tokens of the longest (or of all, packed), N target tokens of the batch.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Protocol

import torch
from torch import Tensor

from kdscope.core.seeds import derive_seed


@dataclass(frozen=True)
class TokenSequence:
    """One training sequence.

    Attributes:
        example: Number of the example in the training set.
        token_ids: Prompt and response.
        prompt_length: How many of them are prompt.
    """

    example: int
    token_ids: tuple[int, ...]
    prompt_length: int

    def first_target(self, prompt_in_loss: bool) -> int:
        """Index of the first token that is predicted and scored; the very first token has no context."""
        return 1 if prompt_in_loss else max(1, self.prompt_length)


@dataclass(frozen=True)
class Batch:
    """A micro-batch and where its targets are, padded [B, L] or packed one after another [1, L].

    Attributes:
        input_ids: Token ids; padding is on the right.
        attention_mask: 1 for real tokens [B, L]; None where the sequences are packed.
        position_ids: Position of each token within its sequence, as `input_ids`.
        lengths: Tokens of each sequence.
        selected: Where the hidden state that predicts each target lies, in the flattened [B * L]; [N].
        rows: Number of the sequence of each target [N].
        positions: Position within its sequence that predicts the target [N].
        targets: The token ids to predict [N].
        examples: Example number of each target [N].
    """

    input_ids: Tensor
    attention_mask: Tensor | None
    position_ids: Tensor
    lengths: tuple[int, ...]
    selected: Tensor
    rows: Tensor
    positions: Tensor
    targets: Tensor
    examples: Tensor

    def inputs(self) -> dict[str, Any]:
        """What the model is given, by the argument names of `models.forward.SelectedStates`."""
        layout = (
            {"position_ids": self.position_ids, "lengths": self.lengths}
            if self.attention_mask is None
            else {"attention_mask": self.attention_mask}
        )
        return {"input_ids": self.input_ids, "selected": self.selected, **layout}

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        tensors: dict[str, Any] = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **{name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()})


def count_targets(sequences: Sequence[TokenSequence], prompt_in_loss: bool) -> int:
    """Target tokens of some sequences: the denominator of the loss."""
    return sum(len(s.token_ids) - s.first_target(prompt_in_loss) for s in sequences)


def collate(sequences: Sequence[TokenSequence], pad_id: int, prompt_in_loss: bool, *, packed: bool = False) -> Batch:
    """Lay sequences out, and list their targets sequence by sequence, position by position.

    Args:
        sequences: B sequences.
        pad_id: What fills the rows of a padded batch.
        prompt_in_loss: Whether prompt tokens are targets.
        packed: Put them one after another into a single row, without padding.
    """
    lengths = tuple(len(s.token_ids) for s in sequences)
    width = max(lengths)
    offsets = [0, *accumulate(lengths[:-1])] if packed else [row * width for row in range(len(lengths))]
    shape = (1, sum(lengths)) if packed else (len(lengths), width)
    ids = torch.full((shape[0] * shape[1],), pad_id)
    mask, position_ids = torch.zeros_like(ids), torch.zeros_like(ids)
    rows: list[int] = []
    positions: list[int] = []
    for row, (sequence, offset, length) in enumerate(zip(sequences, offsets, lengths, strict=True)):
        span = slice(offset, offset + length)
        ids[span] = torch.tensor(sequence.token_ids)
        mask[span] = 1
        position_ids[span] = torch.arange(length)
        targets = range(sequence.first_target(prompt_in_loss), length)
        rows += [row] * len(targets)
        positions += [t - 1 for t in targets]
    at, before = torch.tensor(rows, dtype=torch.long), torch.tensor(positions, dtype=torch.long)
    selected = torch.tensor(offsets)[at] + before
    return Batch(
        input_ids=ids.view(shape),
        attention_mask=None if packed else mask.view(shape),
        position_ids=position_ids.view(shape),
        lengths=lengths,
        selected=selected,
        rows=at,
        positions=before,
        targets=ids[selected + 1],
        examples=torch.tensor([s.example for s in sequences])[at],
    )


def plan_micro_batches(
    sequences: Sequence[TokenSequence], max_tokens: int, *, packed: bool = False, longest_together: int | None = None
) -> list[list[TokenSequence]]:
    """Sequences of similar length together, each micro-batch within a budget of tokens, padding included.

    Longest first, so that too little memory shows at once. A single sequence longer than the budget still forms a
    micro-batch; a sequence longer than `longest_together` is one by itself.
    """
    if longest_together is not None:
        alone = [s for s in sequences if len(s.token_ids) > longest_together]
        others = [s for s in sequences if len(s.token_ids) <= longest_together]
        ones = [[s] for s in sorted(alone, key=lambda s: (-len(s.token_ids), s.example))]
        return ones + plan_micro_batches(others, max_tokens, packed=packed)
    ordered = sorted(sequences, key=lambda s: (-len(s.token_ids), s.example))
    batches: list[list[TokenSequence]] = []
    room = 0
    for sequence in ordered:
        # Where shorter sequences are padded, each takes as much as the first, the longest.
        taken = len(sequence.token_ids if packed or not batches else batches[-1][0].token_ids)
        if not batches or taken > room:
            batches.append([])
            taken = len(sequence.token_ids)
            room = max_tokens
        batches[-1].append(sequence)
        room -= taken
    return batches


def plan_windows(count: int, batch_size: int, epochs: int, seed: int) -> list[list[int]]:
    """Which examples each optimiser step sees: every example once an epoch, in an order set by the seed.

    The last window of an epoch may be smaller; no window spans two epochs.
    """
    windows: list[list[int]] = []
    for epoch in range(epochs):
        order = _order(count, seed, epoch)
        windows += [order[start : start + batch_size] for start in range(0, count, batch_size)]
    return windows


def plan_full_windows(count: int, batch_size: int, steps: int, seed: int) -> list[list[int]]:
    """The same for a given number of steps: epoch after epoch in one stream, so that every window is full.

    >>> [len(window) for window in plan_full_windows(5, 4, 3, seed=0)]
    [4, 4, 4]
    """
    epochs = -(-steps * batch_size // count)
    stream = [index for epoch in range(epochs) for index in _order(count, seed, epoch)]
    return [stream[start : start + batch_size] for start in range(0, steps * batch_size, batch_size)]


def _order(count: int, seed: int, epoch: int) -> list[int]:
    order = list(range(count))
    random.Random(derive_seed(seed, "order", epoch)).shuffle(order)
    return order


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer used here."""

    eos_token_id: Any

    def __call__(self, text: str, *, add_special_tokens: bool) -> Any:
        """Encode a text; the result has `input_ids`."""
        ...


def encode_prompt(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """Token ids of a prompt, with the model's own start token if it has one and no end token."""
    ids: list[int] = list(tokenizer(prompt, add_special_tokens=True).input_ids)
    return ids[:-1] if len(ids) > 1 and ids[-1] == tokenizer.eos_token_id else ids


def encode_response(tokenizer: Tokenizer, response: str) -> list[int]:
    """Token ids of a response and the end token.

    Prompt and response are encoded apart, so training sees exactly the prompt ids that generation will start from.
    """
    return [*tokenizer(response, add_special_tokens=False).input_ids, int(tokenizer.eos_token_id)]


def encode_recorded(
    tokenizer: Tokenizer, token_ids: Sequence[int], text: str, *, finished: bool, same_vocabulary: bool
) -> list[int]:
    """A teacher's response as the student's token ids, ending in the student's own end token if the teacher stopped.

    With one vocabulary the sampled ids are kept; otherwise the text is encoded anew.
    """
    if same_vocabulary:
        ids = list(token_ids[:-1] if finished else token_ids)
    else:
        ids = list(tokenizer(text, add_special_tokens=False).input_ids)
    return [*ids, int(tokenizer.eos_token_id)] if finished else ids


def join(prompts: Sequence[Sequence[int]], responses: Iterable[Sequence[int]], max_length: int) -> list[TokenSequence]:
    """Prompt and response ids as training sequences, cut at `max_length` tokens.

    An example whose prompt leaves no room for a response is left out (its number stays unused).
    """
    pairs = enumerate(zip(prompts, responses, strict=True))
    return [
        TokenSequence(example, tuple([*prompt, *response][:max_length]), len(prompt))
        for example, (prompt, response) in pairs
        if len(prompt) < max_length and len(response) > 0
    ]

"""From rows to tensors: token ids, which of them are targets, and in which order they are seen.

Shape legend: B sequences, L tokens of the longest, N target tokens of the batch.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kdscope.seeds import derive_seed


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
    """A padded micro-batch and where its targets are.

    Attributes:
        input_ids: Token ids [B, L], padded on the right.
        attention_mask: 1 for real tokens [B, L].
        rows: Row of each target [N].
        positions: Position whose logits predict the target [N].
        targets: The token ids to predict [N].
        examples: Example number of each target [N].
    """

    input_ids: Tensor
    attention_mask: Tensor
    rows: Tensor
    positions: Tensor
    targets: Tensor
    examples: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def count_targets(sequences: Sequence[TokenSequence], prompt_in_loss: bool) -> int:
    """Target tokens of some sequences: the denominator of the loss."""
    return sum(len(s.token_ids) - s.first_target(prompt_in_loss) for s in sequences)


def collate(sequences: Sequence[TokenSequence], pad_id: int, prompt_in_loss: bool) -> Batch:
    """Pad sequences on the right and list their targets in (row, position) order."""
    width = max(len(s.token_ids) for s in sequences)
    ids = torch.full((len(sequences), width), pad_id)
    mask = torch.zeros_like(ids)
    rows: list[int] = []
    positions: list[int] = []
    for row, sequence in enumerate(sequences):
        length = len(sequence.token_ids)
        ids[row, :length] = torch.tensor(sequence.token_ids)
        mask[row, :length] = 1
        targets = range(sequence.first_target(prompt_in_loss), length)
        rows += [row] * len(targets)
        positions += [t - 1 for t in targets]
    at, before = torch.tensor(rows, dtype=torch.long), torch.tensor(positions, dtype=torch.long)
    examples = torch.tensor([s.example for s in sequences])[at]
    return Batch(ids, mask, at, before, ids[at, before + 1], examples)


def pack_micro_batches(sequences: Sequence[TokenSequence], max_tokens: int) -> list[list[TokenSequence]]:
    """Sequences of similar length together, each micro-batch within a budget of padded tokens.

    A single sequence longer than the budget still forms a micro-batch.
    """
    ordered = sorted(sequences, key=lambda s: (-len(s.token_ids), s.example))
    batches: list[list[TokenSequence]] = []
    for sequence in ordered:
        if batches and (len(batches[-1]) + 1) * len(batches[-1][0].token_ids) <= max_tokens:
            batches[-1].append(sequence)
        else:
            batches.append([sequence])
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

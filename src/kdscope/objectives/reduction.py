"""The reduction: the weight of every token in the loss. Nothing else averages.

Both functions give one micro-batch's weights in the mean over a whole optimiser window (all micro-batches of all ranks
between two optimiser steps). Weighted sums are added up, never averaged: the denominators are counts over the window,
so the result does not depend on padding, packing, the number of accumulation steps or the number of ranks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdscope.core.errors import ObjectiveError


def token_weights(
    count: int,
    total_tokens: int | float,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """1 / total_tokens for each of the tokens: every target token of the window weighs the same.

    Args:
        count: N, this micro-batch's target tokens.
        total_tokens: target tokens in the whole window.
        device: where the weights are wanted.
        dtype: float32 or float64.

    Returns:
        [N].

    Raises:
        ObjectiveError: the total is not positive.

    Example:
        >>> token_weights(2, total_tokens=4).tolist()
        [0.25, 0.25]
    """
    _check_total(total_tokens, "total_tokens")
    return torch.full((count,), 1.0 / total_tokens, device=device, dtype=dtype)


def sequence_weights(
    sequence_ids: Tensor,
    tokens_per_sequence: Tensor,
    total_sequences: int | float,
    *,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """1 / (tokens_per_sequence[sequence_ids[n]] · total_sequences): every sequence weighs the same.

    The mean of each sequence, then the mean over the window's sequences: the reduction of the published study. A token
    of a short answer weighs more than one of a long answer.

    Args:
        sequence_ids: [N], int64, row in tokens_per_sequence of each of this micro-batch's target tokens.
        tokens_per_sequence: [B], target tokens of each whole sequence, also those in other micro-batches.
        total_sequences: sequences in the whole window.
        dtype: float32 or float64.

    Returns:
        [N].

    Raises:
        ObjectiveError: shapes do not fit, or a count is not positive.

    Example:
        >>> sequence_weights(torch.tensor([0, 0, 1]), torch.tensor([2, 1]), total_sequences=2).tolist()
        [0.25, 0.25, 0.5]
    """
    _check_total(total_sequences, "total_sequences")
    if sequence_ids.ndim != 1 or tokens_per_sequence.ndim != 1:
        shapes = f"{list(sequence_ids.shape)} and {list(tokens_per_sequence.shape)}"
        raise ObjectiveError(f"sequence_ids must be [tokens] and tokens_per_sequence [sequences], not {shapes}")
    lengths = tokens_per_sequence[sequence_ids]
    if (lengths <= 0).any():
        raise ObjectiveError("a token belongs to a sequence that tokens_per_sequence counts as empty")
    return 1.0 / (lengths.to(dtype) * total_sequences)


def _check_total(total: int | float, name: str) -> None:
    if not total > 0:
        raise ObjectiveError(f"{name} must be positive, not {total}: a window without target tokens has no mean")

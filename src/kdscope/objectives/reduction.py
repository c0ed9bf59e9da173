"""From losses of tokens to the number that is differentiated: the only place that averages.

Both functions return one micro-batch's share of the mean over a whole optimiser window (all micro-batches of all ranks
between two optimiser steps). Shares are added up, never averaged: the denominators are counts over the window, so the
result does not depend on padding, packing, the number of accumulation steps or the number of ranks.
"""

from __future__ import annotations

from torch import Tensor

from kdscope.errors import ObjectiveError
from kdscope.objectives.probabilities import at_least_float32


def token_mean_share(losses: Tensor, total_tokens: int | float) -> Tensor:
    """Σ losses / total_tokens: every target token of the window weighs the same.

    Args:
        losses: [N], of this micro-batch's target tokens.
        total_tokens: target tokens in the whole window.

    Returns:
        A scalar, float32 or float64; 0 for N = 0.

    Raises:
        ObjectiveError: losses are not [N], or the count is not positive.

    Example:
        >>> import torch
        >>> token_mean_share(torch.tensor([1.0, 3.0]), total_tokens=4).item()
        1.0
    """
    _check(losses, total_tokens, "total_tokens")
    return at_least_float32(losses).sum() / total_tokens


def sequence_mean_share(
    losses: Tensor, sequence_ids: Tensor, tokens_per_sequence: Tensor, total_sequences: int | float
) -> Tensor:
    """Σ losses[n] / tokens_per_sequence[sequence_ids[n]] / total_sequences: every sequence weighs the same.

    The mean of each sequence, then the mean over the window's sequences: the reduction of the published study. A token
    of a short answer weighs more than one of a long answer.

    Args:
        losses: [N], of this micro-batch's target tokens.
        sequence_ids: [N], int64, row of each token in tokens_per_sequence.
        tokens_per_sequence: [B], target tokens of each whole sequence, also those in other micro-batches.
        total_sequences: sequences in the whole window.

    Returns:
        A scalar, float32 or float64; 0 for N = 0.

    Raises:
        ObjectiveError: shapes do not fit, or a count is not positive.

    Example:
        >>> import torch
        >>> losses, ids = torch.tensor([2.0, 4.0, 5.0]), torch.tensor([0, 0, 1])
        >>> sequence_mean_share(losses, ids, torch.tensor([2, 1]), total_sequences=2).item()  # (3 + 5) / 2
        4.0
    """
    _check(losses, total_sequences, "total_sequences")
    if sequence_ids.shape != losses.shape:
        raise ObjectiveError(f"{losses.numel()} losses need as many sequence_ids, not {list(sequence_ids.shape)}")
    lengths = tokens_per_sequence[sequence_ids]
    if (lengths <= 0).any():
        raise ObjectiveError("a token belongs to a sequence that tokens_per_sequence counts as empty")
    exact = at_least_float32(losses)
    return (exact / lengths.to(exact.dtype)).sum() / total_sequences


def _check(losses: Tensor, total: int | float, name: str) -> None:
    if losses.ndim != 1:
        raise ObjectiveError(f"losses must be one number per token, [N], not {list(losses.shape)}")
    if not total > 0:
        raise ObjectiveError(f"{name} must be positive, not {total}: a window without target tokens has no mean")

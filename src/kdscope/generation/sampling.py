"""The next token of each row, from its logits: the largest, or one drawn with a number that is the row's own."""

from __future__ import annotations

import random
from collections.abc import Iterable

import torch
from torch import Tensor

from kdscope.core.seeds import derive_seed

# Nearly every nucleus lies within so many tokens; finding these costs a tenth of sorting a vocabulary.
_LIKELIEST = 1024


def uniform_numbers(seed: int, call: int, rows: Iterable[int], steps: int) -> Tensor:
    """One number in [0, 1) a row and step, [rows, steps] float64: a function of (seed, call, row, step) alone.

    Neither the other rows nor the number of steps changes any of them.

    >>> bool((uniform_numbers(0, 1, [2], 3) == uniform_numbers(0, 1, range(4), 9)[2:3, :3]).all())
    True
    """
    sources = [random.Random(derive_seed(seed, "generate", call, row)) for row in rows]
    return torch.tensor([[source.random() for _ in range(steps)] for source in sources], dtype=torch.float64)


def largest(logits: Tensor) -> Tensor:
    """The likeliest token of each row, [B]; the first of equals; -1 where the logits are not numbers."""
    values, tokens = logits.max(-1)
    return torch.where(values.isfinite(), tokens, -1)


def draw(logits: Tensor, temperature: float, top_p: float, uniform: Tensor) -> Tensor:
    """A token of each row from softmax(z / T), by inverting its distribution function.

    The token is the first whose cumulative probability exceeds u times the whole. Probabilities are float32, their sums
    float64: rounding then neither reaches a token of probability zero nor makes a rare one unreachable.

    Args:
        logits: z, [B, V], float32.
        temperature: T, above 0.
        top_p: Only the smallest set of likeliest tokens with at least this probability is drawn from (Holtzman et al.
            2020, nucleus sampling); 1 keeps the whole distribution.
        uniform: u, one number in [0, 1) a row, [B] float64.

    Returns:
        Token ids [B]; -1 where the logits are not numbers.
    """
    probabilities = torch.softmax(logits if temperature == 1.0 else logits / temperature, -1)
    if probabilities.device.type == "mps":  # has no float64
        probabilities = probabilities.cpu()
    # One logit that is not a number makes its whole row so.
    broken = probabilities[:, 0].isnan()
    tokens = None
    if top_p < 1.0:
        probabilities, tokens = _nucleus(probabilities.nan_to_num(1.0), top_p)
    cumulative = probabilities.cumsum(-1, dtype=torch.float64)
    threshold = uniform.to(cumulative.device)[:, None] * cumulative[:, -1:]
    places = torch.searchsorted(cumulative, threshold, right=True).masked_fill(broken[:, None], 0)
    drawn = places if tokens is None else tokens.gather(-1, places)
    return drawn[:, 0].masked_fill(broken, -1).to(logits.device)


def _nucleus(probabilities: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """The likeliest tokens, with zero in place of the probabilities outside of the nucleus."""
    vocabulary = probabilities.shape[-1]
    for count in (min(_LIKELIEST, vocabulary), vocabulary):
        ordered, tokens = probabilities.topk(count)
        before = ordered.cumsum(-1, dtype=torch.float64) - ordered
        if count == vocabulary or bool((before[:, -1] >= top_p).all()):
            break
    return ordered.where(before < top_p, 0.0), tokens

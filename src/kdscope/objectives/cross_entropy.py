"""Cross-entropy with the reference text: what ordinary fine-tuning minimises."""

from __future__ import annotations

import torch
from torch import Tensor

from kdscope.core.errors import ObjectiveError
from kdscope.objectives.probabilities import at_least_float32


def cross_entropy(student_logits: Tensor, targets: Tensor) -> Tensor:
    """-log Q(y) = logsumexp(z) - z[y] per token, in nats, at temperature 1.

    No index means "ignore": tokens that are not to be learnt are left out by the caller, never averaged in.

    Args:
        student_logits: z, [N, V].
        targets: y, [N], int64, 0 <= y < V.

    Returns:
        [N], float32 or float64.

    Raises:
        ObjectiveError: shapes do not fit, or a target is no index of the vocabulary.

    Example:
        >>> import torch
        >>> round(cross_entropy(torch.zeros(1, 4), torch.tensor([2])).item(), 4)  # log 4
        1.3863
    """
    if student_logits.ndim != 2:
        raise ObjectiveError(f"cross-entropy needs logits [tokens, vocabulary], not {list(student_logits.shape)}")
    check_targets(targets, *student_logits.shape)
    logits = at_least_float32(student_logits)
    return logits.logsumexp(dim=-1) - logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def check_targets(targets: Tensor, tokens: int, vocabulary: int) -> None:
    """Raises ObjectiveError unless the targets are one index of the vocabulary for every token."""
    if targets.shape != (tokens,):
        raise ObjectiveError(f"{tokens} tokens need as many targets, not {list(targets.shape)}")
    if targets.dtype != torch.int64:
        raise ObjectiveError(f"targets must be int64 token ids, not {targets.dtype}")
    outside = (targets < 0) | (targets >= vocabulary)
    if outside.any():
        raise ObjectiveError(f"target {int(targets[outside][0])} is no index of {vocabulary} logits")

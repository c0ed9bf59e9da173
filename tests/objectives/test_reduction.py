"""However a window is cut, padded or ordered, its shares add up to the same mean."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kdscope.errors import ObjectiveError
from kdscope.objectives.reduction import sequence_mean_share, token_mean_share
from kdscope.objectives.settings import Objective, per_token_loss

windows = st.lists(st.lists(st.floats(0, 50), min_size=1, max_size=6), min_size=1, max_size=8)


def flatten(window: list[list[float]]) -> tuple[Tensor, Tensor, Tensor]:
    losses = torch.tensor([loss for sequence in window for loss in sequence], dtype=torch.float64)
    lengths = torch.tensor([len(sequence) for sequence in window])
    return losses, torch.repeat_interleave(torch.arange(len(window)), lengths), lengths


@given(window=windows, cuts=st.lists(st.integers(0, 48), max_size=5))
@settings(max_examples=100, deadline=None)
def test_shares_of_unequal_micro_batches_add_up(window: list[list[float]], cuts: list[int]) -> None:
    losses, ids, lengths = flatten(window)
    by_token, by_sequence = 0.0, 0.0
    edges = [0, *sorted(min(cut, len(losses)) for cut in cuts), len(losses)]
    for start, stop in pairwise(edges):  # empty micro-batches and cut sequences included
        part = slice(start, stop)
        by_token += token_mean_share(losses[part], len(losses)).item()
        by_sequence += sequence_mean_share(losses[part], ids[part], lengths, len(window)).item()
    everything = [loss for sequence in window for loss in sequence]
    assert by_token == pytest.approx(math.fsum(everything) / len(everything), rel=1e-12)
    means = [math.fsum(sequence) / len(sequence) for sequence in window]
    assert by_sequence == pytest.approx(math.fsum(means) / len(means), rel=1e-12)


@given(window=windows, order=st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_the_order_of_tokens_does_not_matter(window: list[list[float]], order: object) -> None:
    losses, ids, lengths = flatten(window)
    shuffled = list(range(len(losses)))
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    whole = sequence_mean_share(losses, ids, lengths, len(window))
    torch.testing.assert_close(sequence_mean_share(losses[shuffled], ids[shuffled], lengths, len(window)), whole)


def test_the_two_reductions_differ_where_lengths_do() -> None:
    losses, ids, lengths = flatten([[1.0, 1.0, 1.0], [5.0]])
    assert token_mean_share(losses, 4).item() == 2.0
    assert sequence_mean_share(losses, ids, lengths, 2).item() == 3.0


@pytest.mark.parametrize("reduction", ["token", "sequence"])
def test_padding_and_accumulation_do_not_change_a_gradient(reduction: str) -> None:
    """A head's gradient over four sequences: at once, and in padded micro-batches of three and one."""
    generator = torch.Generator().manual_seed(3)
    lengths = torch.tensor([5, 2, 7, 1])
    hidden = torch.randn(4, 7, 6, generator=generator, dtype=torch.float64)
    teacher = torch.randn(4, 7, 9, generator=generator, dtype=torch.float64)
    targets = torch.randint(9, (4, 7), generator=generator)
    mask = torch.arange(7) < lengths[:, None]
    start = torch.randn(6, 9, generator=generator, dtype=torch.float64)
    objective = Objective("forward_kl", 0.4, temperature=2.0)

    def gradient(batches: list[list[int]], padding: int) -> Tensor:
        head = start.clone().requires_grad_()
        for rows in batches:
            wide = torch.nn.functional.pad(hidden[rows], (0, 0, 0, padding), value=1e3)
            kept = torch.nn.functional.pad(mask[rows], (0, padding))
            chosen = mask[rows]
            losses = per_token_loss(objective, wide[kept] @ head, teacher[rows][chosen], targets[rows][chosen]).total
            ids = torch.tensor(rows)[:, None].expand(-1, 7)[chosen]
            if reduction == "token":
                token_mean_share(losses, int(lengths.sum())).backward()
            else:
                sequence_mean_share(losses, ids, lengths, 4).backward()
        assert head.grad is not None
        return head.grad

    whole = gradient([[0, 1, 2, 3]], padding=0)
    torch.testing.assert_close(gradient([[0, 3, 2], [1]], padding=4), whole, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(gradient([[0], [1], [2], [3]], padding=1), whole, rtol=1e-12, atol=1e-14)


def test_half_precision_losses_are_summed_in_float32() -> None:
    losses = torch.ones(4097, dtype=torch.bfloat16)  # a bfloat16 sum rounds 4097 to 4096
    share = token_mean_share(losses, 1)
    assert share.dtype == torch.float32
    assert share.item() == 4097.0
    ids = torch.zeros(4097, dtype=torch.int64)
    assert sequence_mean_share(losses, ids, torch.tensor([4097]), 1).item() == pytest.approx(1.0, abs=1e-5)


def test_a_rank_without_tokens_adds_nothing_but_stays_in_the_graph() -> None:
    head = torch.ones(3, requires_grad=True)
    share = token_mean_share((torch.zeros(0, 3) * head).sum(-1), 5)
    share.backward()
    assert share.item() == 0.0
    assert head.grad is not None
    assert head.grad.abs().sum() == 0.0


def test_refuses_what_has_no_mean() -> None:
    one, zero = torch.ones(1), torch.zeros(1, dtype=torch.int64)
    with pytest.raises(ObjectiveError, match="total_tokens must be positive, not 0"):
        token_mean_share(one, 0)
    with pytest.raises(ObjectiveError, match="total_sequences must be positive"):
        sequence_mean_share(one, zero, torch.tensor([1]), 0)
    with pytest.raises(ObjectiveError, match=r"not \[1, 1\]"):
        token_mean_share(one[None], 1)
    with pytest.raises(ObjectiveError, match="as many sequence_ids"):
        sequence_mean_share(one, torch.tensor([0, 0]), torch.tensor([2]), 1)
    with pytest.raises(ObjectiveError, match="counts as empty"):
        sequence_mean_share(one, zero, torch.tensor([0]), 1)

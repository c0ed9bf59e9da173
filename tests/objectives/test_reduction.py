"""However a window is cut, padded or ordered, its weights make the same mean."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kdscope.core.errors import ObjectiveError
from kdscope.objectives import Head, Objective, fused_loss, sequence_weights, token_weights
from tests.objectives.students import GivenLogits

windows = st.lists(st.lists(st.floats(0, 50), min_size=1, max_size=6), min_size=1, max_size=8)
EXACT = torch.float64


def flatten(window: list[list[float]]) -> tuple[Tensor, Tensor, Tensor]:
    losses = torch.tensor([loss for sequence in window for loss in sequence], dtype=torch.float64)
    lengths = torch.tensor([len(sequence) for sequence in window])
    return losses, torch.repeat_interleave(torch.arange(len(window)), lengths), lengths


@given(window=windows, cuts=st.lists(st.integers(0, 48), max_size=5))
@settings(max_examples=100, deadline=None)
def test_weighted_sums_of_unequal_micro_batches_add_up(window: list[list[float]], cuts: list[int]) -> None:
    losses, ids, lengths = flatten(window)
    by_token, by_sequence = 0.0, 0.0
    edges = [0, *sorted(min(cut, len(losses)) for cut in cuts), len(losses)]
    for start, stop in pairwise(edges):  # empty micro-batches and cut sequences included
        part = losses[start:stop]
        by_token += (token_weights(len(part), len(losses), dtype=EXACT) @ part).item()
        by_sequence += (sequence_weights(ids[start:stop], lengths, len(window), dtype=EXACT) @ part).item()
    everything = [loss for sequence in window for loss in sequence]
    assert by_token == pytest.approx(math.fsum(everything) / len(everything), rel=1e-12)
    means = [math.fsum(sequence) / len(sequence) for sequence in window]
    assert by_sequence == pytest.approx(math.fsum(means) / len(means), rel=1e-12)


@given(window=windows, order=st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_the_order_of_tokens_does_not_matter(window: list[list[float]], order: object) -> None:
    _, ids, lengths = flatten(window)
    shuffled = list(range(len(ids)))
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    weights = sequence_weights(ids, lengths, len(window))
    assert torch.equal(sequence_weights(ids[shuffled], lengths, len(window)), weights[shuffled])
    assert weights.sum().item() == pytest.approx(1.0, abs=1e-6)


def test_the_two_reductions_differ_where_lengths_do() -> None:
    losses, ids, lengths = flatten([[1.0, 1.0, 1.0], [5.0]])
    assert token_weights(4, 4).double() @ losses == 2.0
    assert sequence_weights(ids, lengths, 2, dtype=EXACT) @ losses == pytest.approx(3.0)


@pytest.mark.parametrize("reduction", ["token", "sequence"])
def test_padding_and_accumulation_do_not_change_a_gradient(reduction: str) -> None:
    """A head's gradient over four sequences: at once, and in padded micro-batches of three and one."""
    generator = torch.Generator().manual_seed(3)
    lengths = torch.tensor([5, 2, 7, 1])
    hidden = torch.randn(4, 7, 6, generator=generator, dtype=torch.float64)
    teacher = torch.randn(4, 7, 9, generator=generator, dtype=torch.float64)
    targets = torch.randint(9, (4, 7), generator=generator)
    mask = torch.arange(7) < lengths[:, None]
    start = torch.randn(9, 6, generator=generator, dtype=torch.float64)
    objective = Objective("forward_kl", 0.4, temperature=2.0)

    def gradient(batches: list[list[int]], padding: int) -> Tensor:
        weight = start.clone().requires_grad_()
        for rows in batches:
            wide = torch.nn.functional.pad(hidden[rows], (0, 0, 0, padding), value=1e3)
            kept, chosen = torch.nn.functional.pad(mask[rows], (0, padding)), mask[rows]
            ids = torch.tensor(rows)[:, None].expand(-1, 7)[chosen]
            if reduction == "token":
                weights = token_weights(len(ids), int(lengths.sum()), dtype=EXACT)
            else:
                weights = sequence_weights(ids, lengths, 4, dtype=EXACT)
            said = GivenLogits(teacher[rows][chosen])
            fused_loss(objective, wide[kept], Head(weight), targets[rows][chosen], weights, said).total.backward()
        assert weight.grad is not None
        return weight.grad

    whole = gradient([[0, 1, 2, 3]], padding=0)
    torch.testing.assert_close(gradient([[0, 3, 2], [1]], padding=4), whole, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(gradient([[0], [1], [2], [3]], padding=1), whole, rtol=1e-12, atol=1e-14)


def test_float32_unless_asked() -> None:
    ids, lengths = torch.tensor([0, 0]), torch.tensor([2])
    assert token_weights(3, 7).dtype == sequence_weights(ids, lengths, 1).dtype == torch.float32
    assert token_weights(3, 7, dtype=EXACT).tolist() == [1 / 7] * 3
    assert sequence_weights(ids, lengths, 5, dtype=EXACT).tolist() == [0.1] * 2


def test_no_tokens_no_weights() -> None:
    assert token_weights(0, 5).shape == (0,)
    assert sequence_weights(torch.zeros(0, dtype=torch.int64), torch.tensor([3]), 1).shape == (0,)


def test_refuses_what_has_no_mean() -> None:
    zero = torch.zeros(1, dtype=torch.int64)
    with pytest.raises(ObjectiveError, match="total_tokens must be positive, not 0"):
        token_weights(1, 0)
    with pytest.raises(ObjectiveError, match="total_sequences must be positive"):
        sequence_weights(zero, torch.tensor([1]), 0)
    with pytest.raises(ObjectiveError, match=r"not \[1, 1\] and \[1\]"):
        sequence_weights(zero[None], torch.tensor([1]), 1)
    with pytest.raises(ObjectiveError, match="counts as empty"):
        sequence_weights(zero, torch.tensor([0]), 1)

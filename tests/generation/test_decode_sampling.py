"""Tokens are drawn as the probabilities say, with numbers that belong to a row and a step and to nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from kdscope.generation.decode import draw, largest, uniform_numbers


def inverse_cdf(logits: np.ndarray, temperature: float, uniform: float) -> int:
    """The definition, in float64."""
    scaled = logits.astype(np.float64) / temperature
    cumulative = np.cumsum(np.exp(scaled - scaled.max()))
    return int(np.argmax(cumulative > uniform * cumulative[-1]))


def test_the_numbers_are_uniform() -> None:
    numbers = uniform_numbers(3, 1, range(60), 80).flatten().numpy()
    assert kstest(numbers, "uniform").pvalue > 1e-4
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert len(np.unique(numbers)) == numbers.size


@given(st.integers(0, 2**40), st.integers(0, 1000), st.lists(st.integers(0, 500), max_size=5), st.integers(1, 9))
def test_a_number_belongs_to_its_seed_call_row_and_step(seed: int, call: int, rows: list[int], steps: int) -> None:
    whole = uniform_numbers(seed, call, range(501), steps)
    some = uniform_numbers(seed, call, rows, max(1, steps - 1))
    for place, row in enumerate(rows):
        assert torch.equal(some[place], whole[row, : max(1, steps - 1)])
    assert not torch.equal(uniform_numbers(seed, call + 1, [0], steps), whole[:1])
    assert not torch.equal(uniform_numbers(seed + 1, call, [0], steps), whole[:1])


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(0.2, 5.0), st.integers(2, 400))
def test_a_draw_inverts_the_distribution_function(seed: int, temperature: float, vocabulary: int) -> None:
    source = np.random.default_rng(seed)
    logits = source.normal(0, 3, (5, vocabulary)).astype(np.float32)
    uniform = source.random(5)
    tokens = draw(torch.from_numpy(logits), temperature, 1.0, torch.from_numpy(uniform)).tolist()
    expected = [inverse_cdf(row, temperature, u) for row, u in zip(logits, uniform, strict=True)]
    # Probabilities are float32: next to a boundary either side is right.
    close = [inverse_cdf(row, temperature, min(u + 1e-5, 1.0)) for row, u in zip(logits, uniform, strict=True)]
    closer = [inverse_cdf(row, temperature, max(u - 1e-5, 0.0)) for row, u in zip(logits, uniform, strict=True)]
    assert all(low <= token <= high for low, token, high in zip(closer, tokens, close, strict=True))
    assert sum(token == wanted for token, wanted in zip(tokens, expected, strict=True)) >= 4


@pytest.mark.parametrize("top_p", [1.0, 0.9, 1e-9])
@pytest.mark.parametrize("vocabulary", [7, 40_000])
def test_both_ends_of_the_numbers_give_tokens_that_can_come(top_p: float, vocabulary: int) -> None:
    """The last token has no chance, nor has the first: rounding must not reach them."""
    logits = torch.randn(2, vocabulary, generator=torch.Generator().manual_seed(0))
    logits[:, 0] = logits[:, -1] = -torch.inf
    tokens = draw(logits, 1.0, top_p, torch.tensor([0.0, 1.0 - 2.0**-53], dtype=torch.float64))
    assert torch.isfinite(logits[[0, 1], tokens]).all()
    if top_p == 1.0:
        assert tokens.tolist() == [1, vocabulary - 2]


def nucleus_of(probabilities: np.ndarray, top_p: float) -> set[int]:
    order = np.argsort(-probabilities)
    return set(order[: 1 + int(np.searchsorted(np.cumsum(probabilities[order]), top_p))].tolist())


@pytest.mark.parametrize(("vocabulary", "top_p"), [(50, 0.3), (50, 0.95), (3000, 0.99), (5000, 0.2)])
def test_the_nucleus_and_only_the_nucleus(vocabulary: int, top_p: float) -> None:
    """A nearly flat distribution over 3000 tokens has its nucleus far beyond the likeliest thousand."""
    logits = torch.randn(1, vocabulary, generator=torch.Generator().manual_seed(1)) * (0.1 if vocabulary == 3000 else 2)
    probabilities = torch.softmax(logits[0].double(), -1).numpy()
    nucleus = nucleus_of(probabilities, top_p)
    count = 20_000
    uniform = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    tokens = draw(logits.expand(count, -1), 1.0, top_p, uniform).numpy()
    seen = np.bincount(tokens, minlength=vocabulary)
    assert set(np.flatnonzero(seen)) <= nucleus
    expected = np.where(np.isin(np.arange(vocabulary), list(nucleus)), probabilities, 0.0)
    np.testing.assert_allclose(seen / count, expected / expected.sum(), atol=1.5 / count)


def test_draws_follow_the_softmax() -> None:
    logits = torch.tensor([[1.0, 0.0, -1.0, 2.0, -3.0]])
    count = 20_000
    tokens = draw(logits.expand(count, -1), 0.7, 1.0, uniform_numbers(0, 0, range(count), 1)[:, 0])
    expected = torch.softmax(logits[0].double() / 0.7, -1).numpy() * count
    assert chisquare(np.bincount(tokens.numpy(), minlength=5), expected).pvalue > 1e-4


def test_the_first_of_the_largest() -> None:
    assert largest(torch.tensor([[0.0, 2.0, 2.0], [-torch.inf, -5.0, -torch.inf]])).tolist() == [1, 1]


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
@pytest.mark.parametrize("top_p", [1.0, 0.5])
def test_what_is_not_a_number_is_no_token(broken: float, top_p: float) -> None:
    logits = torch.zeros(2, 5)
    logits[1, 2] = broken
    uniform = torch.full((2,), 0.3, dtype=torch.float64)
    assert draw(logits, 1.0, top_p, uniform)[1] == -1
    assert draw(logits, 1.0, top_p, uniform)[0] >= 0
    assert largest(logits).tolist() == [0, -1]

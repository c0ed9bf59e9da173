"""Teacher noise: reproducible from its coordinates alone, and as normal as a normal variable."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from kdscope.core.errors import ObjectiveError
from kdscope.teacher import teacher_logits as noise
from kdscope.teacher.teacher_logits import add_teacher_noise

WORDS = 1 << 64
INCREMENT = 0x9E3779B97F4A7C15


def mix(word: int) -> int:
    """SplitMix64's output function on Python's unbounded integers."""
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % WORDS
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % WORDS
    return word ^ (word >> 31)


def by_hand(seed: int, example: int, position: int, index: int) -> float:
    """One noise value, in plain Python."""
    key = mix((seed + INCREMENT) % WORDS)
    key = mix(((key ^ example % WORDS) + INCREMENT) % WORDS)
    key = mix(((key ^ position % WORDS) + INCREMENT) % WORDS)
    increment = mix((key + INCREMENT) % WORDS) | 1
    word = mix((key + increment * (index // 2 + 1)) % WORDS)
    high, low = divmod(word, 1 << 32)
    # The upper half counts as a signed number from -2^31.
    uniform = ((high + (1 << 31)) % (1 << 32) + 0.5) / 2**32
    wave = math.sin if index % 2 else math.cos
    return math.sqrt(-2 * math.log(uniform)) * wave(2 * math.pi * low / 2**32)


def standard(rows: int, vocabulary: int, seed: int = 0, position: int = 0) -> Tensor:
    """Noise of std 1 for examples 0, 1, ... at one position, float64."""
    zeros = torch.zeros(rows, vocabulary, dtype=torch.float64)
    return add_teacher_noise(zeros, 1.0, seed, torch.arange(rows), torch.full((rows,), position))


def test_the_generator_is_splitmix64() -> None:
    """The first words from seed 1234567, as printed by Vigna's reference implementation (prng.di.unimi.it)."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    states = [(1234567 + INCREMENT * step) % WORDS for step in range(1, 5)]
    words = noise._mix(torch.tensor([noise._signed(state) for state in states]))
    assert [word % WORDS for word in words.tolist()] == published


@given(
    seed=st.integers(-(2**63), 2**64),
    example=st.integers(-(2**63), 2**63 - 1),
    position=st.integers(0, 10**6),
    vocabulary=st.integers(1, 9),
)
@settings(max_examples=60, deadline=None)
def test_every_value_is_the_one_worked_out_in_plain_python(
    seed: int, example: int, position: int, vocabulary: int
) -> None:
    zeros = torch.zeros(1, vocabulary, dtype=torch.float64)
    values = add_teacher_noise(zeros, 1.0, seed, torch.tensor([example]), torch.tensor([position]))
    expected = [by_hand(seed, example, position, index) for index in range(vocabulary)]
    np.testing.assert_allclose(values[0].numpy(), expected, rtol=1e-9, atol=1e-9)


def test_golden_values() -> None:
    """From `by_hand` above; a change here changes every noisy study ever run."""
    zeros = torch.zeros(2, 4)
    values = add_teacher_noise(zeros, 2.0, 42, torch.tensor([0, 7]), torch.tensor([3, 0]))
    golden = [[-1.20455828, -3.64901212, 1.56469424, 0.88243621], [0.34112858, 0.55234727, 0.67890732, 1.02165954]]
    torch.testing.assert_close(values, torch.tensor(golden), rtol=1e-6, atol=1e-6)


def test_the_same_in_any_batch_order_chunk_and_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(23, 1001, generator=generator)
    examples, positions = torch.arange(23) // 5, torch.arange(23) % 5
    whole = add_teacher_noise(logits, 0.7, 5, examples, positions)
    order = torch.randperm(23, generator=generator)
    shuffled = add_teacher_noise(logits[order], 0.7, 5, examples[order], positions[order])
    assert torch.equal(shuffled, whole[order])
    alone = [add_teacher_noise(logits[[i]], 0.7, 5, examples[[i]], positions[[i]]) for i in range(23)]
    assert torch.equal(torch.cat(alone), whole)
    assert torch.equal(add_teacher_noise(logits[:, :64], 0.7, 5, examples, positions), whole[:, :64])
    monkeypatch.setattr(noise, "_ELEMENTS_PER_CHUNK", 2000)
    assert torch.equal(add_teacher_noise(logits, 0.7, 5, examples, positions), whole)


def test_the_noise_does_not_depend_on_the_logits_or_its_size() -> None:
    ids = torch.arange(3)
    logits = torch.linspace(-5, 5, 24, dtype=torch.float64).reshape(3, 8)
    plain = add_teacher_noise(torch.zeros(3, 8, dtype=torch.float64), 1.0, 1, ids, ids)
    torch.testing.assert_close(add_teacher_noise(logits, 0.25, 1, ids, ids), logits + 0.25 * plain)


def test_without_noise_the_logits_are_returned_unchanged() -> None:
    logits = torch.randn(2, 5, dtype=torch.bfloat16)
    assert add_teacher_noise(logits, 0.0, 1, torch.arange(2), torch.arange(2)) is logits


def test_the_input_is_left_alone_and_half_precision_widened() -> None:
    logits = torch.ones(2, 6, dtype=torch.bfloat16)
    noisy = add_teacher_noise(logits, 1e-3, 1, torch.arange(2), torch.arange(2))
    assert noisy.dtype == torch.float32
    assert (noisy != 1.0).all()  # bfloat16 would round most of them back to 1
    assert (logits == 1.0).all()


def test_impossible_tokens_stay_impossible() -> None:
    logits = torch.full((1, 3), -math.inf)
    assert add_teacher_noise(logits, 1.0, 1, torch.tensor([0]), torch.tensor([0])).isneginf().all()


def test_each_coordinate_makes_other_noise() -> None:
    base = {"seed": 0, "example": 0, "position": 0}
    rows = [base] + [base | {name: 1} for name in base]
    zeros = torch.zeros(1, 2000, dtype=torch.float64)
    drawn = [
        add_teacher_noise(zeros, 1.0, row["seed"], torch.tensor([row["example"]]), torch.tensor([row["position"]]))[0]
        for row in rows
    ]
    correlations = torch.corrcoef(torch.stack(drawn)) - torch.eye(4)
    assert correlations.abs().max() < 5 / math.sqrt(2000)


def test_it_is_normal() -> None:
    values = standard(100, 5000).numpy().ravel()
    assert stats.kstest(values, "norm").pvalue > 0.01
    error = 1 / math.sqrt(values.size)
    assert abs(values.mean()) < 4 * error
    assert abs(values.var() - 1) < 4 * math.sqrt(2) * error
    assert abs(stats.skew(values)) < 4 * math.sqrt(6) * error
    assert abs(stats.kurtosis(values)) < 4 * math.sqrt(24) * error


@pytest.mark.parametrize("limit", [2.0, 3.0, 4.0])
def test_its_tails_are_normal(limit: float) -> None:
    values = standard(400, 5000, seed=9).numpy()
    expected = stats.norm.sf(limit) * values.size
    for tail in ((values > limit).sum(), (values < -limit).sum()):
        assert stats.poisson.ppf(1e-4, expected) <= tail <= stats.poisson.ppf(1 - 1e-4, expected)


def test_every_row_and_column_is_normal_by_itself() -> None:
    values = standard(300, 300, seed=4).numpy()
    for lines in (values, values.T):
        p_values = [stats.kstest(line, "norm").pvalue for line in lines]
        assert stats.kstest(p_values, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("lag", [1, 2, 3, 64])
def test_neighbours_are_independent(axis: int, lag: int) -> None:
    values = standard(700, 700, seed=2).numpy()
    count = values.shape[axis]
    early, late = values.take(range(count - lag), axis).ravel(), values.take(range(lag, count), axis).ravel()
    limit = 4.5 / math.sqrt(early.size)
    assert abs(np.corrcoef(early, late)[0, 1]) < limit
    assert abs(np.corrcoef(early**2, late**2)[0, 1]) < limit  # the two values of one Box-Muller pair share a radius


def test_positions_of_one_example_are_independent() -> None:
    zeros = torch.zeros(600, 800, dtype=torch.float64)
    values = add_teacher_noise(zeros, 1.0, 0, torch.zeros(600, dtype=torch.int64), torch.arange(600))
    correlations = (torch.corrcoef(values) - torch.eye(600, dtype=torch.float64)).numpy()
    pairs = correlations[np.triu_indices(600, 1)]
    assert stats.kstest(pairs * math.sqrt(800), "norm").pvalue > 1e-3


@pytest.mark.parametrize(
    ("std", "examples", "message"),
    [
        (-1.0, torch.arange(2), "standard deviation"),
        (math.nan, torch.arange(2), "standard deviation"),
        (1.0, torch.arange(3), r"not \[2, 4\], \[3\], \[2\]"),
        (1.0, torch.arange(2.0), "int64"),
    ],
)
def test_refuses_what_it_is_not_defined_for(std: float, examples: Tensor, message: str) -> None:
    with pytest.raises(ObjectiveError, match=message):
        add_teacher_noise(torch.zeros(2, 4), std, 0, examples, torch.arange(2))


def test_no_rows_no_noise() -> None:
    empty = torch.zeros(0, dtype=torch.int64)
    assert add_teacher_noise(torch.zeros(0, 4), 1.0, 0, empty, empty).shape == (0, 4)

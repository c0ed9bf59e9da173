"""The measures of the distribution pass against dense float64 computation, scipy, and what they are by definition."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy
from transformers import PreTrainedModel

import kdscope.evaluation.distributions as distributions
from kdscope.core.errors import ModelError
from kdscope.evaluation.continuations import Continuation
from kdscope.evaluation.distributions import (
    DistributionRow,
    ForcedModel,
    ForcedPair,
    compare_distributions,
    compare_logits,
    likeliest,
)
from kdscope.models.load import load_model
from kdscope.models.source import ModelPlace
from kdscope.models.vocabulary import VocabularyMatch
from tests.builders import make_model
from tests.models.architectures import VOCABULARY, some_ids, tiny

MEASURES = (
    "forward_kl", "reverse_kl", "jensen_shannon", "total_variation", "top1_agreement", "top5_overlap", "teacher_nll",
    "student_nll", "teacher_confidence", "student_confidence",
)  # fmt: skip
SWAPPED = {
    "forward_kl": "reverse_kl",
    "reverse_kl": "forward_kl",
    "teacher_nll": "student_nll",
    "student_nll": "teacher_nll",
    "teacher_confidence": "student_confidence",
    "student_confidence": "teacher_confidence",
}


def by_hand(teacher: torch.Tensor, student: torch.Tensor, targets: torch.Tensor) -> NDArray[np.float64]:
    """Every measure of every position in float64, from scipy where scipy has it; [n, 10]."""
    p, q = (torch.softmax(z.double(), -1).numpy() for z in (teacher, student))
    rows = []
    for own, other, token in zip(p, q, targets.tolist(), strict=True):
        tops = [set(np.argsort(-row, kind="stable")[:5].tolist()) for row in (own, other)]
        rows.append(
            [
                entropy(own, other),
                entropy(other, own),
                jensenshannon(own, other) ** 2,
                np.abs(own - other).sum() / 2,
                float(own.argmax() == other.argmax()),
                len(tops[0] & tops[1]) / 5,
                -math.log(own[token]),
                -math.log(other[token]),
                own.max(),
                other.max(),
            ]
        )
    return np.array(rows)


def random_logits(rows: int, vocabulary: int, spread: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(rows, vocabulary, generator=generator) * spread
    return base, base + torch.randn(rows, vocabulary, generator=generator)


def match(size: int, teacher_cut: int = 0, student_cut: int = 0) -> VocabularyMatch:
    return VocabularyMatch(size, teacher_cut, student_cut, size)


def pair_of(teacher: PreTrainedModel, student: PreTrainedModel, vocabulary: VocabularyMatch) -> ForcedPair:
    return ForcedPair(ForcedModel.of(teacher), ForcedModel.of(student), vocabulary)


def texts(count: int = 7) -> list[Continuation]:
    """Prompts of 3 to 5 tokens, responses of 1 to 9."""
    made = []
    for number in range(count):
        ids = some_ids(14, seed=number).tolist()
        prompt, response = 3 + number % 3, 1 + (5 * number) % 9
        made.append(
            Continuation("task", f"task/{number}", "gold", tuple(ids[:prompt]), tuple(ids[prompt : prompt + response]))
        )
    return made


@torch.no_grad()
def dense(teacher: Any, student: Any, text: Continuation, rows: int = VOCABULARY) -> NDArray[np.float64]:
    """Means over the response, from both models' own forward passes in float64 on the text alone."""
    ids = torch.tensor([[*text.prompt_ids, *text.response_ids]])
    logits = [
        model.double()(input_ids=ids).logits[0, len(text.prompt_ids) - 1 : -1, :rows] for model in (teacher, student)
    ]
    for model in (teacher, student):
        model.float()
    return by_hand(*logits, torch.tensor(text.response_ids)).mean(0)


@pytest.mark.parametrize("vocabulary", [40, 1000, 4099])
def test_each_position_is_as_scipy_has_it(vocabulary: int) -> None:
    teacher, student = random_logits(6, vocabulary, 3.0, seed=vocabulary)
    targets = torch.arange(6)
    found = compare_logits(teacher, student, targets)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), by_hand(teacher, student, targets), rtol=2e-5, atol=2e-6)


def test_float64_stays_float64() -> None:
    teacher, student = (z.double() for z in random_logits(4, 300, 3.0, seed=1))
    found = compare_logits(teacher, student, torch.arange(4))
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), by_hand(teacher, student, torch.arange(4)), rtol=1e-12, atol=1e-14)


def test_the_documented_example() -> None:
    teacher, student = torch.tensor([[2.0, 1, 0, -1]]).double(), torch.tensor([[0.5, 1, 1.5, -0.5]]).double()
    found = dict(zip(MEASURES, compare_logits(teacher, student, torch.tensor([0]))[0].tolist(), strict=True))
    expected = {
        "forward_kl": 0.6255031807,
        "reverse_kl": 0.6751253100,
        "total_variation": 0.4695427722,
        "jensen_shannon": 0.1489273263,
        "top1_agreement": 0.0,
        "top5_overlap": 1.0,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("spread", [0.1, 5.0, 60.0])
def test_a_distribution_and_itself(spread: float) -> None:
    logits, _ = random_logits(5, 2000, spread, seed=3)
    found = compare_logits(logits, logits.clone(), torch.arange(5))
    assert (found[:, [0, 1, 3]] == 0).all()
    assert (found[:, 2] < 1e-6).all()
    assert (found[:, 4:6] == 1).all()
    torch.testing.assert_close(found[:, 6], found[:, 7])


@given(st.integers(0, 10**6), st.floats(0.1, 20.0), st.integers(5, 700))
@settings(max_examples=40, deadline=None)
def test_bounds_and_symmetry(seed: int, spread: float, vocabulary: int) -> None:
    teacher, student = random_logits(3, vocabulary, spread, seed)
    there = compare_logits(teacher, student, torch.tensor([0, 1, 2]))
    back = compare_logits(student, teacher, torch.tensor([0, 1, 2]))
    order = [MEASURES.index(SWAPPED.get(name, name)) for name in MEASURES]
    torch.testing.assert_close(back[:, order], there, rtol=1e-4, atol=1e-6)
    forward, reverse, shannon, variation, top1, top5 = there[:, :6].T
    assert (forward >= 2 * variation**2 - 1e-5).all(), "Pinsker"
    assert (reverse >= 2 * variation**2 - 1e-5).all()
    assert (shannon <= math.log(2) + 1e-6).all()
    assert (shannon <= variation * math.log(2) + 1e-5).all(), "Lin 1991, theorem 3"
    assert (top5 >= top1 / 5 - 1e-6).all()


def test_impossible_tokens_and_certain_ones() -> None:
    never = -math.inf
    teacher = torch.tensor([[0.0, 0.0, never, never], [200.0, 0.0, 0.0, 0.0]])
    student = torch.tensor([[0.0, 1.0, never, 2.0], [0.0, 200.0, 0.0, 0.0]])
    found = compare_logits(teacher, student, torch.tensor([0, 0]))
    p, q = torch.softmax(teacher[0], -1).numpy(), torch.softmax(student[0], -1).numpy()
    assert found[0, 0].item() == pytest.approx(entropy(p, q), rel=1e-5)
    assert found[0, 1].item() == math.inf
    assert found[0, 2].item() == pytest.approx(jensenshannon(p, q) ** 2, rel=1e-5)
    assert found[1, 2].item() == pytest.approx(math.log(2), rel=1e-6)
    assert found[1, 3].item() == 1.0
    assert found[1, 0].item() == pytest.approx(200.0)


@given(st.integers(0, 10**6), st.integers(1, 900), st.integers(1, 8), st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_likeliest_are_found_without_sorting(seed: int, vocabulary: int, count: int, ties: bool) -> None:
    logits = torch.randn(4, vocabulary, generator=torch.Generator().manual_seed(seed))
    logits = (2 * logits).round() if ties else logits
    found = likeliest(logits, count)
    expected = logits.sort(-1, descending=True).values[:, :count]
    assert found.shape == expected.shape
    assert (logits.gather(-1, found).sort(-1, descending=True).values == expected).all()
    assert all(len(set(row)) == len(row) for row in found.tolist())
    if vocabulary <= 64 * count or not ties:
        assert (found[:, 0] == torch.tensor([row.index(max(row)) for row in logits.tolist()])).all()


@pytest.mark.parametrize("kinds", [("llama", "llama"), ("qwen2", "llama"), ("gemma2", "granite"), ("llama", "gpt2")])
def test_the_pass_is_what_both_models_say_of_each_text_alone(kinds: tuple[str, str]) -> None:
    teacher, student = tiny(kinds[0], seed=1), tiny(kinds[1], seed=2)
    rows = compare_distributions(pair_of(teacher, student, match(VOCABULARY)), texts(), pad_id=0)
    assert [row.item_id for row in rows] == [text.item_id for text in texts()]
    for row, text in zip(rows, texts(), strict=True):
        assert row.tokens == len(text.response_ids)
        found = [getattr(row, name) for name in MEASURES]
        np.testing.assert_allclose(found, dense(teacher, student, text), rtol=5e-4, atol=5e-5)
        assert (row.teacher_cut_mass, row.student_cut_mass) == (0.0, 0.0)


def test_chunks_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = pair_of(tiny("llama", seed=1), tiny("llama", seed=2), match(VOCABULARY))
    whole = compare_distributions(pair, texts(), pad_id=0)
    monkeypatch.setattr(distributions, "chunk_rows", lambda vocabulary, device: 3)
    monkeypatch.setattr(distributions, "_BLOCK_ELEMENTS", 2 * VOCABULARY)
    monkeypatch.setattr(distributions, "_BATCH_TOKENS", 20)
    told: list[tuple[int, int]] = []
    pieced = compare_distributions(pair, texts(), pad_id=0, progress=lambda done, total: told.append((done, total)))
    for one, other in zip(whole, pieced, strict=True):
        assert numbers(one) == pytest.approx(numbers(other), rel=1e-4, abs=1e-5)
    assert len(told) > 3
    assert told[-1] == (7, 7)
    assert told == sorted(told)


def numbers(row: DistributionRow) -> list[float]:
    return [row.tokens, *(getattr(row, name) for name in MEASURES)]


def test_a_model_and_itself_and_the_two_sides_swapped() -> None:
    one, other = tiny("llama", seed=1), tiny("llama", seed=2)
    for row in compare_distributions(pair_of(one, one, match(VOCABULARY)), texts(), pad_id=0):
        assert (row.forward_kl, row.reverse_kl, row.total_variation) == (0.0, 0.0, 0.0)
        assert row.jensen_shannon < 1e-6
        assert (row.top1_agreement, row.top5_overlap) == (1.0, 1.0)
        assert row.teacher_nll == row.student_nll > 0
    there = compare_distributions(pair_of(one, other, match(VOCABULARY)), texts(), pad_id=0)
    back = compare_distributions(pair_of(other, one, match(VOCABULARY)), texts(), pad_id=0)
    for row, mirrored in zip(there, back, strict=True):
        assert row.forward_kl > 0.01
        for name in MEASURES:
            assert getattr(row, name) == pytest.approx(getattr(mirrored, SWAPPED.get(name, name)), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("wider", ["teacher", "student"])
def test_padding_rows_are_cut_and_told(tmp_path: Path, wider: str) -> None:
    extra = 6
    sides = {
        side: load_model(
            ModelPlace(str(make_model(tmp_path / side, spread=0.3, seed=n, extra_rows=extra * (side == wider)))),
            "float32",
            "cpu",
        )
        for n, side in enumerate(("teacher", "student"))
    }
    cut = {f"{wider}_cut": extra}
    text = texts(1)[0]
    (row,) = compare_distributions(pair_of(*sides.values(), match(258, **cut)), [text], pad_id=0)
    np.testing.assert_allclose(
        [getattr(row, name) for name in MEASURES], dense(*sides.values(), text, rows=258), rtol=5e-4, atol=5e-5
    )
    ids = torch.tensor([[*text.prompt_ids, *text.response_ids]])
    with torch.no_grad():
        own = sides[wider](input_ids=ids).logits[0, len(text.prompt_ids) - 1 : -1].softmax(-1)
    assert getattr(row, f"{wider}_cut_mass") == pytest.approx(own[:, 258:].sum(-1).mean().item(), rel=1e-4)
    assert row.teacher_cut_mass * row.student_cut_mass == 0.0


def test_texts_of_nothing_and_texts_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    original = ForcedModel.read

    def counted(self: ForcedModel, batch: Any) -> torch.Tensor:
        read.append(len(batch.lengths))
        return original(self, batch)

    monkeypatch.setattr(ForcedModel, "read", counted)
    first, second = texts(2)
    asked = [
        first,
        Continuation("task", "task/9", "student", second.prompt_ids, ()),
        Continuation("task", first.item_id, "teacher", first.prompt_ids, first.response_ids),
        second,
    ]
    pair = pair_of(tiny("llama", seed=1), tiny("llama", seed=2), match(VOCABULARY))
    rows = compare_distributions(pair, asked, pad_id=0)
    assert sum(read) == 2 * 2
    assert [(row.item_id, row.prefix) for row in rows] == [
        ("task/0", "gold"), ("task/0", "teacher"), ("task/1", "gold"),
    ]  # fmt: skip
    assert numbers(rows[0]) == numbers(rows[1]) != numbers(rows[2])
    assert compare_distributions(pair, asked[1:2], pad_id=0) == []


def test_logits_that_are_not_numbers_are_an_error() -> None:
    broken = tiny("llama", seed=1)
    with torch.no_grad():
        broken.get_decoder().layers[2].mlp.up_proj.weight.fill_(math.nan)
    pair = pair_of(tiny("llama", seed=2), broken, match(VOCABULARY))
    with pytest.raises(ModelError, match="task/0 are not numbers"):
        compare_distributions(pair, texts(1), pad_id=0)


def test_texts_are_read_as_far_as_both_models_have_positions() -> None:
    pair = pair_of(tiny("gpt2", seed=1), tiny("gpt2", seed=2, n_positions=8), match(VOCABULARY))
    assert pair.position_limit == 8
    asked = texts()
    rows = compare_distributions(pair, asked, pad_id=0)
    room = {one.item_id: min(len(one.response_ids), 8 - len(one.prompt_ids)) for one in asked}
    assert {row.item_id: row.tokens for row in rows} == room
    assert min(room.values()) < max(len(one.response_ids) for one in asked)
    beyond = replace(asked[0], prompt_ids=(3,) * 8)
    assert compare_distributions(pair, [beyond], pad_id=0) == []


def test_memory_is_that_of_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0
    original = compare_logits

    def watched(teacher: torch.Tensor, student: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        nonlocal largest
        largest = max(largest, teacher.numel())
        return original(teacher, student, targets)

    monkeypatch.setattr(distributions, "compare_logits", watched)
    vocabulary = 152_064
    teacher, student = (tiny("llama", seed=n, vocab_size=vocabulary, num_hidden_layers=1) for n in (1, 2))
    rows = compare_distributions(pair_of(teacher, student, match(vocabulary)), texts(3), pad_id=0)
    assert len(rows) == 3
    assert largest <= 2**18
    assert distributions.chunk_rows(vocabulary, torch.device("cpu")) * vocabulary <= 2**24
    np.testing.assert_allclose(
        [getattr(rows[0], name) for name in MEASURES],
        dense(teacher, student, texts(1)[0], vocabulary),
        rtol=1e-3,
        atol=1e-4,
    )

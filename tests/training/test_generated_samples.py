"""On-policy sampling with a scripted student: what is kept, what is cut, and which steps it is used in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from kdscope.data.batches import TokenSequence, collate, plan_micro_batches
from kdscope.generation.base import Completion, Decoding
from kdscope.generation.huggingface import HuggingFaceGenerator
from kdscope.models.load import load_model, load_tokenizer
from kdscope.models.source import ModelPlace
from kdscope.training.generated import OnPolicySampling
from tests.builders import make_model


class Scripted:
    """Continues every prompt with 7, 8, 9, ... and stops after as many tokens as the prompt has."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[tuple[int, ...]], Decoding, int]] = []

    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding, *, call: int) -> list[Completion]:
        self.calls.append(([tuple(p) for p in prompts], decoding, call))
        return [Completion((*range(7, 7 + len(p)), 1), "", "stop") for p in prompts]


SEQUENCES = [TokenSequence(4, (5, 6, 40, 41), 2), TokenSequence(9, (5, 6, 7, 8, 42), 4)]


def test_samples_follow_the_prompts_and_keep_their_example() -> None:
    student = Scripted()
    sampled = OnPolicySampling(student, 0.5, 0.8, max_length_tokens=8, seed=0).sample(SEQUENCES, step=3)
    assert sampled == [TokenSequence(4, (5, 6, 7, 8, 1), 2), TokenSequence(9, (5, 6, 7, 8, 7, 8, 9, 10), 4)]
    prompts, decoding, call = student.calls[0]
    assert (prompts, decoding.temperature, call) == ([(5, 6), (5, 6, 7, 8)], 0.8, 3)
    assert [decoding.room(len(prompt)) for prompt in prompts] == [6, 4]
    assert len(student.calls) == 1


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_the_share_of_on_policy_steps_is_the_probability(probability: float) -> None:
    sampling = OnPolicySampling(Scripted(), probability, 1.0, 8, seed=2)
    chosen = [sampling.uses_samples(step) for step in range(2000)]
    assert sum(chosen) / 2000 == pytest.approx(probability, abs=0.04)
    assert chosen == [sampling.uses_samples(step) for step in range(2000)]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> HuggingFaceGenerator:
    """A real model whose padding is its end token, and which often ends."""
    place = ModelPlace(str(make_model(tmp_path_factory.mktemp("model") / "student", spread=0.3)))
    model, tokenizer = load_model(place, "float32", "cpu"), load_tokenizer(place)
    tokenizer.pad_token = tokenizer.eos_token
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, *range(100, 120)]
    return HuggingFaceGenerator(model, tokenizer)


PROMPTS = [TokenSequence(i, (*range(65, 65 + length), 90, 91), length) for i, length in enumerate((9, 3, 20, 6, 12, 4))]


def sampling(student: HuggingFaceGenerator, **changes: object) -> OnPolicySampling:
    return replace(OnPolicySampling(student, 1.0, 1.0, 28, seed=1), **changes)


@pytest.mark.parametrize("packed", [False, True])
def test_an_end_token_is_a_target_and_padding_is_none(student: HuggingFaceGenerator, packed: bool) -> None:
    """Although both are the same token."""
    sampled = sampling(student).sample(PROMPTS, 0)
    stops = student._stop_ids()
    ended = [s.token_ids[-1] in stops for s in sampled]
    assert set(ended) == {True, False}
    for sequence, stopped in zip(sampled, ended, strict=True):
        assert len(sequence.token_ids) == 28 or stopped
        assert not stops.intersection(sequence.token_ids[sequence.prompt_length : -1])
    batch = collate(sampled, int(student.tokenizer.pad_token_id), False, packed=packed)
    for row, sequence in enumerate(sampled):
        assert tuple(batch.targets[batch.rows == row].tolist()) == sequence.token_ids[sequence.prompt_length :]


def test_samples_are_those_of_their_seed_and_step(student: HuggingFaceGenerator) -> None:
    first = sampling(student).sample(PROMPTS, 3)
    torch.manual_seed(99)
    assert sampling(student).sample(PROMPTS, 3) == first
    assert sampling(student).sample(PROMPTS, 4) != first
    assert sampling(student, seed=2).sample(PROMPTS, 3) != first
    assert sampling(student, temperature=0.5).sample(PROMPTS, 3) != first
    assert [s.token_ids[: s.prompt_length] for s in first] == [s.token_ids[: s.prompt_length] for s in PROMPTS]


def test_micro_batches_see_the_same_samples(student: HuggingFaceGenerator) -> None:
    """They are planned after sampling: whatever their size, each sequence is in one of them, as it was sampled."""
    sampled = sampling(student).sample(PROMPTS, 0)
    for tokens in (1, 40, 10_000):
        planned = [s for micro in plan_micro_batches(sampled, tokens, packed=False) for s in micro]
        assert sorted(planned, key=lambda s: s.example) == sampled


def test_a_prompt_that_fills_the_limit_gets_no_response(student: HuggingFaceGenerator) -> None:
    sampled = sampling(student, max_length_tokens=12).sample(PROMPTS, 0)
    assert sampled[2].token_ids == PROMPTS[2].token_ids[:12]
    assert sampled[4].token_ids == PROMPTS[4].token_ids[:12]
    assert all(len(s.token_ids) <= 12 for s in sampled)
    assert len(sampled[1].token_ids) > 3

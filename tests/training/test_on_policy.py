"""On-policy sampling with a scripted student: what is kept, what is cut, and which steps it is used in."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kdscope.data.batches import TokenSequence
from kdscope.models.generate import Completion, Decoding
from kdscope.training.on_policy import OnPolicySampling


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
    assert (prompts, decoding.temperature, decoding.max_new_tokens, call) == ([(5, 6), (5, 6, 7, 8)], 0.8, 6, 3)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_the_share_of_on_policy_steps_is_the_probability(probability: float) -> None:
    sampling = OnPolicySampling(Scripted(), probability, 1.0, 8, seed=2)
    chosen = [sampling.uses_samples(step) for step in range(2000)]
    assert sum(chosen) / 2000 == pytest.approx(probability, abs=0.04)
    assert chosen == [sampling.uses_samples(step) for step in range(2000)]

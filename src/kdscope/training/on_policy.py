"""Sequences the student samples itself, for GKD (Agarwal et al. 2024, Algorithm 1)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kdscope.core.seeds import derive_seed
from kdscope.data.batches import TokenSequence
from kdscope.generation.base import Decoding, Generator


@dataclass(frozen=True)
class OnPolicySampling:
    """When and how the student's own samples replace the references.

    Attributes:
        generator: The student.
        probability: Lambda: the chance that an optimiser step trains on samples.
        temperature: Sampling temperature, apart from the KD temperature.
        max_length_tokens: Prompt and sample together.
        seed: Seed of both the choice of steps and the samples.
    """

    generator: Generator
    probability: float
    temperature: float
    max_length_tokens: int
    seed: int

    def uses_samples(self, step: int) -> bool:
        """Whether this step is on-policy; depends on seed and step only."""
        return random.Random(derive_seed(self.seed, "on-policy", step)).random() < self.probability

    def sample(self, sequences: Sequence[TokenSequence], step: int) -> list[TokenSequence]:
        """The same prompts with responses sampled from the student, as token ids: nothing is re-tokenised.

        One generation call serves the whole step, so that samples do not depend on its micro-batches. A sample that ran
        into the length limit has no end token; one that stopped has it as its last target, whatever pads a batch.
        """
        decoding = Decoding(
            max_new_tokens=self.max_length_tokens - min(s.prompt_length for s in sequences),
            temperature=self.temperature,
            seed=self.seed,
            max_length_tokens=self.max_length_tokens,
        )
        prompts = [s.token_ids[: s.prompt_length] for s in sequences]
        completions = self.generator.generate(prompts, decoding, call=step)
        return [
            replace(s, token_ids=(*prompt, *c.token_ids)[: self.max_length_tokens])
            for s, prompt, c in zip(sequences, prompts, completions, strict=True)
        ]

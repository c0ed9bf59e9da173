"""Text generated while training: the student's samples for GKD, and greedy answers to the validation split.

On-policy samples are those of Agarwal et al. 2024 (Algorithm 1); answers score what a model is trained for, where loss
does not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from kdscope.answers import ReferenceAnswer, read_reference
from kdscope.core.seeds import derive_seed
from kdscope.data.batches import TokenSequence
from kdscope.data.examples import Example
from kdscope.fidelity.rouge import rouge_l
from kdscope.generation.base import Completion, Decoding, Generator, plan_batches


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


@dataclass(frozen=True)
class ValidationAnswers:
    """How answers to the validation split are generated and scored; the same for every arm and step.

    Attributes:
        generator: The model that trains.
        prompts: Token ids of each prompt.
        decoding: Greedy, and as long as an evaluation allows.
        score: The score of the completion with this number, from 0 to 1.
        batch_size: Most prompts generated together.
        batch_tokens: Most places of a batch, as in `plan_batches`.
    """

    generator: Generator
    prompts: Sequence[Sequence[int]]
    decoding: Decoding
    score: Callable[[int, Completion], float]
    batch_size: int
    batch_tokens: int | None = None

    def mean_score(self) -> float:
        """The mean score over the split; the model must be in evaluation mode."""
        lengths = [len(prompt) for prompt in self.prompts]
        plan = plan_batches(
            lengths, self.batch_size, batch_tokens=self.batch_tokens, max_new_tokens=self.decoding.max_new_tokens
        )
        total = 0.0
        for number, batch in enumerate(plan):
            completions = self.generator.generate([self.prompts[i] for i in batch], self.decoding, call=number)
            total += sum(self.score(i, completion) for i, completion in zip(batch, completions, strict=True))
        return total / len(self.prompts)


@dataclass(frozen=True)
class ReferenceScore:
    """Scores completions against references: right or wrong where a reference states an answer, else by ROUGE-L."""

    outputs: tuple[str, ...]
    instructions: tuple[str, ...]
    answers: tuple[ReferenceAnswer | None, ...]

    @classmethod
    def of(cls, examples: Sequence[Example]) -> ReferenceScore:
        """The score of answers to these examples, numbered in this order."""
        return cls(
            tuple(example.output for example in examples),
            tuple(example.instruction for example in examples),
            tuple(read_reference(example.instruction, example.output) for example in examples),
        )

    @property
    def metric(self) -> str:
        """accuracy, rouge_l, or mixed where some references state an answer and others do not."""
        stated = {answer is not None for answer in self.answers}
        return "mixed" if len(stated) > 1 else "accuracy" if True in stated else "rouge_l"

    def __call__(self, number: int, completion: Completion) -> float:
        """The score of a completion of example `number`, from 0 to 1."""
        answer, instruction = self.answers[number], self.instructions[number]
        if answer is None:
            return rouge_l(completion.text, [self.outputs[number]])
        reason = completion.finish_reason
        return float(answer.is_given_by(completion.text, finish_reason=reason, instruction=instruction))

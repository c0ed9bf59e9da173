"""The score of greedy answers to the validation split: what a model is trained for, where loss is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kdscope.answers import ReferenceAnswer, read_reference
from kdscope.data.examples import Example
from kdscope.fidelity.rouge import rouge_l
from kdscope.generation.base import Completion, Decoding, Generator, plan_batches


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

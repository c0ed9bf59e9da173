"""Greedy answers to a validation split, scored by what its references state."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kdscope.data.examples import Example
from kdscope.fidelity.rouge import rouge_l
from kdscope.generation.base import Completion, Decoding
from kdscope.tasks import get_task, mini_rows
from kdscope.training.generated import ReferenceScore, ValidationAnswers

SUM = Example(1, "Ann has 3 pens and gets 4. How many now?", "", "3 + 4 = 7. The answer is 7.")
YES = Example(2, "Is 3 more than 2?\n\nAnswer format: true/false", "", "the correct answer is true")
ESSAY = Example(3, "Describe a cat.", "", "A cat is a small animal with soft fur.")


def completion(text: str, finish_reason: str = "stop") -> Completion:
    return Completion((), text, finish_reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("example", "text", "score"),
    [
        (SUM, "The answer is 7.", 1.0),
        (SUM, "The answer is 7.0 pens.", 1.0),
        (SUM, "3 + 4 = 7. The answer is 8.", 0.0),
        (SUM, "I do not know.", 0.0),
        (YES, "the correct answer is true", 1.0),
        (YES, "the correct answer is false", 0.0),
        (ESSAY, "A cat is a small animal with soft fur.", 1.0),
        (ESSAY, "A dog barks.", rouge_l("A dog barks.", [ESSAY.output])),
    ],
)
def test_a_stated_answer_is_right_or_wrong_and_a_text_is_more_or_less_alike(
    example: Example, text: str, score: float
) -> None:
    assert ReferenceScore.of([example])(0, completion(text)) == score


def test_an_answer_that_was_cut_is_not_read() -> None:
    assert ReferenceScore.of([SUM])(0, completion("3 + 4 =", "length")) == 0.0


@pytest.mark.parametrize(
    ("examples", "metric"), [([SUM, YES], "accuracy"), ([ESSAY], "rouge_l"), ([SUM, ESSAY], "mixed")]
)
def test_the_score_says_what_it_measures(examples: list[Example], metric: str) -> None:
    assert ReferenceScore.of(examples).metric == metric


@pytest.mark.parametrize("name", ["mini-one-step", "mini-three-step", "mini-compare", "mini-choose"])
def test_references_of_a_task_score_as_the_task_does(name: str) -> None:
    rows = mini_rows(name, "train", 60)
    task = get_task(name)
    score = ReferenceScore.of([Example(n, row["instruction"], "", row["output"]) for n, row in enumerate(rows)])
    for number, row in enumerate(rows):
        for other in rows[:10]:
            read = task.extract(other["output"], instruction=row["instruction"])
            right = task.is_correct(read.value, row["answer"])
            assert score(number, completion(other["output"])) == right


def test_prompts_are_answered_in_the_batches_of_a_plan_and_scored_in_their_own_order() -> None:
    calls: list[tuple[int, list[int]]] = []

    class Echo:
        def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding, *, call: int) -> list[Completion]:
            calls.append((call, [len(prompt) for prompt in prompts]))
            return [completion(str(len(prompt))) for prompt in prompts]

    prompts = [[0] * length for length in (2, 5, 3)]
    right = {0: "2", 1: "5", 2: "4"}
    answers = ValidationAnswers(Echo(), prompts, Decoding(4), lambda n, c: float(c.text == right[n]), batch_size=2)
    assert answers.mean_score() == pytest.approx(2 / 3)
    assert calls == [(0, [5, 3]), (1, [2])]

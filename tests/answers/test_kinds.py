"""The answers that training rows state, by the kind that their instruction asks for."""

from __future__ import annotations

import pytest

from kdscope.answers import ANSWER_KINDS, read_reference
from kdscope.tasks import get_task, mini_rows

CHOICES = "Which is largest? Answer Choices: (A) 3 (B) 9 (C) 5"


@pytest.mark.parametrize(
    ("instruction", "output", "gold", "kind"),
    [
        ("How many now?", "3 + 4 = 7. The answer is 7.", "7", "number"),
        ("How many now?", "3 + 4 = 7 pens.\n#### 7", "7", "number"),
        ("How many now?", "7", "7", "number"),
        ("How much?", "Half of 25 is \\boxed{12.5}.", "12.5", "number"),
        (CHOICES, "9 is more than 3 and 5. The answer is (B).", "B", "letter"),
        ("Is it so?\n\nAnswer format: true/false", "the correct answer is false", "false", "label"),
        ("Which?\n\nAnswer format: answer1/answer2/answer3", "the correct answer is answer3", "answer3", "label"),
        ("Which?\n\nAnswer format: ending1/ending2", "the correct answer is ending2", "ending2", "label"),
    ],
)
def test_the_answer_of_a_row(instruction: str, output: str, gold: str, kind: str) -> None:
    found = read_reference(instruction, output)
    assert found is not None
    assert found.gold == gold
    assert isinstance(found.format, ANSWER_KINDS[kind])


@pytest.mark.parametrize(
    ("instruction", "output"),
    [
        ("Name a fruit.", "An apple."),
        ("When did it open?", "It opened in 1990, and in 1995 it closed again."),
        ("Tell of a journey.", "We walked for 3 days. Therefore we slept 12 hours."),
        ("Which?\n\nAnswer format: answer1/answer2", "neither of them"),
        ("Which?\n\nAnswer format: red/blue", "the correct answer is red"),
    ],
    ids=["no number", "numbers in a text", "a conclusion", "no label", "labels no reader knows"],
)
def test_free_text_states_no_answer(instruction: str, output: str) -> None:
    assert read_reference(instruction, output) is None


@pytest.mark.parametrize("name", ["mini-one-step", "mini-two-step", "mini-distractor", "mini-compare", "mini-choose"])
def test_every_reference_of_a_mini_task_states_its_answer(name: str) -> None:
    task = get_task(name)
    for row in mini_rows(name, "train", 200):
        found = read_reference(row["instruction"], row["output"])
        assert found is not None
        assert found.format == task.answer_format
        assert task.is_correct(found.gold, row["answer"])

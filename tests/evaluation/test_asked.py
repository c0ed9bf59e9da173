"""What was put into a prompt comes out of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdscope.evaluation.asked import question_in
from kdscope.tasks import get_template

FRAMED = ("alpaca", "published", "published_training")
texts = st.text(st.characters(exclude_characters="#", exclude_categories=["Cs"]), max_size=40)


@pytest.mark.parametrize("name", FRAMED)
@given(question=texts, more=texts)
def test_the_question_of_every_framed_prompt(name: str, question: str, more: str) -> None:
    assert question_in(get_template(name).render(question, more)) == question


@pytest.mark.parametrize("prompt", ["", "How many?", "### Instruction:\nHow many?\n\n### Response:\n", "<|user|>\nHi"])
def test_other_prompts_stay(prompt: str) -> None:
    assert question_in(prompt) == prompt

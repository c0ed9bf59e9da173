from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdscope.answers.completion import clean_text, first_answer, free_text, without_unfinished_end


@pytest.mark.parametrize(
    ("completion", "text", "ended"),
    [
        ("It is 5.", "It is 5.", False),
        ("It is 5.</s>", "It is 5.", True),
        ("It is 5.<|im_end|>\nmore", "It is 5.", True),
        ("It is 5.<|endoftext|>6", "It is 5.", True),
        ("<s> It is 5.", "It is 5.", False),
        ("It is 5.\n\n### Instruction:\nnext", "It is 5.", True),
        ("It is 5. ### Response: 6", "It is 5.", True),
        ("It is 5.\nQ: next?", "It is 5.", True),
        ("It is 5.\nQuestion 2: next?", "It is 5.", True),
        ("It is 5.\nHuman: next?", "It is 5.", True),
        ("It is 5. Below is an instruction that describes a task.", "It is 5.", True),
        ("### Response:\nIt is 5.", "It is 5.", False),
        ("</s></s>", "", False),
        ("It is 5.\n#### 5", "It is 5.\n#### 5", False),
        ("Answer the question: 5", "Answer the question: 5", False),
        ("**5** and 2**3", "5 and 2**3", False),
        ("−5 – 3", "-5 - 3", False),
        (r"\dfrac{3}{4} \text{cups} \$5", "3/4  cups $5", False),
        ("1\u202f234\u00a0567 km", "1234567 km", False),
        ("### Instruction:\nAdd 2.\n### Response:\n5", "", True),
        ("</s>### Input: 5", "", True),
        ("<|im_start|>user\nnext", "", True),
        ("Below is an instruction that describes a task. 5", "", True),
        ("Question: what is 2+3?\nIt is 5.", "Question: what is 2+3?\nIt is 5.", False),
        ("It is 5.\n**Question 2:** next", "It is 5.", True),
        ("It is 5.\nNext question: 3?", "It is 5.", True),
        ("It is 5.\nProblem 2. 3?", "It is 5.", True),
        ("It is 5.\nuser\n3?", "It is 5.", True),
        ("It is 5. User: 3?", "It is 5.", True),
        ("It is 5.<|user|>3?", "It is 5.", True),
        ("It is 5.<|return|>", "It is 5.", True),
        ("The user has 5 inputs.", "The user has 5 inputs.", False),
        ("<think>It is 6.</think>It is 5.", "It is 5.", False),
        ("It is 5 pens. It is 5 p", "It is 5 pens.", False),
    ],
)
def test_cutting_and_normalising(completion: str, text: str, ended: bool) -> None:
    answer = first_answer(completion)
    assert (answer.text, answer.ended) == (text, ended)


@given(st.text(alphabet="abc 123.,\n"), st.text())
def test_what_follows_an_end_token_does_not_matter(before: str, after: str) -> None:
    if before.strip(" .,\n"):
        assert first_answer(f"{before}</s>{after}") == first_answer(f"{before}</s>")


def test_runaway_text_is_read_at_its_two_ends() -> None:
    text = first_answer("The start. " + "la " * 100_000 + "The answer is 5.").text
    assert text.startswith("The start. la")
    assert text.endswith("la The answer is 5.")
    assert len(text) <= 10_001
    assert first_answer("It is 5.</s>" + "la " * 100_000).text == "It is 5."


@pytest.mark.parametrize(
    ("completion", "text", "ended"),
    [
        (" Roses are red.\n", "Roses are red.", False),
        ("A quiz.\nQ: who?\nUser: me", "A quiz.\nQ: who?\nUser: me", False),
        ("Fine.\n\n### Instruction:\nNext", "Fine.", True),
        ("Fine.\n### Response: more", "Fine.", True),
        ("Fine.<|im_end|>\n<|im_start|>user", "Fine.", True),
        ("<s> **Fine** – ½", "**Fine** – ½", False),
        ("### Response:\nFine.", "Fine.", False),
        ("### Instruction:\nNext", "", True),
        ("</s>", "", False),
        ("", "", False),
    ],
)
def test_free_text(completion: str, text: str, ended: bool) -> None:
    answer = free_text(completion)
    assert (answer.text, answer.ended) == (text, ended)
    assert clean_text(completion) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("So it is 12", "So it is "),
        ("So it is 12.", "So it is 12."),
        ("It is 12 and th", "It is 12 and "),
        ("a = 12.\nSo it is 12", "a = 12.\nSo it is 12"),
        ("a = 12.5 cm.\nSo it is $12.", "a = 12.5 cm.\nSo it is 12.5"),
        ("a = 13.\nSo it is 12", "a = 13.\nSo it is "),
        ("", ""),
        ("12", ""),
    ],
)
def test_an_unfinished_end(text: str, kept: str) -> None:
    assert without_unfinished_end(text) == kept

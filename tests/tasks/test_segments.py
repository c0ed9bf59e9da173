from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdscope.tasks.segments import first_answer


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
    ],
)
def test_cutting_and_normalising(completion: str, text: str, ended: bool) -> None:
    answer = first_answer(completion)
    assert (answer.text, answer.ended) == (text, ended)


@given(st.text(alphabet="abc 123.,\n"), st.text())
def test_what_follows_an_end_token_does_not_matter(before: str, after: str) -> None:
    if before.strip(" .,\n"):
        assert first_answer(f"{before}</s>{after}") == first_answer(f"{before}</s>")

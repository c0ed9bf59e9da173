"""Training sees exactly the prompt ids that generation starts from."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdscope.data.batches import TokenSequence
from kdscope.data.encode import encode_prompt, encode_recorded, encode_response, join
from tests.builders import make_tokenizer

START, END = 1, 2


class Wrapping:
    """A tokenizer of characters that puts a start before every text and, if asked, an end after it."""

    eos_token_id = END

    def __init__(self, *, start: bool, end: bool) -> None:
        self.start, self.end = start, end

    def __call__(self, text: str, *, add_special_tokens: bool) -> Any:
        before = [START] if self.start and add_special_tokens else []
        after = [END] if self.end and add_special_tokens else []
        return SimpleNamespace(input_ids=[*before, *(10 + ord(c) for c in text), *after])


@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("end", [True, False])
def test_a_prompt_has_the_models_start_and_no_end(start: bool, end: bool) -> None:
    tokenizer = Wrapping(start=start, end=end)
    body = [10 + ord(c) for c in "Hi"]
    assert encode_prompt(tokenizer, "Hi") == ([START] if start else []) + body
    assert encode_response(tokenizer, "Hi") == [*body, END]


def test_a_real_tokenizer() -> None:
    tokenizer = make_tokenizer()
    prompt, response = encode_prompt(tokenizer, "2 + 2 ="), encode_response(tokenizer, " 4 é")
    assert tokenizer.decode(prompt) == "2 + 2 ="
    assert tokenizer.decode(response[:-1]) == " 4 é"
    assert response[-1] == tokenizer.eos_token_id
    assert tokenizer.eos_token_id not in prompt


def test_what_leaves_no_room_is_left_out_and_the_rest_is_cut() -> None:
    prompts = [[1, 2], [1, 2, 3, 4], [5], [6], [1, 2, 3, 4, 5, 6]]
    responses = [[7, 8, END], [9, END], [9, END], [], [9, END]]
    assert join(prompts, responses, max_length=4) == [
        TokenSequence(0, (1, 2, 7, 8), 2),
        TokenSequence(2, (5, 9, END), 1),
    ]


ids = st.lists(st.integers(0, 9), max_size=8)


@given(st.lists(st.tuples(ids, ids), max_size=10), st.integers(1, 12))
def test_joined_sequences_are_prefixes_with_something_to_learn(
    pairs: list[tuple[list[int], list[int]]], limit: int
) -> None:
    joined = join([prompt for prompt, _ in pairs], (response for _, response in pairs), limit)
    for sequence in joined:
        prompt, response = pairs[sequence.example]
        whole = (*prompt, *response)
        assert sequence.token_ids == whole[: len(sequence.token_ids)]
        assert len(sequence.token_ids) == min(limit, len(whole))
        assert sequence.prompt_length == len(prompt) < len(sequence.token_ids)
    left_out = set(range(len(pairs))) - {s.example for s in joined}
    assert all(len(pairs[i][0]) >= limit or not pairs[i][1] for i in left_out)
    assert [s.example for s in joined] == sorted(s.example for s in joined)


def test_a_response_is_needed_for_every_prompt() -> None:
    with pytest.raises(ValueError, match="zip"):
        join([[1], [2]], [[3]], 9)


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("same_vocabulary", [True, False])
def test_a_recorded_response_ends_as_the_student_ends(finished: bool, same_vocabulary: bool) -> None:
    student = make_tokenizer()
    written = list(student("7 pens", add_special_tokens=False).input_ids)
    # With its own vocabulary the teacher's ids are kept; with another one they mean nothing and the text counts.
    ids = [*(written if same_vocabulary else [1, 2, 3]), *([99_999] if finished else [])]
    found = encode_recorded(student, ids, "7 pens", finished=finished, same_vocabulary=same_vocabulary)
    assert found == [*written, *([student.eos_token_id] if finished else [])]

"""Targets are where a plain loop finds them; every sequence and every example is seen as often as it should be."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.data.batches import (
    Batch,
    TokenSequence,
    collate,
    count_targets,
    encode_prompt,
    encode_recorded,
    encode_response,
    join,
    plan_full_windows,
    plan_micro_batches,
    plan_windows,
)
from tests.builders import make_tokenizer

PAD = 99


@st.composite
def sequences(draw: st.DrawFn, most: int = 8) -> list[TokenSequence]:
    lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=most))
    examples = draw(st.permutations(range(len(lengths))))
    return [
        TokenSequence(
            example,
            tuple(draw(st.lists(st.integers(0, 99), min_size=length, max_size=length))),
            draw(st.integers(0, length)),
        )
        for example, length in zip(examples, lengths, strict=True)
    ]


def targets_by_hand(given_sequences: list[TokenSequence], prompt_in_loss: bool) -> list[tuple[int, int, int, int]]:
    """(row, position that predicts, token predicted, example) of every target, in reading order."""
    found = []
    for row, sequence in enumerate(given_sequences):
        for index, token in enumerate(sequence.token_ids):
            has_context = index > 0
            is_response = index >= sequence.prompt_length
            if has_context and (is_response or prompt_in_loss):
                found.append((row, index - 1, token, sequence.example))
    return found


@settings(deadline=None)
@given(sequences(), st.booleans())
def test_targets_are_those_of_a_plain_loop(given_sequences: list[TokenSequence], prompt_in_loss: bool) -> None:
    batch = collate(given_sequences, PAD, prompt_in_loss)
    expected = targets_by_hand(given_sequences, prompt_in_loss)
    columns = (batch.rows, batch.positions, batch.targets, batch.examples)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == expected
    assert all(column.dtype == torch.int64 for column in columns)
    assert count_targets(given_sequences, prompt_in_loss) == len(expected)


@settings(deadline=None)
@given(sequences())
def test_padding_is_on_the_right_and_masked(given_sequences: list[TokenSequence]) -> None:
    batch = collate(given_sequences, PAD, prompt_in_loss=False)
    width = max(len(s.token_ids) for s in given_sequences)
    for row, sequence in enumerate(given_sequences):
        spare = width - len(sequence.token_ids)
        assert batch.input_ids[row].tolist() == [*sequence.token_ids, *[PAD] * spare]
        assert batch.attention_mask is not None
        assert batch.attention_mask[row].tolist() == [1] * len(sequence.token_ids) + [0] * spare
        assert batch.position_ids[row].tolist() == [*range(len(sequence.token_ids)), *[0] * spare]


@settings(deadline=None)
@given(sequences(), st.booleans())
def test_packed_is_the_same_without_padding(given_sequences: list[TokenSequence], prompt_in_loss: bool) -> None:
    padded = collate(given_sequences, PAD, prompt_in_loss)
    packed = collate(given_sequences, PAD, prompt_in_loss, packed=True)
    tokens = [token for sequence in given_sequences for token in sequence.token_ids]
    assert packed.input_ids.tolist() == [tokens]
    assert packed.attention_mask is None
    assert packed.position_ids.tolist() == [[i for s in given_sequences for i in range(len(s.token_ids))]]
    assert packed.lengths == padded.lengths == tuple(len(s.token_ids) for s in given_sequences)
    for name in ("rows", "positions", "targets", "examples"):
        assert torch.equal(getattr(packed, name), getattr(padded, name))
    for batch in (padded, packed):
        # The selected token and its position agree, and the next one is the target.
        assert torch.equal(batch.position_ids.flatten()[batch.selected], batch.positions)
        assert torch.equal(batch.input_ids.flatten()[batch.selected + 1], batch.targets)


def test_what_the_model_is_given_names_the_layout() -> None:
    one = [TokenSequence(0, (1, 2, 3), 1)]
    assert set(collate(one, PAD, False).inputs()) == {"input_ids", "selected", "attention_mask"}
    assert set(collate(one, PAD, False, packed=True).inputs()) == {"input_ids", "selected", "position_ids", "lengths"}


def test_a_worked_example() -> None:
    prompt_of_two = TokenSequence(7, (10, 11, 12, 13), 2)
    no_prompt = TokenSequence(3, (20, 21), 0)
    batch = collate([prompt_of_two, no_prompt], PAD, prompt_in_loss=False)
    assert batch.input_ids.tolist() == [[10, 11, 12, 13], [20, 21, PAD, PAD]]
    assert batch.targets.tolist() == [12, 13, 21]
    assert batch.positions.tolist() == [1, 2, 0]
    assert batch.examples.tolist() == [7, 7, 3]
    with_prompt = collate([prompt_of_two, no_prompt], PAD, prompt_in_loss=True)
    assert with_prompt.targets.tolist() == [11, 12, 13, 21]


def test_a_batch_moves_with_all_its_parts() -> None:
    moved = collate([TokenSequence(0, (1, 2, 3), 1)], PAD, prompt_in_loss=False).to(torch.device("meta"))
    assert isinstance(moved, Batch)
    tensors = [part for part in vars(moved).values() if isinstance(part, torch.Tensor)]
    assert len(tensors) == len(Batch.__dataclass_fields__) - 1  # all but the lengths
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert moved.lengths == (3,)


@settings(deadline=None)
@given(sequences(most=20), st.integers(1, 60))
def test_micro_batches_hold_every_sequence_once_within_the_budget(
    given_sequences: list[TokenSequence], budget: int
) -> None:
    batches = plan_micro_batches(given_sequences, budget)
    assert Counter(s for batch in batches for s in batch) == Counter(given_sequences)
    for batch in batches:
        padded = len(batch) * max(len(s.token_ids) for s in batch)
        assert padded <= budget or len(batch) == 1


@settings(deadline=None)
@given(sequences(most=20), st.integers(1, 60))
def test_packed_micro_batches_count_real_tokens(given_sequences: list[TokenSequence], budget: int) -> None:
    batches = plan_micro_batches(given_sequences, budget, packed=True)
    assert Counter(s for batch in batches for s in batch) == Counter(given_sequences)
    assert all(sum(len(s.token_ids) for s in batch) <= budget or len(batch) == 1 for batch in batches)
    assert len(batches) <= len(plan_micro_batches(given_sequences, budget))


@settings(deadline=None)
@given(sequences(most=20), st.integers(1, 60), st.integers(0, 12))
def test_sequences_longer_than_may_stand_together_are_micro_batches_by_themselves(
    given_sequences: list[TokenSequence], budget: int, longest: int
) -> None:
    batches = plan_micro_batches(given_sequences, budget, longest_together=longest)
    assert Counter(s for batch in batches for s in batch) == Counter(given_sequences)
    assert all(len(batch) == 1 or max(len(s.token_ids) for s in batch) <= longest for batch in batches)
    short = [s for s in given_sequences if len(s.token_ids) <= longest]
    assert [b for b in batches if len(b[0].token_ids) <= longest] == plan_micro_batches(short, budget)


@settings(deadline=None)
@given(sequences(most=20), st.integers(1, 60), st.randoms(use_true_random=False))
def test_micro_batches_do_not_depend_on_the_order_given(
    given_sequences: list[TokenSequence], budget: int, random: object
) -> None:
    shuffled = list(given_sequences)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan_micro_batches(shuffled, budget) == plan_micro_batches(given_sequences, budget)


def test_micro_batches_are_filled() -> None:
    equal = [TokenSequence(i, (1,) * 5, 2) for i in range(7)]
    assert [len(batch) for batch in plan_micro_batches(equal, 15)] == [3, 3, 1]
    assert [len(batch) for batch in plan_micro_batches(equal, 14)] == [2, 2, 2, 1]
    assert plan_micro_batches([], 15) == []


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(1, 9), st.integers(1, 4), st.integers(0, 5))
def test_every_example_is_seen_once_an_epoch(count: int, size: int, epochs: int, seed: int) -> None:
    windows = plan_windows(count, size, epochs, seed)
    per_epoch = -(-count // size)
    assert len(windows) == epochs * per_epoch
    for epoch in range(epochs):
        own = windows[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert sorted(index for window in own for index in window) == list(range(count))
        assert all(len(window) == size for window in own[:-1])
    assert plan_windows(count, size, epochs, seed) == windows
    assert plan_windows(count, size, epochs + 1, seed)[: len(windows)] == windows


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 50), st.integers(1, 30), st.integers(0, 5))
def test_full_windows_are_full_and_take_every_example_in_turn(count: int, size: int, steps: int, seed: int) -> None:
    windows = plan_full_windows(count, size, steps, seed)
    assert [len(window) for window in windows] == [size] * steps
    stream = [index for window in windows for index in window]
    for start in range(0, len(stream), count):
        epoch = stream[start : start + count]
        assert len(set(epoch)) == len(epoch), "an example came twice in one pass"
        assert set(epoch) <= set(range(count))
        assert len(epoch) == count or start + count > len(stream)
    # How often two examples are seen never differs by more than one.
    seen = Counter(stream)
    assert max(seen.values()) - min(seen[index] for index in range(count)) <= 1


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 50), st.integers(1, 20), st.integers(1, 20), st.integers(0, 5))
def test_more_steps_begin_as_fewer_do(count: int, size: int, steps: int, more: int, seed: int) -> None:
    longer = plan_full_windows(count, size, steps + more, seed)
    assert longer[:steps] == plan_full_windows(count, size, steps, seed)


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(0, 5))
def test_where_epochs_divide_into_windows_steps_and_epochs_are_one_plan(
    size: int, per_epoch: int, epochs: int, seed: int
) -> None:
    count = size * per_epoch
    assert plan_full_windows(count, size, epochs * per_epoch, seed) == plan_windows(count, size, epochs, seed)


def test_full_windows_depend_on_the_seed() -> None:
    assert plan_full_windows(30, 7, 5, seed=0) != plan_full_windows(30, 7, 5, seed=1)


@pytest.mark.parametrize("seed", [0, 1])
def test_seed_and_epoch_decide_the_order(seed: int) -> None:
    first, second = plan_windows(30, 30, 2, seed)
    assert first != second
    assert first != list(range(30))
    assert plan_windows(30, 30, 1, seed + 1)[0] != first


def test_the_order_does_not_depend_on_the_window() -> None:
    small, big = plan_windows(20, 3, 2, 5), plan_windows(20, 7, 2, 5)
    assert [i for window in small for i in window] == [i for window in big for i in window]


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

"""The texts that are read, and which items they are of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.core.errors import DataError
from kdscope.data.examples import Item
from kdscope.evaluation.continuations import choose_items, continuations_of, gold_text
from kdscope.evaluation.records import Record
from tests.builders import make_tokenizer

TOKENIZER = make_tokenizer()
END = int(TOKENIZER.eos_token_id)


def item(index: int, gold: str = "7.0", references: tuple[str, ...] = ()) -> Item:
    return Item("AddSub", index, f"AddSub/{index}", f"How many? {index}", "", gold, f"hash-{index}", references)


def record(of: Item, completion: str, finish_reason: str = "stop", seed: int = 0) -> Record:
    return Record(
        task=of.task, item_id=of.item_id, item_hash=of.content_hash, decoding_seed=seed, prompt="", gold=of.gold,
        completion=completion, finish_reason=finish_reason, published_value=None, correct_published=False,
        robust_value=None, robust_rule="none", robust_status="unparsed", truncated=False, correct_robust=False,
        completion_tokens=0,
    )  # fmt: skip


def spelled(ids: tuple[int, ...]) -> str:
    text: str = TOKENIZER.decode(list(ids))
    return text


@pytest.mark.parametrize(
    ("gold", "references", "text"),
    [
        ("576.0", (), "The answer is 576."),
        ("0.5", (), "The answer is 0.5."),
        ("answer3", (), "The answer is answer3."),
        ("B", (), "The answer is B."),
        ("Paris.", ("Paris.", "It is Paris."), "Paris."),
    ],
)
def test_gold_is_the_reference_or_a_sentence(gold: str, references: tuple[str, ...], text: str) -> None:
    assert gold_text(item(0, gold, references)) == text


def test_three_texts_an_item_each_ended_as_its_writer_ended() -> None:
    items, prompts = [item(0), item(1)], [[5, 6], [7]]
    records = {
        "teacher": [record(items[0], "It is 7."), record(items[1], "It is", "length")],
        "student": [
            record(items[0], "second", seed=2),
            record(items[0], "first", seed=1),
            record(items[1], " So", "run_on", seed=1),
            record(items[1], "later", seed=2),
        ],
    }
    made = continuations_of(items, prompts, records, TOKENIZER)
    assert [(one.item_id, one.prefix, one.prompt_ids) for one in made] == [
        *(("AddSub/0", prefix, (5, 6)) for prefix in ("gold", "teacher", "student")),
        *(("AddSub/1", prefix, (7,)) for prefix in ("gold", "teacher", "student")),
    ]
    assert [spelled(one.response_ids) for one in made] == [
        "The answer is 7.<end>", "It is 7.<end>", "first<end>", "The answer is 7.<end>", "It is", " So",
    ]  # fmt: skip
    assert made[0].response_ids[-1] == END


@pytest.mark.parametrize(
    ("answered", "problem"),
    [([item(1)], "the student has not answered it"), ([replace(item(0), content_hash="other")], "another question")],
)
def test_answers_to_other_items_are_refused(answered: list[Item], problem: str) -> None:
    records = {"teacher": [record(item(0), "a")], "student": [record(one, "b") for one in answered]}
    with pytest.raises(DataError, match=rf"AddSub/0.*{problem}"):
        continuations_of([item(0)], [[1]], records, TOKENIZER)


@given(st.integers(0, 60), st.integers(0, 40), st.integers(0, 20), st.integers(0, 5), st.randoms())
@settings(max_examples=60, deadline=None)
def test_a_subsample_is_nested_ordered_and_blind_to_the_rest(
    count: int, small: int, more: int, seed: int, shuffle: st.DataObject
) -> None:
    items = [item(n) for n in range(count)]
    chosen = choose_items(items, small, seed)
    assert len(chosen) == min(count, small)
    assert [one.index for one in chosen] == sorted(one.index for one in chosen)
    assert {one.item_id for one in chosen} <= {one.item_id for one in choose_items(items, small + more, seed)}
    assert choose_items(items, None, seed) == items
    mixed = list(items)
    shuffle.shuffle(mixed)  # type: ignore[attr-defined]
    assert {one.item_id for one in choose_items(mixed, small, seed)} == {one.item_id for one in chosen}


def test_left_out_items_are_never_chosen_and_seeds_differ() -> None:
    items = [item(n) for n in range(40)]
    left_out = {f"AddSub/{n}" for n in range(0, 40, 2)}
    chosen = choose_items(items, 10, 0, left_out)
    assert len(chosen) == 10
    assert not left_out & {one.item_id for one in chosen}
    assert choose_items(items, 10, 0) != choose_items(items, 10, 1)

"""The audit finds every planted copy, calls nothing a copy that only shares a task's wording, and finds GSM8K clean."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdscope.data.contamination import (
    Overlap,
    audit_contamination,
    contaminated_items,
    describe_contamination,
    normalized_question,
    tally_contamination,
)
from kdscope.data.examples import Example, Item, read_examples
from kdscope.tasks import get_task
from tests.builders import read_items

WORDS = [f"{first}{second}" for first in "bcdfghklmnprst" for second in ("ala", "eno", "iri", "osu", "upe")]


def item(index: int, question: str, task: str = "sums") -> Item:
    return Item(task, index, f"{task}/{index}", question, "", "1", str(index))


def example(row: int, question: str, output: str = "The answer is 1.") -> Example:
    return Example(row, question, "", output)


def sentence(source: random.Random, length: int) -> str:
    return " ".join(source.choice(WORDS) for _ in range(length))


def test_every_planted_copy_is_found_and_nothing_else() -> None:
    source = random.Random(0)
    items = [item(index, sentence(source, 20)) for index in range(200)]
    examples = [example(row, sentence(source, 20)) for row in range(1, 501)]
    planted = {item_.item_id: 40 * number + 3 for number, item_ in enumerate(items[5:200:20])}
    for item_ in items:
        if item_.item_id in planted:
            row = planted[item_.item_id]
            examples[row - 1] = example(row, item_.instruction.upper().replace(" ", ",  ") + "?")
    overlaps = audit_contamination({"train": examples}, {"sums": items})
    assert {overlap.item_id: overlap.training_row for overlap in overlaps} == planted
    assert all(overlap.exact and overlap.share == 1 for overlap in overlaps)


def test_a_question_rewritten_at_its_end_is_near_and_one_shared_phrase_is_not() -> None:
    words = [WORDS[index] for index in range(24)]
    question = " ".join(words)
    rewritten = " ".join([*words[:18], "and", "now", "something", "else"])
    phrase = " ".join(["quite", "another", "story", *words[:8], "that", "goes", "on", "by", "itself"])
    overlaps = audit_contamination(
        {"a": [example(1, rewritten)], "b": [example(1, phrase)]}, {"sums": [item(0, question)]}
    )
    near, some = overlaps
    # 24 words have 17 8-grams; the first 18 words hold 11 of them, the phrase one.
    assert (near.training_set, near.exact, near.share) == ("a", False, 11 / 17)
    assert (some.training_set, some.exact, some.share) == ("b", False, 1 / 17)
    assert contaminated_items(overlaps) == {"sums/0"}
    assert contaminated_items([some]) == frozenset()


def test_a_question_quoted_in_a_response_counts() -> None:
    question = " ".join(WORDS[:20])
    overlaps = audit_contamination(
        {"chat": [example(7, "Solve what follows.", question)]}, {"sums": [item(0, question)]}
    )
    assert [(overlap.training_row, overlap.share, overlap.exact) for overlap in overlaps] == [(7, 1.0, False)]


def test_the_wording_of_a_task_is_no_evidence() -> None:
    source = random.Random(1)
    opening, closing = "please answer the following question with true or false question", "answer format true or false"
    items = [item(n, f"{opening} {sentence(source, 12)} {closing}") for n in range(100)]
    examples = [example(n, f"{opening} {sentence(source, 12)} {closing}") for n in range(1, 101)]
    assert audit_contamination({"train": examples}, {"sums": items}) == []
    copies = audit_contamination({"train": [example(1, items[3].instruction)]}, {"sums": items})
    assert [overlap.item_id for overlap in copies] == ["sums/3"]


def test_short_questions_are_compared_as_a_whole() -> None:
    items = {"sums": [item(0, "What is 2 + 3?"), item(1, "What is 2 + 4?")]}
    overlaps = audit_contamination({"train": [example(4, "what is 2+3")]}, items)
    assert [(overlap.item_id, overlap.exact) for overlap in overlaps] == [("sums/0", True)]


def test_the_best_row_is_told() -> None:
    words = WORDS[:30]
    rows = [example(1, " ".join(words[:10])), example(2, " ".join(words[:25])), example(3, " ".join(words[:20]))]
    (overlap,) = audit_contamination({"train": rows}, {"sums": [item(0, " ".join(words))]})
    assert overlap.training_row == 2


def test_numbers_of_every_set_and_task() -> None:
    overlaps = [
        Overlap("a", 3, "sums", "sums/0", True, 1.0),
        Overlap("a", 4, "sums", "sums/1", False, 0.5),
        Overlap("a", 9, "sums", "sums/2", False, 0.49),
    ]
    tallies = tally_contamination(overlaps, ["a", "b"], {"sums": 10, "words": 20})
    assert [(t.training_set, t.task, t.items, t.exact, t.near, t.some) for t in tallies] == [
        ("a", "sums", 10, 1, 1, 1),
        ("a", "words", 20, 0, 0, 0),
        ("b", "sums", 10, 0, 0, 0),
        ("b", "words", 20, 0, 0, 0),
    ]
    assert tallies[0].examples == (("sums/0", 3), ("sums/1", 4), ("sums/2", 9))
    (sentence_,) = describe_contamination(tallies)
    assert "2 of the 10 items of sums (1 word for word, 1 by half" in sentence_


@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=8))
def test_a_set_that_is_the_task_holds_all_of_it(texts: list[str]) -> None:
    items = [item(index, text) for index, text in enumerate(texts)]
    overlaps = audit_contamination({"train": [example(i, t.upper()) for i, t in enumerate(texts, 1)]}, {"sums": items})
    upper_is_the_same = [
        i for i in items if normalized_question(i.instruction.upper()) == normalized_question(i.instruction)
    ]
    assert {i.item_id for i in upper_is_the_same} <= {o.item_id for o in overlaps if o.exact}


def test_gsm8k_train_holds_no_item_of_its_test(shared_data: Path) -> None:
    folder = shared_data / "tasks"
    items = read_items(get_task("gsm8k"), folder)
    examples = read_examples(folder / "gsm8k" / "train.json")
    (tally,) = tally_contamination(
        audit_contamination({"gsm8k": examples}, {"gsm8k": items}), ["gsm8k"], {"gsm8k": len(items)}
    )
    assert (tally.items, tally.exact) == (1319, 0)
    assert tally.near < 5


@pytest.mark.parametrize("task", ["MultiArith", "SVAMP", "AddSub"])
def test_planted_items_of_a_real_task_are_all_found(shared_data: Path, task: str) -> None:
    items = read_items(get_task(task), shared_data / "tasks")
    planted = items[::7]
    examples = read_examples(shared_data / "tasks" / "gsm8k" / "train.json")[:2000]
    examples += [example(10_000 + n, f"  {i.instruction.upper()}!!") for n, i in enumerate(planted)]
    overlaps = audit_contamination({"train": examples}, {task: items})
    texts = {normalized_question(i.instruction) for i in planted}
    expected = {i.item_id for i in items if normalized_question(i.instruction) in texts}  # duplicates of planted ones
    assert {overlap.item_id for overlap in overlaps if overlap.exact} == expected

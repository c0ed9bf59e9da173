"""Every answer is kept with both of its scorings, beside the question it answers."""

from __future__ import annotations

import pytest

from kdscope.data.sources import Item
from kdscope.errors import DataError
from kdscope.evaluation.generative import score_items
from kdscope.models.generate import Completion
from kdscope.tasks import get_task


def item(index: int, gold: str, task: str = "gsm8k") -> Item:
    return Item(task, index, f"{task}/{index}", f"question {index}", "", gold, f"hash {index}")


def test_records_say_what_was_asked_answered_and_found() -> None:
    task = get_task("gsm8k")
    completions = [
        Completion((1, 2, 3), "10 - 3 = 7. The answer is 7.", "stop"),
        Completion((4,), "The answer is 3. There were 12 more", "length"),
        Completion((5, 6), "I do not know", "stop"),
    ]
    items = [item(0, "7.0"), item(1, "12"), item(2, "5")]
    found = score_items(task, items, ["p0", "p1", "p2"], completions, decoding_seed=4)
    assert [r.item_id for r in found] == ["gsm8k/0", "gsm8k/1", "gsm8k/2"]
    assert [r.item_hash for r in found] == ["hash 0", "hash 1", "hash 2"]
    assert [r.prompt for r in found] == ["p0", "p1", "p2"]
    assert [r.completion for r in found] == [c.text for c in completions]
    assert [r.completion_tokens for r in found] == [3, 1, 2]
    assert [r.finish_reason for r in found] == ["stop", "length", "stop"]
    assert {r.decoding_seed for r in found} == {4}
    assert [r.gold for r in found] == ["7.0", "12", "5"]
    # The last number anywhere is right for the second item by the published rules; its own statement says 3.
    assert [(r.published_value, r.correct_published) for r in found] == [("7.0", True), ("12.0", True), (None, False)]
    assert [(r.robust_value, r.correct_robust) for r in found] == [("7", True), ("3", False), (None, False)]
    assert [r.robust_status for r in found] == ["explicit", "explicit", "unparsed"]


def test_an_answer_cut_by_the_limit_is_told_apart() -> None:
    said = [Completion((1,), "The answer is 1", reason) for reason in ("length", "stop")]
    said.append(Completion((1,), "The answer is 1.\n\n### Instruction:\nWhat is", "length"))
    found = score_items(get_task("gsm8k"), [item(i, "1") for i in range(3)], ["p"] * 3, said, decoding_seed=0)
    assert [r.truncated for r in found] == [True, False, False]


def test_a_letter_task() -> None:
    task = get_task("AQuA")
    found = score_items(
        task, [item(0, "B", task.name)], ["p"], [Completion((1,), "The answer is B", "stop")], decoding_seed=0
    )
    assert found[0].task == task.name
    assert (found[0].robust_value, found[0].correct_robust) == ("B", True)


def test_every_item_needs_its_completion() -> None:
    with pytest.raises(ValueError, match="zip"):
        score_items(get_task("gsm8k"), [item(0, "1")], ["p"], [], decoding_seed=0)


def test_a_gold_answer_that_is_none_is_refused() -> None:
    with pytest.raises(DataError, match="gold answer 'blue'"):
        score_items(get_task("gsm8k"), [item(0, "blue")], ["p"], [Completion((1,), "1", "stop")], decoding_seed=0)

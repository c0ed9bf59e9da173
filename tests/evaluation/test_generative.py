"""Every answer is kept with both of its scorings, beside the question it answers."""

from __future__ import annotations

import pytest

from kdscope.core.errors import DataError
from kdscope.data.sources import Item
from kdscope.evaluation.generative import score_items
from kdscope.generation.base import Completion
from kdscope.tasks import get_task
from tests.evaluation.by_hand import essay_tasks


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


def essay(index: int, *references: str) -> Item:
    return Item("essays", index, f"essays/{index}", "Write.", "", references[0], f"hash {index}", references)


def test_free_text_is_worth_its_rouge_against_the_best_reference() -> None:
    task = essay_tasks().get("essays")
    items = [essay(0, "a dog ran", "the cat sat on it"), essay(1, "a dog"), essay(2, "a dog")]
    said = [Completion((1,), "the cat sat", "stop"), Completion((1,), "", "stop"), Completion((1,), "A dog.", "length")]
    found = score_items(task, items, ["p"] * 3, said, decoding_seed=1)
    # "the cat sat" of five words: 2 * 3 / (3 + 5).
    assert [r.rouge_l for r in found] == pytest.approx([6 / 8, 0.0, 1.0])
    assert not any(r.correct_robust or r.correct_published for r in found)
    assert [r.robust_value is None for r in found] == [False, True, False]
    assert found[0].gold == "a dog ran"


def test_other_answers_have_no_rouge() -> None:
    found = score_items(get_task("gsm8k"), [item(0, "1")], ["p"], [Completion((1,), "1", "stop")], decoding_seed=0)
    assert found[0].rouge_l is None


def test_text_that_ran_on_to_another_instruction() -> None:
    said = [Completion((1,), "The total is 12", reason) for reason in ("run_on", "stop")]
    found = score_items(get_task("gsm8k"), [item(0, "12"), item(1, "12")], ["p"] * 2, said, decoding_seed=0)
    assert [r.finish_reason for r in found] == ["run_on", "stop"]
    # Cut off in its first answer or not, a text that ran on is neither truncated nor guessed at.
    assert [r.truncated for r in found] == [False, False]
    assert found[0].robust_status != "fallback"

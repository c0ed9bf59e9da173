"""Scoring by both rules: model outputs, questions inside prompts, and saved completions again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdscope.core.errors import DataError
from kdscope.data.examples import Item
from kdscope.evaluation.completions import read_completions
from kdscope.evaluation.records import Record, read_records, write_records
from kdscope.evaluation.score import (
    changes_table,
    group_by_task,
    question_from_prompt,
    rescore,
    score_items,
    summarise_changes,
)
from kdscope.generation.base import Completion
from kdscope.tasks import get_task, get_template
from tests.builders import read_items
from tests.evaluation.by_hand import essay_tasks, essays, marked, record

FRAMED = ("alpaca", "published", "published_training")
texts = st.text(st.characters(exclude_characters="#", exclude_categories=["Cs"]), max_size=40)


@pytest.mark.parametrize("name", FRAMED)
@given(question=texts, more=texts)
def test_the_question_of_every_framed_prompt(name: str, question: str, more: str) -> None:
    assert question_from_prompt(get_template(name).render(question, more)) == question


@pytest.mark.parametrize("prompt", ["", "How many?", "### Instruction:\nHow many?\n\n### Response:\n", "<|user|>\nHi"])
def test_other_prompts_stay(prompt: str) -> None:
    assert question_from_prompt(prompt) == prompt


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


MODELS = ("llama_7b_lora", "llama_7b_parallel")


@pytest.mark.parametrize("model", MODELS)
def test_real_completions_are_read_as_their_harness_read_them(model: str, shared_data: Path) -> None:
    saved = read_completions(shared_data / "outputs" / model).answers
    found = rescore(saved)
    rows = [file.read_text(encoding="utf-8").count("\n") for file in (shared_data / "outputs" / model).iterdir()]
    assert len(found) == sum(rows) > 14_000
    # The harness writes "" where it finds no choice and "inf" where it finds no number.
    nothing = {r.task: "inf" if get_task(r.task).answer_kind == "number" else "" for r in found}
    told = [row["prediction"] for row in (one.place.values for one in saved)]  # type: ignore[union-attr]
    differing = [r.item_id for r, prediction in zip(found, told, strict=True) if _read(r, nothing) != prediction]
    assert differing == []
    assert sum(change.published_value for change in summarise_changes(saved, found)) == 0


def _read(scored: Record, nothing: dict[str, str]) -> str:
    return nothing[scored.task] if scored.published_value is None else scored.published_value


def test_real_completions_with_their_items(shared_data: Path) -> None:
    saved = read_completions(shared_data / "outputs" / MODELS[0] / "AQuA.jsonl").answers
    items = read_items(get_task("AQuA"), shared_data / "tasks")
    found = rescore(saved, items=items)
    completions = [Completion((), answer.completion, "stop") for answer in saved]
    fresh = score_items(get_task("AQuA"), items, [""] * len(items), completions, 0)
    assert found == fresh
    # It never credits a letter that the text only happens to hold.
    assert sum(r.correct_robust for r in found) < sum(r.correct_published for r in found)
    with pytest.raises(DataError, match=r"AQuA\.jsonl, row \d+: this answers another question than item AQuA/"):
        rescore(saved, items=[replace(item, gold="E" if item.gold != "E" else "A") for item in items])


@pytest.mark.parametrize("template", ["alpaca", "published"])
def test_a_prompt_serves_as_well_as_its_item(template: str, shared_data: Path) -> None:
    for name in ("gsm8k", "AQuA", "piqa"):
        items = read_items(get_task(name), shared_data / "tasks")
        saved = read_completions(shared_data / "outputs" / MODELS[0] / f"{name}.jsonl").answers
        prompts = [get_template(template).render(item.instruction, item.input) for item in items]
        made = [replace(r, prompt=p) for r, p in zip(rescore(saved, items=items), prompts, strict=True)]
        assert rescore(made) == made


def items_and_records() -> tuple[list[Item], list[Record]]:
    items = [Item("gsm8k", i, f"gsm8k/{i}", f"Ann has {i} pens.", "", str(i), f"hash {i}") for i in range(3)]
    texts = ["The answer is 0.", "1 or 2? The answer is 2", "2"]
    said = [Completion((1,) * 5, text, "stop") for text in texts]
    return items, score_items(get_task("gsm8k"), items, ["Q: " + i.instruction for i in items], said, 3)


def test_records_come_out_as_they_were_made() -> None:
    items, made = items_and_records()
    assert rescore(made) == made
    assert rescore(made, items=items) == made


def test_old_scores_are_replaced_and_everything_else_is_kept(tmp_path: Path) -> None:
    _, made = items_and_records()
    old = [replace(r, robust_value="9", correct_robust=not r.correct_robust, robust_rule="old") for r in made]
    old[2] = replace(old[2], published_value=None, correct_published=False)
    write_records(old, tmp_path / "records.parquet")
    assert rescore(read_records(tmp_path / "records.parquet")) == made
    (change,) = summarise_changes(old, made)
    assert (change.task, change.answers) == ("gsm8k", 3)
    assert (change.published_value, change.published_gained, change.published_lost) == (1, 1, 0)
    assert (change.robust_value, change.robust_gained, change.robust_lost) == (3, 2, 1)
    table = changes_table([change])
    assert [[cell.text for cell in row] for row in table.rows] == [["gsm8k", "3", "1", "1", "0", "3", "2", "1", "0"]]
    assert len(table.headings) == 9


def test_changes_are_between_the_same_answers() -> None:
    with pytest.raises(DataError, match="same answers"):
        summarise_changes(marked("gsm8k", "10"), marked("gsm8k", "1"))


def test_an_item_that_is_not_there_or_is_another_one() -> None:
    items, made = items_and_records()
    with pytest.raises(DataError, match="gsm8k/2: there is no item gsm8k/2 among the 2"):
        rescore(made, items=items[:2])
    with pytest.raises(DataError, match="gsm8k/0: this answers another question than item gsm8k/0"):
        rescore(made, items=[replace(items[0], content_hash="other"), *items[1:]])


def saved_file(folder: Path, rows: list[dict[str, object]], name: str = "gsm8k.jsonl") -> Path:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / name


def test_the_items_tell_the_right_answer_and_the_question(tmp_path: Path) -> None:
    items, _ = items_and_records()
    saved = read_completions(saved_file(tmp_path, [{"output": "So 0."}, {"output": "So 1.", "label": "1.0"}])).answers
    found = rescore(saved, items=items)
    assert [(r.gold, r.item_hash, r.correct_robust) for r in found] == [("0", "hash 0", True), ("1", "hash 1", True)]
    with pytest.raises(DataError, match=r"gsm8k\.jsonl, row 1: the row tells no right answer"):
        rescore(saved)


def test_a_gold_answer_that_is_none_is_placed(tmp_path: Path) -> None:
    saved = read_completions(saved_file(tmp_path, [{"output": "1", "label": "1"}, {"output": "1", "label": "x"}]))
    with pytest.raises(DataError, match=r"gsm8k\.jsonl, row 2: gsm8k: the gold answer 'x' is not a number"):
        rescore(saved.answers)


def test_questions_make_items_alike_and_nothing_else_does(tmp_path: Path) -> None:
    rows = [{"output": "1", "label": "1", "instruction": "?"}, {"output": "2", "label": "1", "instruction": "?"}]
    one, two = rescore(read_completions(saved_file(tmp_path, rows)).answers)
    assert one.item_hash == two.item_hash
    bare = [{"output": "1", "label": "1"}, {"output": "2", "label": "1"}]
    three, four = rescore(read_completions(saved_file(tmp_path, bare)).answers)
    assert three.item_hash != four.item_hash


def test_free_text_again() -> None:
    tasks = essay_tasks()
    items = [Item("essays", 0, "essays/0", "Write.", "", "a dog", "h0", ("a dog", "a cat sat"))]
    old = [replace(record("essays", 0, item_hash="h0", gold="a dog", rouge_l=0.25), completion="a cat sat")]
    assert rescore(old, tasks, items)[0].rouge_l == 1.0
    # Without the items the other reference is not known: the value is kept rather than made smaller.
    assert rescore(old, tasks)[0].rouge_l == 0.25
    assert rescore([replace(old[0], rouge_l=None)], tasks)[0].rouge_l == pytest.approx(2 * 1 / (2 + 3))
    (change,) = summarise_changes(old, rescore(old, tasks, items))
    assert change.rouge_l == 1


def test_free_text_with_its_own_references(tmp_path: Path) -> None:
    file = saved_file(tmp_path, [{"completion": "a cat", "references": ["a dog", "a cat"]}], "essays.jsonl")
    (found,) = rescore(read_completions(file, registry=essay_tasks()).answers, essay_tasks())
    assert (found.rouge_l, found.gold) == (1.0, "a dog")


def test_groups_are_by_item_and_seed() -> None:
    records = [*essays("essays", [[0.1, 0.2], [0.3, 0.4]]), *marked("gsm8k", "1" * 11)]
    groups = group_by_task(records[::-1])
    assert list(groups) == ["gsm8k", "essays"]
    assert [r.item_id for r in groups["gsm8k"]] == [f"gsm8k/{i}" for i in range(11)]
    assert [(r.item_id, r.decoding_seed) for r in groups["essays"]] == [
        ("essays/0", 0),
        ("essays/0", 1),
        ("essays/1", 0),
        ("essays/1", 1),
    ]

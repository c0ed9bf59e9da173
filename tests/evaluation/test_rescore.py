"""Scoring again what was saved: real completions as their own harness read them, and records as they were made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kdscope.core.errors import DataError
from kdscope.data.sources import Item, read_items
from kdscope.evaluation.completions import read_completions
from kdscope.evaluation.generative import score_items
from kdscope.evaluation.records import Record, read_records, write_records
from kdscope.evaluation.rescore import changes_table, group_by_task, rescore, summarise_changes
from kdscope.generation.base import Completion
from kdscope.tasks import get_task, get_template
from tests.evaluation.by_hand import essay_tasks, essays, marked, record

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
    assert table.rows == (("gsm8k", "3", "1", "1", "0", "3", "2", "1", "0"),)
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

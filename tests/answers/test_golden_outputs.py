"""The robust rules against what 200 real completions state, labelled by hand without sight of gold or rules.

A label is what a careful reader takes as the completion's final answer, right or wrong; null when it was cut before a
conclusion, names several answers without deciding, or concludes nothing. Half of the completions were drawn where the
published and the robust value disagreed at the time, half at random within each task. The file holds row numbers and
labels only; the completions stay where they are.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kdscope.answers import numbers_match
from kdscope.answers.quantities import parse_number
from kdscope.tasks import get_task


def _labels(name: str) -> list[dict[str, Any]]:
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


LABELS = _labels("golden_outputs.jsonl")
HELD_OUT = _labels("golden_outputs_held_out.jsonl")
"""100 more, drawn and labelled after the rules were mended: 60 where they disagree with the published ones."""

FRESH = _labels("golden_outputs_fresh.jsonl")
"""150 more, labelled before the mended rules read them: 4 of each model and task, and 50 that the length limit cut."""


def _row_key(label: dict[str, Any]) -> tuple[str, str, int]:
    return label["model"], label["task"], label["index"]


def _agrees(task_name: str, value: str | None, states: str | None) -> bool:
    if value is None or states is None:
        return False
    return numbers_match(value, states) if get_task(task_name).answer_kind == "number" else value == states


@pytest.fixture(scope="module")
def robust_values(real_data) -> list[str | None]:
    """What the robust rules read in each labelled completion, in the order of the labels."""
    return _read(real_data, LABELS)


def _read(real_data, labels: list[dict[str, Any]]) -> list[str | None]:
    wanted = {_row_key(label) for label in labels}
    values: dict[tuple[str, str, int], str | None] = {}
    for name in {label["task"] for label in labels}:
        for model, row, item, reason in _outputs_with_model(real_data, name):
            key = (model, name, row["index"])
            if key in wanted:
                reading = get_task(name).extract(row["output"], finish_reason=reason, instruction=item["instruction"])
                values[key] = reading.value
    return [values[_row_key(label)] for label in labels]


def _outputs_with_model(real_data, name: str):
    """The triples of `RealData.outputs`, each with its model: they come model by model, in the order of the files."""
    triples = real_data.outputs(name)
    for model in ("llama_7b_lora", "llama_7b_parallel"):
        if (real_data.folder / "outputs" / model / f"{name}.jsonl").is_file():
            for _ in real_data.lines(f"{model}/{name}.jsonl"):
                row, item, reason = next(triples)
                yield model, row, item, reason


def _wrong_values(values: list[str | None], labels: list[dict[str, Any]] = LABELS) -> list[tuple[Any, ...]]:
    return [
        (*_row_key(label), label["states"], value)
        for label, value in zip(labels, values, strict=True)
        if value is not None and not _agrees(label["task"], value, label["states"])
    ]


def _missed_answers(values: list[str | None], labels: list[dict[str, Any]] = LABELS) -> list[tuple[Any, ...]]:
    return [
        (*_row_key(label), label["states"], value)
        for label, value in zip(labels, values, strict=True)
        if label["states"] is not None and not _agrees(label["task"], value, label["states"])
    ]


def test_the_labels_are_200_distinct_rows_over_13_tasks_half_of_them_disagreements() -> None:
    assert len({_row_key(label) for label in LABELS}) == len(LABELS) >= 200
    assert len({label["task"] for label in LABELS}) == 13
    assert min(Counter(label["task"] for label in LABELS).values()) >= 5
    disagreed = [label for label in LABELS if label["disagreed"]]
    assert 2 * len(disagreed) >= len(LABELS)
    assert len({label["task"] for label in disagreed}) == 10  # the other three had no disagreement at all
    drawn = Counter(label["drawn"] for label in LABELS)
    assert drawn["disagreement"] == drawn["random"] == 100
    assert all(label["disagreed"] for label in LABELS if label["drawn"] == "disagreement")


def test_every_label_is_an_answer_of_its_task_or_null() -> None:
    for label in LABELS:
        task, states = get_task(label["task"]), label["states"]
        if states is not None:
            valid = parse_number(states) is not None if task.answer_kind == "number" else states in task.labels
            assert valid, label
    assert sum(label["states"] is None for label in LABELS) >= 20


def test_what_is_read_is_what_is_stated(robust_values) -> None:
    emitted = sum(value is not None for value in robust_values)
    wrong = _wrong_values(robust_values)
    assert 1 - len(wrong) / emitted >= 0.99, wrong


def test_what_is_stated_is_read(robust_values) -> None:
    stated = sum(label["states"] is not None for label in LABELS)
    missed = _missed_answers(robust_values)
    assert 1 - len(missed) / stated >= 0.98, missed


def test_rows_that_no_rule_was_made_for(real_data) -> None:
    """As measured, .986 and .972: 60 of the 100 are disagreements, so the three errors are many for their number."""
    assert not {_row_key(label) for label in HELD_OUT} & {_row_key(label) for label in LABELS}
    values = _read(real_data, HELD_OUT)
    emitted = sum(value is not None for value in values)
    stated = sum(label["states"] is not None for label in HELD_OUT)
    assert 1 - len(_wrong_values(values, HELD_OUT)) / emitted >= 0.985
    assert 1 - len(_missed_answers(values, HELD_OUT)) / stated >= 0.97


def test_fresh_rows_are_read_where_they_answer_and_left_unread_where_they_do_not(real_data) -> None:
    """As measured, all 150."""
    values = _read(real_data, FRESH)
    unanswered = [value for value, label in zip(values, FRESH, strict=True) if label["states"] is None]
    assert len(FRESH) == len({_row_key(label) for label in FRESH}) == 150
    assert 1 - len(_missed_answers(values, FRESH)) / (len(FRESH) - len(unanswered)) >= 0.985
    assert unanswered.count(None) / len(unanswered) >= 0.975


@pytest.mark.parametrize("model", ["llama_7b_lora", "llama_7b_parallel"])
def test_a_lucky_capital_letter_is_not_credited(model: str, real_data) -> None:
    """The published rule takes the first capital A to E of any word, which is right more often than nothing at all."""
    task = get_task("AQuA")
    published = robust = 0
    for name, row, item, reason in _outputs_with_model(real_data, "AQuA"):
        if name != model:
            continue
        score = task.score(row["output"], item["answer"], finish_reason=reason, instruction=item["instruction"])
        published += score.correct_published
        robust += score.correct_robust
    assert 0 < robust <= published

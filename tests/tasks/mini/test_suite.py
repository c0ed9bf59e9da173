"""The suite: what is promised of all mini tasks alike."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.core.errors import DataError
from kdscope.tasks import Task, get_task, mini_rows
from kdscope.tasks.mini import MINI_MAKERS, MiniSplit, mini_problems, mini_tasks, row_of, write_mini_files
from kdscope.tasks.mini.problems import CONTAINERS, PEOPLE, THINGS
from tests.tasks.mini.readers import wording

# SHA-256 of the first 200 rows of both splits at seed 0, and of the first 200 draws of each maker. The tiny models are
# pretrained on this text: a change here asks for new models.
GOLDEN = {
    "mini-one-step": "ee9be91781e8b7705b8e7b776f085a0c5afd0b5895f8154573ff160b8f65a4ff",
    "mini-two-step": "257d2f026c64a28e404eb7b9daa39511584049d38950668841b18245c8c6d700",
    "mini-distractor": "022c4aa9f9917cc7782e8d472075fb5224d92caad1e0be19f4d6a91fa9e2cdae",
    "mini-three-step": "118b0e69a4b248ef4cade658de5205e04c020bf989ab110120ba562320458a20",
    "mini-compare": "caae341e27a7bc6b66ed3045ea5aa4b247572fc76b141cf9067b86056e7b4601",
    "mini-choose": "cf3e2359d95ce83b47324d240c0309e49f6f96cb8d05de2369ee4da69ab24668",
}
# Wordings (names, numbers and nouns taken out) among 1,000 instructions.
FEWEST_WORDINGS = {
    "mini-one-step": 270,
    "mini-two-step": 700,
    "mini-distractor": 700,
    "mini-three-step": 900,
    "mini-compare": 200,
    "mini-choose": 270,
}
TASKS = st.sampled_from(list(MINI_MAKERS))
SPLITS: st.SearchStrategy[MiniSplit] = st.sampled_from(["train", "test"])


@pytest.mark.parametrize("task", MINI_MAKERS)
def test_the_text_is_the_one_the_tiny_models_know(task: str) -> None:
    rows = [mini_rows(task, "train", 200), mini_rows(task, "test", 200)]
    draws = [row_of(task, MINI_MAKERS[task](random.Random(seed))) for seed in range(200)]
    text = json.dumps([*rows, [[draw["instruction"], draw["output"]] for draw in draws]], sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest() == GOLDEN[task]


def test_every_maker_is_declared_as_a_task() -> None:
    assert [task.name for task in mini_tasks()] == list(MINI_MAKERS)


@pytest.mark.parametrize("task", mini_tasks(), ids=lambda task: task.name)
def test_a_declaration_fits_its_rows(task: Task) -> None:
    rows = mini_rows(task.name, "test", 200)
    assert all(list(row) == ["instruction", "input", "output", "answer"] for row in rows)
    assert get_task(task.name.upper()) == task
    answers = {row["answer"] for row in rows}
    if task.labels:
        assert answers == set(task.labels)
        assert task.chance == pytest.approx(1 / len(answers))
        assert all(row["instruction"].endswith(f"Answer format: {'/'.join(task.labels)}") for row in rows)
    else:
        assert task.chance == 0.0
        assert all(str(int(answer)) == answer for answer in answers)


@pytest.mark.parametrize("task", mini_tasks(), ids=lambda task: task.name)
def test_both_rules_read_the_solution_as_its_answer(task: Task) -> None:
    rows = [*mini_rows(task.name, "train", 300), *mini_rows(task.name, "test", 300)]
    for row, other in zip(rows, [*rows[1:], rows[0]], strict=True):
        score = task.score(row["output"], row["answer"], finish_reason="stop", instruction=row["instruction"])
        assert score.correct_published
        assert score.correct_robust
        assert (score.robust_rule, score.robust_status) == ("marker", "explicit")
        score = task.score(other["output"], row["answer"], finish_reason="stop")
        assert score.correct_published == score.correct_robust == (row["answer"] == other["answer"])


@given(TASKS, SPLITS, st.integers(0, 2**40), st.integers(0, 12), st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_a_longer_list_begins_with_the_shorter(task: str, split: MiniSplit, seed: int, one: int, other: int) -> None:
    shorter, longer = sorted((one, other))
    rows = mini_rows(task, split, longer, seed)
    assert len(rows) == longer
    assert mini_rows(task, split, shorter, seed) == rows[:shorter]


@given(TASKS, SPLITS, st.integers(0, 2**40))
@settings(max_examples=60, deadline=None)
def test_problems_are_of_their_split_and_rows_of_their_problems(task: str, split: MiniSplit, seed: int) -> None:
    problems = list(islice(mini_problems(task, split, seed), 5))
    assert {problem.split for problem in problems} == {split}
    instructions = [row["instruction"] for row in mini_rows(task, split, 5, seed)]
    assert instructions == [row_of(task, problem)["instruction"] for problem in problems]


@pytest.mark.parametrize("task", MINI_MAKERS)
def test_thousands_of_rows_without_a_repetition(task: str) -> None:
    instructions = [row["instruction"] for row in mini_rows(task, "test", 4000)]
    assert len(set(instructions)) == 4000


@pytest.mark.parametrize("task", MINI_MAKERS)
def test_seeds_and_splits_differ(task: str) -> None:
    rows = [row for seed in (0, 1) for row in mini_rows(task, "train", 200, seed) + mini_rows(task, "test", 200, seed)]
    assert len({row["instruction"] for row in rows}) > 790


@pytest.mark.parametrize("task", MINI_MAKERS)
def test_many_wordings(task: str) -> None:
    wordings = {wording(row["instruction"]) for row in mini_rows(task, "train", 1000)}
    assert len(wordings) >= FEWEST_WORDINGS[task]


def test_the_measure_of_wordings_sees_through_nouns_and_numbers() -> None:
    assert wording("Ann has 3 eggs. She buys 5 more.") == wording("Ben has 40 pens. He buys 2 more.")
    assert wording("Ann has 3 eggs.") != wording("Ann owns 3 eggs.")


def test_a_word_means_one_thing() -> None:
    words = [*(name for name, _ in PEOPLE), *THINGS, *CONTAINERS]
    assert len({word.lower() for word in words}) == len(words)
    assert all(re.fullmatch("[A-Z]?[a-z]+", word) for word in words)
    assert not [word for word in words if any(word != longer and word in longer for longer in words)]


@pytest.mark.parametrize("make", [mini_rows, lambda task, split, _: mini_problems(task, split)])
def test_an_unknown_task_or_split_is_refused_at_once(make: Callable[..., object]) -> None:
    with pytest.raises(DataError, match=r"unknown mini task 'mini-none' \(known: mini-one-step, .*mini-choose\)"):
        make("mini-none", "train", 3)
    with pytest.raises(DataError, match=r"mini-compare: unknown split 'dev' \(known: train, test\)"):
        make("mini-compare", "dev", 3)


def test_rows_cannot_be_fewer_than_none() -> None:
    assert mini_rows("mini-choose", "test", 0) == []
    with pytest.raises(DataError, match="items must be at least 0, not -1"):
        mini_rows("mini-choose", "test", -1)


def test_written_files_hold_the_rows_and_nothing_else(tmp_path: Path) -> None:
    files = write_mini_files(tmp_path, ["mini-compare", "mini-one-step"], train=5, test=3, seed=4)
    assert sorted(files) == sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert [str(file.relative_to(tmp_path)) for file in files[:2]] == [
        "mini-compare/train.json",
        "mini-compare/test.json",
    ]
    for file in files:
        split, items = ("train", 5) if file.stem == "train" else ("test", 3)
        rows = json.loads(file.read_text(encoding="utf-8"))
        assert rows == mini_rows(file.parent.name, split, items, seed=4)  # type: ignore[arg-type]


def test_files_of_every_task_unless_told_which(tmp_path: Path) -> None:
    assert {file.parent.name for file in write_mini_files(tmp_path, train=1, test=1)} == set(MINI_MAKERS)


def test_only_mini_tasks_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown mini task 'gsm8k'"):
        write_mini_files(tmp_path, ["gsm8k"], train=1, test=1)
    assert list(tmp_path.iterdir()) == []

"""The items of an evaluation, and what is read in the answers that its arms gave."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from settings import Settings

from kdscope.tasks import get_task, get_template
from results import Run

# What an arm wrote for an item: text, finish_reason, tokens.
Answer = Mapping[str, Any]


def read_items(settings: Settings) -> list[dict[str, Any]]:
    """The first items of the task.

    Raises:
        SystemExit: The file is not there, or has fewer.
    """
    wanted = settings.extra["items"]
    file = Path(settings.extra["data_dir"]) / settings.extra["task"] / "test.json"
    if not file.is_file():
        raise SystemExit(f"--data-dir: there is no {file}")
    rows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    if len(rows) < wanted:
        raise SystemExit(f"--items {wanted}: {file} has {len(rows)}")
    return rows[:wanted]


def prompts_of(settings: Settings) -> list[str]:
    """What every arm is given."""
    template = get_template("alpaca")
    return [template.render(row["instruction"], row["input"]) for row in read_items(settings)]


def spread(lengths: Sequence[int], wanted: int) -> list[int]:
    """Numbers of a few items, evenly spread over all when these are sorted by length.

    >>> spread([0] * 200, 4), spread([9, 5, 7, 1, 8, 2], 2), spread([3, 1], 5)
    ([25, 75, 125, 175], [4, 5], [0, 1])
    """
    count = len(lengths)
    if wanted >= count:
        return list(range(count))
    order = sorted(range(count), key=lambda item: lengths[item])
    return sorted(order[(2 * number + 1) * count // (2 * wanted)] for number in range(wanted))


def scores(settings: Settings, run: Run) -> dict[str, dict[str, Any]]:
    """What is read in every answer of a run, by item."""
    task, rows = get_task(settings.extra["task"]), read_items(settings)
    return {item: _score(task, rows[int(item)], answer) for item, answer in run["answers"].items()}


def agree(one: Run, other: Run) -> list[str]:
    """Items with the same text, and with the same value read by either rules, of those both runs have."""
    items = [item for item in one["answers"] if item in other["answers"]]
    texts = sum(one["answers"][item]["text"] == other["answers"][item]["text"] for item in items)
    values = (
        sum(one["scores"][item][rules] == other["scores"][item][rules] for item in items)
        for rules in ("robust", "published")
    )
    return [f"{count} of {len(items)}" for count in (texts, *values)]


def _score(task: Any, row: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    score = task.score(
        answer["text"], str(row["answer"]), finish_reason=answer["finish_reason"], instruction=row["instruction"]
    )
    return {
        "robust": score.robust_value,
        "published": score.published_value,
        "correct_robust": score.correct_robust,
        "correct_published": score.correct_published,
    }


def accuracy(run: Run, rules: str) -> float:
    """Share of its items that are right by either rules."""
    return sum(score[f"correct_{rules}"] for score in run["scores"].values()) / len(run["scores"])

"""Records written by hand: what a model said, item by item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from kdscope.evaluation.fidelity_per_task import Sampling
from kdscope.evaluation.fidelity_table import FidelityRow, fidelity_rows, measure_records
from kdscope.evaluation.records import Record
from kdscope.tasks import Task, TaskRegistry, default_registry

_PLAIN = Record(
    task="gsm8k",
    item_id="gsm8k/0",
    item_hash="h0",
    decoding_seed=0,
    prompt="p0",
    completion="the answer is 4",
    finish_reason="stop",
    gold="4",
    published_value="4.0",
    correct_published=True,
    robust_value="4",
    robust_rule="marker",
    robust_status="explicit",
    truncated=False,
    correct_robust=True,
    completion_tokens=5,
)


def record(task: str, index: int, **changes: object) -> Record:
    """One record of an item of this task; what is not named is of no importance."""
    own = {"task": task, "item_id": f"{task}/{index}", "item_hash": f"hash {task} {index}", "prompt": f"{task} {index}"}
    return replace(_PLAIN, **own | changes)


def answered(task: str, values: Sequence[str | None], golds: Sequence[str], **changes: object) -> list[Record]:
    """Records whose robust and published answers are `values`, right where they equal the gold answer."""
    return [
        record(
            task,
            index,
            gold=gold,
            robust_value=value,
            published_value=value,
            correct_robust=value == gold,
            correct_published=value == gold,
            completion=f"so the answer must be {value} I think",
            **changes,
        )
        for index, (value, gold) in enumerate(zip(values, golds, strict=True))
    ]


def marked(task: str, right: str, **changes: object) -> list[Record]:
    """Records right where the text has a 1: ``"1101"``."""
    return answered(task, ["4" if mark == "1" else "5" for mark in right], ["4"] * len(right), **changes)


def essay_tasks() -> TaskRegistry:
    """The built-in tasks and two of a person's own that are answered by free text."""
    own = [
        Task(name, "instruction", "text", (), 0.0, 9, "nobody", "CC0", "write something") for name in ("essays", "odes")
    ]
    return default_registry().extended(own)


def essays(task: str, values: Sequence[Sequence[float]], **changes: object) -> list[Record]:
    """Free texts worth these ROUGE-L values: one row an item, one column a decoding seed."""
    return [
        record(
            task,
            index,
            decoding_seed=seed,
            rouge_l=value,
            robust_value="text",
            published_value="text",
            correct_robust=False,
            correct_published=False,
            completion=f"an essay about {index} and {seed} worth {value:.2f}",
            **changes,
        )
        for index, row in enumerate(values)
        for seed, value in enumerate(row)
    ]


def sampled(task: str, marks: Sequence[str], **changes: object) -> list[Record]:
    """Right and wrong answers with several decoding seeds: a text of marks for each seed."""
    return [
        replace(one, decoding_seed=seed, **changes) for seed, right in enumerate(marks) for one in marked(task, right)
    ]


def row(table: pd.DataFrame, **keys: str) -> pd.Series:
    """The one row of a table with these values."""
    chosen = table
    for name, value in keys.items():
        chosen = chosen[chosen[name] == value]
    assert len(chosen) == 1
    return chosen.iloc[0]


def compare_records(
    student: dict[str, list[Record]],
    teacher: dict[str, list[Record]],
    scoring: str,
    *,
    registry: TaskRegistry | None = None,
    draws: int = 2000,
    shuffles: int = 5,
    seed: int = 0,
    **others: dict[str, list[Record]] | None,
) -> list[FidelityRow]:
    """Rows of the fidelity table, of each task and of all items together."""
    sampling = Sampling(draws, shuffles, seed)
    measured = measure_records(student, teacher, scoring, registry=registry, sampling=sampling, **others)
    return fidelity_rows(measured, registry)

"""From item records to tidy tables: accuracy of every model, gain of every student over its control."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from kdscope.evaluation.pairs import POOLED, answer_of, check_same_items, is_correct
from kdscope.evaluation.records import Record
from kdscope.statistics.multiplicity import holm
from kdscope.statistics.paired import compare_paired, wilson_interval
from kdscope.statistics.published import published_h1
from kdscope.tasks import get_task

SCORINGS = ("robust", "published")
AVERAGE = "average"

ModelRecords = Mapping[str, Sequence[Record]]


def accuracy_table(records: Mapping[str, ModelRecords]) -> pd.DataFrame:
    """Accuracy of every model on every task, by both scorings, with 95% Wilson intervals.

    The row "average" is the unweighted mean over tasks; it has no interval of its own.

    Args:
        records: Records by model label and task.
    """
    rows: list[dict[str, Any]] = []
    for cell, tasks in records.items():
        for scoring in SCORINGS:
            own = [_accuracy_row(cell, task, answered, scoring) for task, answered in tasks.items()]
            rows += [*own, _average_row(cell, scoring, own)]
    return pd.DataFrame(rows)


def gains_table(records: Mapping[str, ModelRecords], controls: Mapping[str, str]) -> pd.DataFrame:
    """Paired difference of every student to its SFT control, per task and over all items together.

    The interval is Tango's score interval, the p-value McNemar's exact test; the pooled p-values of each scoring are
    adjusted by Holm's method. Items with the same prompt count as one cluster. Tasks that only one of the two has
    answered, because the other failed, are left out.

    Args:
        records: Records by model label and task.
        controls: The control's label by student label.

    Raises:
        DataError: A student and its control did not answer the same items.
    """
    rows: list[dict[str, Any]] = []
    for scoring in SCORINGS:
        own: list[dict[str, Any]] = []
        for cell, control in controls.items():
            tasks = dict(records[cell])
            common = [task for task in tasks if task in records[control]]
            pairs = {task: (list(tasks[task]), list(records[control][task])) for task in common}
            for task, pair in pairs.items():
                check_same_items(task, *pair)
            if len(pairs) > 1:
                pairs[POOLED] = (
                    [record for one, _ in pairs.values() for record in one],
                    [record for _, other in pairs.values() for record in other],
                )
            own += [_gain_row(cell, control, task, *pair, scoring) for task, pair in pairs.items()]
        rows += _with_holm(own)
    return pd.DataFrame(rows)


def published_tests_table(accuracy: pd.DataFrame, cells: pd.DataFrame, controls: Mapping[str, str]) -> pd.DataFrame:
    """The published H1 over this study's own grid: is the gain positive, and do methods differ?

    As published, a student's best temperature (per teacher and method) stands for the method, in percentage points, and
    ablations stay out: unadapted teachers and noisy ones. Other settings and other seeds count as cells of their own.
    """
    if accuracy.empty:
        return pd.DataFrame()
    table = accuracy[accuracy["scoring"] == "published"].set_index(["cell", "task"])["accuracy"]
    ablated = (cells["teacher_condition"] == "base") | (cells["teacher_noise_std"].fillna(0.0) > 0)
    chosen = cells[cells["cell"].isin(list(controls)) & ~ablated]
    rows = [
        {
            **{key: row[key] for key in ("teacher", "student", "seed", "kd_weight", "variant")},
            "family": row["method"],
            "task": task,
            "gain": 100 * (table[row["cell"], task] - table[controls[row["cell"]], task]),
        }
        for row in chosen.to_dict("records")
        for task in table[row["cell"]].index
    ]
    if not rows:
        return pd.DataFrame()
    gains = pd.DataFrame(rows)
    keys = ["teacher", "student", "seed", "kd_weight", "variant", "family", "task"]
    best = gains.groupby(keys, sort=False, dropna=False)["gain"].max().reset_index()
    best["task"] = best["task"].replace(AVERAGE, "Average")
    return pd.DataFrame([{"protocol": "published", **asdict(result)} for result in published_h1(best)])


def _accuracy_row(cell: str, task: str, records: Sequence[Record], scoring: str) -> dict[str, Any]:
    correct, items = sum(is_correct(r, scoring) for r in records), len(records)
    low, high = wilson_interval(correct, items)
    chance = get_task(task).chance
    return {
        "cell": cell,
        "task": task,
        "scoring": scoring,
        "items": items,
        "correct": correct,
        "accuracy": correct / items,
        "low": low,
        "high": high,
        "unparsed_rate": sum(answer_of(r, scoring) is None for r in records) / items,
        "truncated_rate": sum(r.finish_reason == "length" for r in records) / items,
        "chance": chance,
        "below_chance": high < chance,
    }


def _average_row(cell: str, scoring: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    mean = {
        key: math.fsum(row[key] for row in rows) / len(rows)
        for key in ("accuracy", "unparsed_rate", "truncated_rate", "chance")
    }
    totals = {key: sum(row[key] for row in rows) for key in ("items", "correct")}
    bounds = {"low": math.nan, "high": math.nan, "below_chance": False}
    return {"cell": cell, "task": AVERAGE, "scoring": scoring, **totals, **mean, **bounds}


def _gain_row(
    cell: str, control: str, task: str, records: Sequence[Record], others: Sequence[Record], scoring: str
) -> dict[str, Any]:
    result = compare_paired(
        [is_correct(r, scoring) for r in records],
        [is_correct(r, scoring) for r in others],
        clusters=[r.prompt for r in records],
    )
    return {
        "cell": cell,
        "control": control,
        "task": task,
        "scoring": scoring,
        "items": result.items,
        "only_cell": result.only_first,
        "only_control": result.only_second,
        "gain": result.difference,
        "low": result.low,
        "high": result.high,
        "p_value": result.p_value,
        "p_holm": math.nan,
        "method_of_test": result.method,
    }


def _with_holm(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Holm over the rows that answer the study's question: all items together, or the only task there is."""
    tasks = {row["task"] for row in rows}
    family = [row for row in rows if row["task"] == POOLED or len(tasks) == 1]
    if family:
        for row, adjusted in zip(family, holm([row["p_value"] for row in family]), strict=True):
            row["p_holm"] = float(adjusted)
    return rows

"""Results with and without the items that a training set holds, side by side."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from kdscope.evaluation.records import Record
from kdscope.evaluation.tables import ModelRecords, accuracy_table, gains_table
from kdscope.results.measures import AVERAGES, POOLS
from kdscope.tasks import TaskRegistry

_KEY = ["cell", "task", "scoring"]
_GAIN = ("gain", "low", "high")


def without_items(records: Mapping[str, ModelRecords], left_out: Collection[str]) -> dict[str, dict[str, list[Record]]]:
    """Records by model and task without those of some items; tasks of which none is left are gone."""
    kept = {
        cell: {
            task: [record for record in answered if record.item_id not in left_out] for task, answered in tasks.items()
        }
        for cell, tasks in records.items()
    }
    return {cell: {task: rows for task, rows in tasks.items() if rows} for cell, tasks in kept.items()}


def clean_table(
    records: Mapping[str, ModelRecords],
    controls: Mapping[str, str],
    contaminated: Collection[str],
    registry: TaskRegistry | None = None,
) -> pd.DataFrame:
    """Accuracy and gain on all items and on the clean ones, for the tasks that have contaminated items and for all.

    Columns cell, task, scoring, and for each of the two sets of items (suffixes `_all` and `_clean`) items, accuracy,
    gain, low, high; the gains are empty where a model has no control. Empty where no item is contaminated.

    Args:
        records: Records by model label and task.
        controls: The control's label by student label.
        contaminated: Ids of the contaminated items.
        registry: The tasks; the built-in ones where absent.
    """
    concerned = {
        task
        for tasks in records.values()
        for task, answered in tasks.items()
        if any(record.item_id in contaminated for record in answered)
    }
    if not concerned:
        return pd.DataFrame()
    parts = {"all": records, "clean": without_items(records, contaminated)}
    frames = [_results(part, controls, registry).add_suffix(f"_{name}") for name, part in parts.items()]
    both = frames[0].join(frames[1]).reset_index()
    return both[both["task"].isin([*concerned, *POOLS])].reset_index(drop=True)


def _results(
    records: Mapping[str, ModelRecords], controls: Mapping[str, str], registry: TaskRegistry | None
) -> pd.DataFrame:
    """Accuracy joined with gains, by cell, task and scoring."""
    answered = {cell: tasks for cell, tasks in records.items() if tasks}
    known = {cell: control for cell, control in controls.items() if {cell, control} <= {*answered}}
    rows = accuracy_table(answered, registry=registry).to_dict("records") if answered else []
    accuracy = pd.DataFrame(rows, columns=[*_KEY, "items", "accuracy"])
    accuracy = accuracy[~accuracy["task"].isin(AVERAGES)].set_index(_KEY)
    gained = gains_table(answered, known, registry=registry).to_dict("records") if known else []
    gains = pd.DataFrame(gained, columns=[*_KEY, "items", *_GAIN]).set_index(_KEY)
    joined = accuracy.join(gains[list(_GAIN)], how="outer")
    joined["items"] = joined["items"].fillna(gains["items"])
    return joined

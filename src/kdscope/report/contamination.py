"""What training sets hold of the evaluation items, and what the results are without those items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdscope.report.formatting import MISSING, is_missing, percent, plural, points, with_interval
from kdscope.report.panels import named, select
from kdscope.report.schema import POOLS
from kdscope.report.tables import ReportTables, records
from kdscope.report.views import Entry, View


def contamination_view(tables: ReportTables) -> View:
    """One row for every training set and task that have anything in common."""
    rows = [
        (
            Entry(row["training_set"]),
            Entry(row["task"]),
            *(_count(row[name], flagged=name in ("exact", "near") and row[name] > 0) for name in _COUNTS),
            Entry(row["examples"].split(";")[0]),
        )
        for row in records(tables.contamination)
    ]
    return View(
        key="contamination",
        title="Evaluation items in the training sets",
        how_to_read="Same question: letter case, punctuation and spacing aside. Near: one training example has at "
        "least half of the item's 8-grams of words. Some: it has any. The first two count as contaminated.",
        csv="contamination",
        empty="No training set shares an 8-gram or a question with any evaluation item.",
        head=("training set", "task", "items", "same question", "near", "some", "for example"),
        rows=tuple(rows),
    )


def clean_view(tables: ReportTables, scoring: str) -> View:
    """One row for every model and contaminated task: results on all items, and on the clean ones."""
    rows = named(tables, select(tables.clean, scoring=scoring))
    body = [
        (
            Entry(row["cell"]),
            Entry("all tasks" if row["task"] in POOLS else row["task"]),
            *(entry for part in ("all", "clean") for entry in _results(row, part)),
        )
        for row in records(rows)
    ]
    return View(
        key="clean",
        title=f"With and without contaminated items ({scoring} scoring)",
        how_to_read="Accuracy in percent, gains over SFT in points with their 95% intervals.",
        csv="clean",
        empty="No item is contaminated, so there is only one result.",
        head=("cell", "task", "items", "accuracy", "gain", "clean items", "accuracy on them", "gain on them"),
        rows=tuple(body),
    )


def contamination_caution(tables: ReportTables, *, excluded: bool) -> str:
    """How many items are contaminated, and whether the conclusions use them."""
    rows = [row for row in records(tables.contamination) if row["exact"] + row["near"] > 0]
    if not rows:
        return ""
    parts = [f"{row['exact'] + row['near']:,} of {row['items']:,} of {row['task']}" for row in rows]
    count = sum(int(row["exact"] + row["near"]) for row in rows)
    use = (
        "The conclusions leave them out."
        if excluded
        else "The conclusions use them; tasks.exclude_contaminated leaves them out."
    )
    return f"Training sets hold {plural(count, 'evaluation item')}: {'; '.join(parts)}. {use}"


_COUNTS = ("items", "exact", "near", "some")


def _count(value: Any, *, flagged: bool) -> Entry:
    return Entry(f"{value:,}", repr(float(value)), flagged=flagged)


def _results(row: Mapping[str, Any], part: str) -> tuple[Entry, Entry, Entry]:
    items, accuracy, gain = (row[f"{name}_{part}"] for name in ("items", "accuracy", "gain"))
    interval = with_interval(*(points(row[f"{name}_{part}"]) for name in ("gain", "low", "high")))
    return (
        Entry(MISSING) if is_missing(items) else _count(items, flagged=False),
        Entry(MISSING) if is_missing(accuracy) else Entry(percent(accuracy), repr(float(accuracy))),
        Entry(MISSING) if is_missing(gain) else Entry(interval, repr(float(gain))),
    )

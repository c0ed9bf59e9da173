"""What training sets hold of the evaluation items, and what the results are without those items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdscope.report.views import Entry, View
from kdscope.results.formatting import MISSING, is_missing, percent, plural, points, with_interval
from kdscope.results.measures import POOLS
from kdscope.results.tables import ReportTables, records, select


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
        how_to_read="Each training set is compared with each task's items; each item counts once a row, in the first "
        "column that it fits. Word for word: the set has the same question, letter case, punctuation and spacing "
        "aside. Near: one of its examples has at least half of the item's 8-grams of words. Some: it has any. The "
        "first two count as contaminated.",
        csv="contamination",
        empty="No training set shares an 8-gram or a question with any evaluation item.",
        head=("training set", "task", "items", "word for word", "near", "some", "for example"),
        rows=tuple(rows),
    )


def clean_view(tables: ReportTables, scoring: str) -> View:
    """One row for every model and contaminated task: results on all items, and on the clean ones."""
    rows = tables.named(select(tables.clean, scoring=scoring))
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
    """How many items stand in which training set, word for word or nearly, and whether the conclusions use them."""
    rows = [row for row in records(tables.contamination) if row["exact"] + row["near"] > 0]
    if not rows:
        return ""
    rows.sort(key=lambda row: -(row["exact"] + row["near"]))
    parts = [_found(row) for row in rows[:_SHOWN]]
    if len(rows) > _SHOWN:
        parts.append(f"and so for {plural(len(rows) - _SHOWN, 'more pair')} of training set and task")
    them = "it" if sum(int(row["exact"] + row["near"]) for row in rows) == 1 else "them"
    use = (
        f"The conclusions leave {them} out."
        if excluded
        else f"The conclusions use {them}; tasks.exclude_contaminated leaves {them} out."
    )
    return f"{'; '.join(parts)}. {use}"


def _found(row: Mapping[str, Any]) -> str:
    """What one training set holds of one task; exact and near are told apart because they are not alike."""
    exact, near = int(row["exact"]), int(row["near"])
    verb, whose = ("is", "its") if exact + near == 1 else ("are", "their")
    grams = f"at least half of {whose} 8-grams"
    which = f"{exact + near:,} of {plural(int(row['items']), 'item')} of {row['task']} {verb}"
    if not exact:
        return f"{which} nearly in {row['training_set']} ({grams}; none word for word)"
    if not near:
        return f"{which} in {row['training_set']} word for word"
    return f"{which} in {row['training_set']} ({exact:,} word for word, {near:,} nearly: {grams})"


_COUNTS = ("items", "exact", "near", "some")
_SHOWN = 5


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

"""Contamination: evaluation items found in training sets, and results with and without those items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from kdscope.results.formatting import plural
from kdscope.results.measures import POOLS
from kdscope.results.table import Row, Table, TableCell, TableColumn, gain, number, numbers, share, texts
from kdscope.results.tables import ReportTables, records, select

_SHOWN = 5
"""Pairs of training set and task that the caution names."""


def contamination_overview(tables: ReportTables) -> Table:
    """The page's table: one row for every training set and task that have anything in common."""
    columns = (
        *texts("training set", "task"),
        *numbers("items"),
        *numbers("word for word", "near", show=_flagged, word_for_word="exact"),
        *numbers("some"),
        TableColumn("for example", "text", lambda row: TableCell(row["examples"].split(";")[0])),
    )
    return Table.of(
        records(tables.contamination),
        columns,
        key="contamination",
        title="Evaluation items in the training sets",
        notes=(
            "Each training set is compared with each task's items; each item counts once a row, in the first "
            "column that it fits. Word for word: the set has the same question, letter case, punctuation and spacing "
            "aside. Near: one of its examples has at least half of the item's 8-grams of words. Some: it has any. The "
            "first two count as contaminated.",
        ),
        source="contamination",
        empty="No training set shares an 8-gram or a question with any evaluation item.",
    )


def _flagged(count: int) -> TableCell:
    return replace(number(count), flagged=count > 0)


def decontaminated_overview(tables: ReportTables, scoring: str) -> Table:
    """The page's table: for every model and contaminated task results on all items, and on the clean ones."""
    columns = (*texts("cell"), _task("all tasks"), *_both_results())
    return Table.of(
        records(tables.named(select(tables.clean, scoring=scoring))),
        columns,
        key="clean",
        title=f"With and without contaminated items ({scoring} scoring)",
        notes=("Accuracy in percent, gains over SFT in points with their 95% intervals.",),
        source="clean",
        empty="No item is contaminated, so there is only one result.",
    )


def paper_contamination(tables: ReportTables, scoring: str) -> Iterator[Table]:
    """What training sets hold of the items, and the results with and without those items."""
    columns = (
        *texts("training set", "task"),
        *numbers("items", "same question", "near", "some", same_question="exact"),
    )
    yield Table.of(
        records(tables.contamination),
        columns,
        key="contamination",
        title="Evaluation items in the training sets",
        notes=(
            "Same question: letter case, punctuation and spacing aside. Near: one training example has at least half "
            "of the item's 8-grams of words. Some: it has any.",
        ),
        names=2,
        data=tables.contamination,
    )
    data = tables.with_names(select(tables.clean, scoring=scoring))
    columns = (*texts("model", "trained with"), _task("all items"), *_both_results())
    yield Table.of(
        records(data),
        columns,
        key="clean",
        title="Results with and without the items that training sets hold",
        notes=("Accuracy in percent, gain over SFT in percentage points with its 95% interval.",),
        names=3,
        data=data,
    )


def _task(all_of_them: str) -> TableColumn:
    return TableColumn("task", "text", lambda row: TableCell(all_of_them if row["task"] in POOLS else row["task"]))


def _both_results() -> Iterator[TableColumn]:
    for part, headings in (
        ("all", ("items", "accuracy", "gain")),
        ("clean", ("clean items", "accuracy on them", "gain on them")),
    ):
        yield from _results(part, headings)


def _results(part: str, headings: tuple[str, str, str]) -> tuple[TableColumn, ...]:
    return (
        TableColumn(headings[0], show=lambda row: number(row[f"items_{part}"])),
        TableColumn(headings[1], show=lambda row: share(row, f"accuracy_{part}")),
        TableColumn(headings[2], show=lambda row: gain(row, *(f"{name}_{part}" for name in ("gain", "low", "high")))),
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


def _found(row: Row) -> str:
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

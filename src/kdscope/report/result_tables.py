"""Tables of results: the accuracy of every model, and gains over SFT; for the page and for papers.

What papers mark. Established: the 95% interval of a gain excludes 0, and its p-value, adjusted by Holm's method, is
at most .05. All items together have one family of p-values, single tasks another: all of a study's students on all
tasks.

Best: established, and the interval lies above those of all other students of the same model, of which there is at
least one. That is never too easy: two gains over one control differ by more than 1.96 (s1 + s2), which is at least
1.96 standard errors of their difference, however they are correlated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from kdscope.figures.gains import ITEM_LEVEL
from kdscope.results.findings import Verdict, verdict_of_checkpoint
from kdscope.results.formatting import MISSING, is_missing, percent, plural, span
from kdscope.results.labels import CellName
from kdscope.results.measures import AVERAGES, POOLS
from kdscope.results.table import Row, Table, TableCell, decimal, gain, number, numbers, p_value, share, text, texts
from kdscope.results.tables import ReportTables, known_counts, pooled, pooled_task, records, select
from kdscope.statistics.means import limits_of_mean
from kdscope.statistics.multiplicity import holm

BETTER, WORSE = "*", "†"
"""Marks of a gain or loss that is established."""
_EXPLAINED = (
    f"{BETTER} ({WORSE}): better (worse) than SFT of the same student, by a 95% interval that excludes 0 and a "
    "Holm-adjusted p at most .05 (on single tasks adjusted for all students and tasks). "
    "Bold: in addition, the student has other cells, and the interval of the gain lies above those of all of them. "
    "These are item-level statements about single checkpoints; what holds of methods is in the tables of statistics."
)
_GAIN = ("gain", "low", "high")
_WHO = texts("model", "trained with", trained_with="short")
_COUNTED = ("items", "only_cell", "only_control")
_NOTHING: Row = dict.fromkeys((*_COUNTED, *_GAIN, "p_value", "p_holm"))
Marks = Mapping[tuple[str, str], Mapping[str, Any]]
"""How the gain of a (cell, task) is set: `mark` and `bold` of its table cell."""


def accuracy_overview(tables: ReportTables, scoring: str) -> Table:
    """The page's table: one row per cell, one column per task, with 95% intervals; chance in the last row."""
    rows = tables.named(select(tables.accuracy, scoring=scoring))
    tasks = [task for task in tables.tasks if task in set(rows["task"])]
    body = [
        (text(cell), *(_page_accuracy(by_task.get(task)) for task in tasks)) for cell, by_task in _by_cell(rows).items()
    ]
    chance = _chance_of(rows)
    if chance.notna().any():
        body.append((text("chance"), *(decimal(100 * chance[task], 1) for task in tasks)))
    return Table(
        key=f"accuracy-table-{scoring}",
        title=f"Accuracy, percent ({scoring} scoring)",
        notes=(
            "In brackets the 95% interval; free text has its mean ROUGE-L, times 100. Two overlapping "
            "intervals do not show that two models are equal, nor two that stand apart by how much they differ: for "
            "that, read the paired differences. ▼: below chance.",
        ),
        columns=(*texts("cell"), *numbers(*(_with_size(task, rows) for task in tasks))),
        rows=tuple(body),
        source="accuracy",
        empty="No model has been evaluated under this scoring.",
    )


def _with_size(task: str, rows: pd.DataFrame) -> str:
    items = rows["items"][rows["task"] == task].dropna().unique()
    return f"{task} (n={items[0]:,})" if len(items) == 1 and task not in AVERAGES else task


def _page_accuracy(row: Row | None) -> TableCell:
    if row is None:
        return TableCell(MISSING)
    cell = share(row, "accuracy")
    below = not is_missing(row["below_chance"]) and bool(row["below_chance"])
    return replace(cell, text=f"{cell.shown} ▼", interval="", flagged=True) if below else cell


def gains_overview(tables: ReportTables, scoring: str) -> Table:
    """The page's table: one row per comparison with SFT, its pooled gain and test, and the gain on every task."""
    rows = tables.named(select(tables.gains, scoring=scoring))
    tasks = [task for task in dict.fromkeys(rows["task"]) if task not in (*POOLS, *AVERAGES)]
    compared: dict[tuple[str, str], dict[str, Row]] = {}
    for row in records(rows):
        compared.setdefault((row["cell"], row["control"]), {})[row["task"]] = row
    body = []
    for (cell, control), by_task in compared.items():
        total = by_task[pooled_task(list(by_task))]
        of_tasks = (gain(by_task.get(task, _NOTHING)) for task in tasks)
        body.append((text(cell), text(control), *_counts(total), gain(total), *_tests(total), *of_tasks))
    return Table(
        key=f"gains-table-{scoring}",
        title=f"Difference from SFT by checkpoint, points ({scoring} scoring)",
        notes=(
            ITEM_LEVEL,
            "What holds of methods is in the table at the top. Student and control answered the "
            "same items; “only cell” and “only control” count the items that one got right and the other did not. The "
            "Holm p of the pooled difference allows for the number of comparisons; intervals are pointwise.",
            _methods_of_test(rows, "Tests and intervals"),
        ),
        columns=(
            *texts("cell", "control"),
            *numbers("items", "only cell", "only control", "pooled difference", "p", "Holm p", *tasks),
        ),
        rows=tuple(body),
        source="gains",
        empty="There is no finished distilled student with a finished SFT control to compare it with.",
    )


def paper_results(tables: ReportTables, scoring: str) -> Iterator[Table]:
    """Accuracy with the pooled gain, the pooled gains with their tests, and gains by task."""
    gains = holm_filled(tables.named(select(tables.gains, scoring=scoring)))
    marks = gain_marks(gains, tables.names)
    yield _accuracy_table(tables, scoring, gains, marks)
    yield _gains_table(gains, marks)
    yield _gains_by_task_table(gains, marks)


def _accuracy_table(tables: ReportTables, scoring: str, gains: pd.DataFrame, marks: Marks) -> Table:
    """Models by tasks, then the mean over tasks and the gain over SFT over all items together."""
    rows = with_average_limits(tables.named(select(tables.accuracy, scoring=scoring)))
    tasks = _averages_last(rows)
    total = {row["cell"]: row for row in records(pooled(gains))}
    body = [
        (*_who(next(iter(by_task.values()))), *_accuracies(by_task, tasks, marks), _marked(total.get(cell), marks))
        for cell, by_task in _by_cell(rows).items()
    ]
    return Table(
        key="accuracy",
        title=f"Accuracy in percent with 95% intervals, and gain over SFT in percentage points; {scoring} scoring",
        notes=(
            *_sizes(rows, tasks),
            "Averages are unweighted means over tasks; their intervals combine those of the tasks (MOVER; Zou and "
            "Donner 2008). The gain is over all items together, against SFT of the same student and seed.",
            _EXPLAINED,
        ),
        columns=(*_WHO, *numbers(*tasks, "gain")),
        rows=(*body, *_chance_row(rows, tasks)),
        names=2,
        data=_with_gains(rows, gains),
    )


def _gains_table(gains: pd.DataFrame, marks: Marks) -> Table:
    """One row per distilled student: gain over all items, its test, and the items that only one of the two got."""
    rows = pooled(gains)
    return Table(
        key="gains",
        title="Gain over SFT in percentage points, over all items together",
        notes=(
            "Student and control answered the same items; counted are those that one got right and the other did not.",
            _methods_of_test(gains, "Tests and 95% intervals"),
            _EXPLAINED,
        ),
        columns=(*_WHO, *numbers("items", "only student", "only SFT", "gain", "p", "Holm p")),
        rows=tuple((*_who(row), *_counts(row), _marked(row, marks), *_tests(row)) for row in records(rows)),
        names=2,
        data=_data(rows),
    )


def _gains_by_task_table(gains: pd.DataFrame, marks: Marks) -> Table:
    """One row per distilled student, one column per task."""
    rows = gains[~gains["task"].isin(POOLS)]
    tasks = list(dict.fromkeys(rows["task"]))
    pairs: dict[tuple[str, str], dict[str, Row]] = {}
    for row in records(rows):
        pairs.setdefault((row["cell"], row["control"]), {})[row["task"]] = row
    return Table(
        key="gains_by_task",
        title="Gain over SFT by task, in percentage points",
        notes=("In brackets 95% intervals, each for itself.", _EXPLAINED),
        columns=(*_WHO, *numbers(*tasks)),
        rows=tuple(
            (*_who(next(iter(by_task.values()))), *(_marked(by_task.get(task), marks) for task in tasks))
            for by_task in pairs.values()
        ),
        names=2,
        data=_data(rows),
    )


def holm_filled(gains: pd.DataFrame) -> pd.DataFrame:
    """The gains of one scoring, `p_holm` filled in for single tasks where it is missing: one family for all of them."""
    single = ~gains["task"].isin(POOLS) & gains["p_holm"].isna()
    filled = gains["p_holm"].astype("float64").copy()
    filled[single] = holm(gains.loc[single, "p_value"].to_numpy(dtype="float64"))
    return gains.assign(p_holm=filled)


def gain_marks(gains: pd.DataFrame, names: Mapping[str, CellName]) -> Marks:
    """How the gain of every (cell, task) is marked, from `holm_filled` gains."""
    marks: dict[tuple[str, str], Mapping[str, Any]] = {}
    model = gains["cell"].map({cell: name.model for cell, name in names.items()})
    for (_, task), part in gains.groupby([model, "task"], sort=False):
        rows = records(part)
        for row in rows:
            others = [other for other in rows if other["cell"] != row["cell"]]
            verdict = verdict_of_checkpoint(row["low"], row["high"], row["p_holm"])
            sign = {Verdict.HIGHER: BETTER, Verdict.LOWER: WORSE}.get(verdict, "")
            marks[str(row["cell"]), str(task)] = {"mark": sign, "bold": sign == BETTER and _above(row, others)}
    return marks


def _above(row: Row, others: list[dict[str, Any]]) -> bool:
    return bool(others) and all(not is_missing(other["high"]) and row["low"] > other["high"] for other in others)


def with_average_limits(rows: pd.DataFrame) -> pd.DataFrame:
    """The accuracy rows, means over tasks with an interval made of those of their tasks.

    By `means.limits_of_mean`: tasks have different items, so that their estimates are independent. Without the interval
    of each of its tasks, as where a mean brings its own, it stays as it is.
    """
    filled = rows.copy()
    metric = filled["metric"].fillna("accuracy")
    means = filled["task"].isin(AVERAGES) & filled["low"].isna()
    for index, row in zip(filled.index[means], records(filled[means]), strict=True):
        same = (filled["cell"] == row["cell"]) & (metric == metric[index]) & ~filled["task"].isin(AVERAGES)
        value, low, high = (filled.loc[same, name].to_numpy(dtype="float64") for name in ("accuracy", "low", "high"))
        if not len(value) or abs(float(value.mean()) - row["accuracy"]) > _ROUNDED:
            continue
        filled.loc[index, "low"], filled.loc[index, "high"] = limits_of_mean(value, low, high, row["accuracy"])
    return filled


_ROUNDED = 6e-4
"""An average that was published with one decimal of a percentage may be off by as much from that of its tasks."""


def _averages_last(rows: pd.DataFrame) -> list[str]:
    """Tasks in their order of appearance, means over tasks last."""
    return sorted(dict.fromkeys(map(str, rows["task"])), key=AVERAGES.__contains__)


def _by_cell(rows: pd.DataFrame) -> dict[str, dict[str, Row]]:
    by_cell: dict[str, dict[str, Row]] = {}
    for row in records(rows):
        by_cell.setdefault(row["cell"], {})[row["task"]] = row
    return by_cell


def _who(row: Row) -> tuple[TableCell, ...]:
    return tuple(column.show(row) for column in _WHO)


def _counts(row: Row) -> Iterator[TableCell]:
    return (number(row[name]) for name in _COUNTED)


def _tests(row: Row) -> Iterator[TableCell]:
    return (p_value(row[name]) for name in ("p_value", "p_holm"))


def _methods_of_test(rows: pd.DataFrame, what: str) -> str:
    methods = "; ".join(rows["method_of_test"].dropna().unique())
    return f"{what}: {methods}." if methods else ""


def _accuracies(by_task: Mapping[str, Row], tasks: Sequence[str], marks: Marks) -> Iterator[TableCell]:
    for task in tasks:
        row = by_task.get(task)
        yield TableCell(MISSING) if row is None else share(row, "accuracy", **marks.get((row["cell"], task), {}))


def _marked(row: Row | None, marks: Marks) -> TableCell:
    return TableCell(MISSING) if row is None else gain(row, **marks.get((row["cell"], row["task"]), {}))


def _chance_of(rows: pd.DataFrame) -> pd.Series:
    return rows.drop_duplicates("task").set_index("task")["chance"]


def _chance_row(rows: pd.DataFrame, tasks: Sequence[str]) -> Iterator[tuple[TableCell, ...]]:
    chance = _chance_of(rows)
    if (chance > 0).any():
        yield (TableCell("chance"), TableCell(""), *(TableCell(percent(chance[task])) for task in tasks), TableCell(""))


def _sizes(rows: pd.DataFrame, tasks: Sequence[str]) -> Iterator[str]:
    counts = {
        task: known_counts(records(rows[rows["task"] == task]), "items") for task in tasks if task not in AVERAGES
    }
    known = {task: items for task, items in counts.items() if items}
    sizes = {tuple(items) for items in known.values()}
    if len(sizes) == 1 and len(known) > 1:
        yield f"Every task has {plural(next(iter(sizes))[0], 'item')}." if len(next(iter(sizes))) == 1 else ""
    elif known:
        yield f"Items: {', '.join(f'{task} {span(items)}' for task, items in known.items())}."


def _with_gains(rows: pd.DataFrame, gains: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and, where it is a distilled student's, its gain on the same task; gains over all items beside."""
    columns = ["cell", "task", *_GAIN, "p_value", "p_holm"]
    own_gains = gains[columns].rename(columns={"low": "gain_low", "high": "gain_high"})
    pools = gains[gains["task"].isin(POOLS)]
    extra = _data(pools)[["model", "trained_with", "cell", "task", "scoring", "items"]]
    accuracy = pd.concat([_data(rows), extra], ignore_index=True) if len(extra) else _data(rows)
    return accuracy.merge(own_gains, on=["cell", "task"], how="left")


def _data(rows: pd.DataFrame) -> pd.DataFrame:
    data = rows.rename(columns={"short": "trained_with"}).drop(columns=["place", "method"])
    first = ["model", "trained_with", "cell"]
    return data[[*first, *(name for name in data if name not in first)]].reset_index(drop=True)

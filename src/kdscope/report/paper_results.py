"""Tables of results: accuracy of every model on every task, and gains over SFT."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kdscope.report.paper import PaperTable, Value, estimate, gain, number, numbers, p_value, text, texts
from kdscope.report.paper_marks import EXPLAINED, Mark, adjusted, gain_marks
from kdscope.results.formatting import MISSING, is_missing, percent, plural, span
from kdscope.results.labels import CellName
from kdscope.results.measures import AVERAGES, POOLS
from kdscope.results.tables import ReportTables, known_counts, pooled, records, select

_GAIN = ("gain", "low", "high")
_WHO = ("model", "trained with")
Rows = Mapping[str, Mapping[str, Any]]


def result_tables(tables: ReportTables, scoring: str) -> Iterator[PaperTable]:
    """Accuracy with the pooled gain, the pooled gains with their tests, gains by task, and repeats over seeds."""
    names = tables.names
    gains = adjusted(tables.named(select(tables.gains, scoring=scoring)))
    marks = gain_marks(gains, names)
    yield accuracy_table(tables, scoring, gains, marks)
    yield gains_table(gains, marks)
    yield gains_by_task_table(gains, marks)


def accuracy_table(
    tables: ReportTables, scoring: str, gains: pd.DataFrame, marks: Mapping[tuple[str, str], Mark]
) -> PaperTable:
    """Models by tasks, then the mean over tasks and the gain over SFT over all items together."""
    rows = with_average_limits(tables.named(select(tables.accuracy, scoring=scoring)))
    tasks = tasks_of(rows)
    cells: dict[str, dict[str, Any]] = {}
    for row in records(rows):
        cells.setdefault(row["cell"], {})[row["task"]] = row
    total = {row["cell"]: row for row in records(pooled(gains))}
    body = [
        (*_who(next(iter(own.values()))), *_accuracies(cell, own, tasks, marks), _total(total.get(cell), marks))
        for cell, own in cells.items()
    ]
    return PaperTable(
        key="accuracy",
        title=f"Accuracy in percent with 95% intervals, and gain over SFT in percentage points; {scoring} scoring",
        notes=(
            *_sizes(rows, tasks),
            "Averages are unweighted means over tasks; their intervals combine those of the tasks (MOVER; Zou and "
            "Donner 2008). The gain is over all items together, against SFT of the same student and seed.",
            EXPLAINED,
        ),
        columns=(*texts(*_WHO), *numbers(*tasks, "gain")),
        rows=(*body, *_chance(rows, tasks)),
        names=2,
        data=_plain(rows, gains),
    )


def gains_table(gains: pd.DataFrame, marks: Mapping[tuple[str, str], Mark]) -> PaperTable:
    """One row per distilled student: gain over all items, its test, and the items that only one of the two got."""
    rows = pooled(gains)
    methods = "; ".join(gains["method_of_test"].dropna().unique())
    body = [
        (
            *_who(row),
            *(number(row[name]) for name in ("items", "only_cell", "only_control")),
            _total(row, marks),
            *(p_value(row[name]) for name in ("p_value", "p_holm")),
        )
        for row in records(rows)
    ]
    return PaperTable(
        key="gains",
        title="Gain over SFT in percentage points, over all items together",
        notes=(
            "Student and control answered the same items; counted are those that one got right and the other did not.",
            *([f"Tests and 95% intervals: {methods}."] if methods else []),
            EXPLAINED,
        ),
        columns=(*texts(*_WHO), *numbers("items", "only student", "only SFT", "gain", "p", "Holm p")),
        rows=tuple(body),
        names=2,
        data=_data(rows),
    )


def gains_by_task_table(gains: pd.DataFrame, marks: Mapping[tuple[str, str], Mark]) -> PaperTable:
    """One row per distilled student, one column per task."""
    rows = gains[~gains["task"].isin(POOLS)]
    tasks = list(dict.fromkeys(rows["task"]))
    cells: dict[tuple[str, str], dict[str, Any]] = {}
    for row in records(rows):
        cells.setdefault((row["cell"], row["control"]), {})[row["task"]] = row
    body = [
        (*_who(next(iter(own.values()))), *(_total(own.get(task), marks) for task in tasks)) for own in cells.values()
    ]
    return PaperTable(
        key="gains_by_task",
        title="Gain over SFT by task, in percentage points",
        notes=("In brackets 95% intervals, each for itself.", EXPLAINED),
        columns=(*texts(*_WHO), *numbers(*tasks)),
        rows=tuple(body),
        names=2,
        data=_data(rows),
    )


def with_average_limits(rows: pd.DataFrame) -> pd.DataFrame:
    """The accuracy rows, means over tasks with an interval made of those of their tasks.

    MOVER, the method of variance estimates recovery (Zou and Donner 2008, Stat Med 27:1693): for a mean of K
    independent estimates with limits (l_k, u_k), low = mean - sqrt(sum (p_k - l_k)^2) / K, high likewise. Tasks have
    different items, so that their estimates are independent. Without the interval of each of its tasks, as where a mean
    brings its own, it stays as it is.
    """
    found = rows.copy()
    metric = found["metric"].fillna("accuracy")
    means = found["task"].isin(AVERAGES) & found["low"].isna()
    for index, row in zip(found.index[means], records(found[means]), strict=True):
        same = (found["cell"] == row["cell"]) & (metric == metric[index]) & ~found["task"].isin(AVERAGES)
        value, low, high = (found.loc[same, name].to_numpy(dtype="float64") for name in ("accuracy", "low", "high"))
        if not len(value) or abs(float(value.mean()) - row["accuracy"]) > _ROUNDED:
            continue
        found.loc[index, "low"] = row["accuracy"] - math.sqrt(float(np.sum((value - low) ** 2))) / len(value)
        found.loc[index, "high"] = row["accuracy"] + math.sqrt(float(np.sum((high - value) ** 2))) / len(value)
    return found


_ROUNDED = 6e-4
"""An average that was published with one decimal of a percentage may be off by as much from that of its tasks."""


def tasks_of(rows: pd.DataFrame) -> list[str]:
    """Tasks in their order of appearance, means over tasks last."""
    found = dict.fromkeys(map(str, rows["task"]))
    return [*(task for task in found if task not in AVERAGES), *(task for task in found if task in AVERAGES)]


def _who(row: Mapping[str, Any]) -> tuple[Value, Value]:
    return text(row["model"]), text(row["short"])


def _accuracies(cell: str, own: Rows, tasks: Sequence[str], marks: Mapping[tuple[str, str], Mark]) -> Iterator[Value]:
    for task in tasks:
        mark = marks.get((cell, task), Mark())
        row = own.get(task)
        limits = (None,) * 3 if row is None else (row["accuracy"], row["low"], row["high"])
        yield estimate(limits, percent, mark=mark.sign, bold=mark.best)


def _total(row: Mapping[str, Any] | None, marks: Mapping[tuple[str, str], Mark]) -> Value:
    if row is None:
        return Value(MISSING)
    mark = marks.get((row["cell"], row["task"]), Mark())
    return gain(row, *_GAIN, mark=mark.sign, bold=mark.best)


def _chance(rows: pd.DataFrame, tasks: Sequence[str]) -> Iterator[tuple[Value, ...]]:
    chance = rows.drop_duplicates("task").set_index("task")["chance"]
    if (chance > 0).any():
        levels = (Value(MISSING if is_missing(chance[task]) else percent(chance[task])) for task in tasks)
        yield (Value("chance"), Value(""), *levels, Value(""))


def _sizes(rows: pd.DataFrame, tasks: Sequence[str]) -> Iterator[str]:
    counts = {
        task: known_counts(records(rows[rows["task"] == task]), "items") for task in tasks if task not in AVERAGES
    }
    known = {task: found for task, found in counts.items() if found}
    sizes = {tuple(found) for found in known.values()}
    if len(sizes) == 1 and len(known) > 1:
        yield f"Every task has {plural(next(iter(sizes))[0], 'item')}." if len(next(iter(sizes))) == 1 else ""
    elif known:
        yield f"Items: {', '.join(f'{task} {span(found)}' for task, found in known.items())}."


def _plain(rows: pd.DataFrame, gains: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and, where it is a distilled student's, its gain on the same task; gains over all items beside."""
    columns = ["cell", "task", *_GAIN, "p_value", "p_holm"]
    told = gains[columns].rename(columns={"low": "gain_low", "high": "gain_high"})
    pools = gains[gains["task"].isin(POOLS)]
    extra = _data(pools)[["model", "trained_with", "cell", "task", "scoring", "items"]]
    accuracy = pd.concat([_data(rows), extra], ignore_index=True) if len(extra) else _data(rows)
    return accuracy.merge(told, on=["cell", "task"], how="left")


def _data(rows: pd.DataFrame) -> pd.DataFrame:
    told = rows.rename(columns={"short": "trained_with"}).drop(columns=["place", "method"])
    first = ["model", "trained_with", "cell"]
    return told[[*first, *(name for name in told if name not in first)]].reset_index(drop=True)


def of_cells(frame: pd.DataFrame, names: Mapping[str, CellName]) -> pd.DataFrame:
    """Rows of a table with model and training of their cells in front."""
    own = [names[cell] for cell in frame["cell"]]
    front = {"model": [name.model for name in own], "trained_with": [name.short for name in own]}
    return pd.concat([pd.DataFrame(front, index=frame.index), frame], axis=1).reset_index(drop=True)

"""Gains over fine-tuning as the published study computes them: the best temperature of every cell minus SFT."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

from kdscope.core.errors import StatisticsError
from kdscope.results.column_names import (
    ACCURACY,
    AGREEMENT,
    ANY_FAMILY,
    AVERAGE,
    CELL,
    COLUMNS,
    FIDELITY,
    MODEL,
    SFT,
    UNADAPTED,
    is_distilled,
)

KEEP_UNADAPTED_TEACHERS = ("commonsense",)
"""Domains in which the authors left the ablation with unadapted teachers among the cells."""
_CELL = ["domain", "teacher", "student", "family", "task"]
_SETTINGS = ["temperature", "teacher_condition"]
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", re.IGNORECASE)


def published_gains(table: pd.DataFrame) -> pd.DataFrame:
    """Gain of every (teacher, student, family) on every task, and what the paper relates it to.

    A cell is the maximum over temperatures, taken apart on each task and on `Average`, as if that were a task; its gain
    is that minus the student's accuracy under SFT. Cells of unadapted teachers are left out, except in commonsense,
    where the authors kept them (as a further value to take the maximum over). Seeds, which the published study does not
    have, are averaged first.

    Args:
        table: a tidy table of one study in percent, as `read_results_table` or `load_published` gives it.

    Returns:
        One row per cell and task, tasks in the table's order: ``domain``, ``teacher``, ``student``, ``family``,
        ``task``, ``temperature`` and ``teacher_condition`` (those of the maximum), ``accuracy``, ``sft_accuracy``,
        ``gain``, ``teacher_accuracy`` (the teacher's own under SFT), ``student_size`` (in billions, from the name),
        ``agreement``, ``fidelity``; NaN where the table does not tell.

    Raises:
        StatisticsError: if a column is missing, a cell is there twice, or there is not exactly one study in the table.
    """
    require_one_study(table)
    _refuse_repeats(table)
    table = with_average(table)
    accuracy = table[table["metric"] == ACCURACY]
    kept = accuracy["domain"].isin(KEEP_UNADAPTED_TEACHERS) | (accuracy["teacher_condition"] != UNADAPTED)
    runs = mean_by(accuracy[is_distilled(accuracy) & kept], [*_CELL, *_SETTINGS])
    best = runs.groupby(_CELL, sort=False)["value"].idxmax()
    cells = runs.loc[best].rename(columns={"value": "accuracy"}).reset_index(drop=True)
    own = mean_by(accuracy[accuracy["method"] == SFT], ["domain", "student", "task"])
    cells = _joined(cells, own.rename(columns={"value": "sft_accuracy"}))
    cells["gain"] = cells["accuracy"] - cells["sft_accuracy"]
    cells = _joined(cells, own.rename(columns={"student": "teacher", "value": "teacher_accuracy"}))
    cells["student_size"] = [model_size(name) for name in cells["student"]]
    for metric in (AGREEMENT, FIDELITY):
        cells[metric] = _of_its_cell(cells, table[(table["metric"] == metric) & is_distilled(table)])
    return cells


def with_average(table: pd.DataFrame) -> pd.DataFrame:
    """The table with each model's unweighted mean accuracy over tasks, in the domains that have no `Average`.

    It is over the tasks on which some distilled student has its control: others enter no gain. Models that were not
    measured on all of them get none; neither does a domain of one task.
    """
    parts = [table]
    for _, rows in table[table["metric"] == ACCURACY].groupby("domain", sort=False):
        students = rows.loc[is_distilled(rows), "student"].unique()
        controls = rows[(rows["method"] == SFT) & rows["student"].isin(students)]
        tasks = (controls if len(controls) else rows)["task"].unique()
        if AVERAGE in rows["task"].to_numpy() or len(tasks) < 2:
            continue
        rows = rows[rows["task"].isin(tasks)]
        means = rows.groupby([*MODEL, "family"], dropna=False, sort=False)["value"].agg(["mean", "count"])
        complete = means[means["count"] == len(tasks)].reset_index().rename(columns={"mean": "value"})
        parts.append(complete.drop(columns="count").assign(task=AVERAGE, metric=ACCURACY))
    return pd.concat(parts, ignore_index=True)


def mean_by(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Mean value by ``keys``, the repeats of a cell as one."""
    return rows.groupby(keys, sort=False, dropna=False)["value"].mean().reset_index()


def model_size(name: str) -> float:
    """Parameters in billions, as a model's name says at its end; NaN if it does not.

    Example:
        >>> model_size("Qwen2.5-0.5B"), model_size("SmolLM2-135M-Instruct")
        (0.5, 0.135)
    """
    found = _SIZE.findall(name)
    if not found:
        return float("nan")
    number, letter = found[-1]
    return float(number) / (1 if letter in "bB" else 1000)


def require_columns(table: pd.DataFrame, names: Iterable[str]) -> None:
    """Refuse a table that lacks one of the columns.

    Raises:
        StatisticsError: It does.
    """
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise StatisticsError(f"the table lacks the column {', '.join(missing)}; it has {', '.join(map(str, table))}")


def require_one_study(table: pd.DataFrame) -> None:
    """Refuse what is no tidy table of exactly one study.

    Raises:
        StatisticsError: A column is missing, or the table has no study or several.
    """
    require_columns(table, COLUMNS)
    if table["study"].nunique() != 1:
        raise StatisticsError(f"one study at a time; the table has {', '.join(table['study'].unique()) or 'none'}")


def _refuse_repeats(table: pd.DataFrame) -> None:
    twice = table[table.duplicated(list(CELL))]
    if not twice.empty:
        raise StatisticsError(f"a cell is in the table twice: {', '.join(map(str, twice.iloc[0][list(CELL)]))}")


def _joined(cells: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    keys = [name for name in values if name in cells]
    return cells.merge(values, on=keys, how="left", validate="many_to_one")


def _of_its_cell(cells: pd.DataFrame, rows: pd.DataFrame) -> list[float]:
    """Of each cell the value told for it as it was run, else the one told for all ways of distilling its pair."""
    exact = mean_by(rows[rows["family"] != ANY_FAMILY], [*_CELL, *_SETTINGS])
    whole = mean_by(rows[rows["family"] == ANY_FAMILY], ["domain", "teacher", "student", "task"])
    both = _joined(
        _joined(cells[[*_CELL, *_SETTINGS]], exact.rename(columns={"value": "exact"})),
        whole.rename(columns={"value": "whole"}),
    )
    return both["exact"].fillna(both["whole"]).tolist()

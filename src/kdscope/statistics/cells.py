"""Single runs of a table of results at one temperature chosen beforehand: no maximum over anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from kdscope.core.errors import StatisticsError
from kdscope.statistics.published_gains import with_average
from kdscope.statistics.tidy import ACCURACY, AVERAGE, COLUMNS, ITEM_STDERR, ITEMS, SFT, UNADAPTED, is_distilled

PAIR = ["student", "teacher"]
CELL = [*PAIR, "family"]


@dataclass(frozen=True, slots=True)
class DomainRuns:
    """One domain of a table, ready to be tested.

    Attributes:
        name: of the domain.
        tasks: in the table's order, `Average` last where there is one.
        every: all runs of distilled students: ``student``, ``teacher``, ``family``, ``temperature``,
            ``teacher_condition``, ``seed``, ``task``, ``value``.
        runs: those of adapted teachers at the temperature chosen beforehand.
        controls: runs of students under SFT: ``student``, ``seed``, ``task``, ``value``.
        other: rows of any other metric.
        temperature: the one chosen.
        elsewhere: cells that were never run at it and stand with the mean of their temperatures.
        items: how many items each task has, where the table tells (column ``items``).
        item_errors: by student and task the standard error, in points, that the choice of items leaves in the student's
            gain, where the table tells (column ``item_stderr``).
    """

    name: str
    tasks: tuple[str, ...]
    every: pd.DataFrame
    runs: pd.DataFrame
    controls: pd.DataFrame
    other: pd.DataFrame
    temperature: float
    elsewhere: int
    items: Mapping[str, int] = field(default_factory=dict)
    item_errors: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def gains(self, runs: pd.DataFrame | None = None) -> pd.DataFrame:
        """Gain of every cell (student, teacher, family) on every task over the mean of the student's controls."""
        cells = over(self.runs if runs is None else runs, [*CELL, "task"])
        control = over(self.controls, ["student", "task"]).rename(columns={"value": "control"})
        both = cells.merge(control, on=["student", "task"], how="inner", validate="many_to_one")
        return both.assign(gain=both["value"] - both["control"])

    def of_students(self, gains: pd.DataFrame, column: str = "gain") -> pd.DataFrame:
        """Mean over each student's cells: students by tasks."""
        wide = gains.groupby(["student", "task"], sort=False)[column].mean().unstack("task")
        return wide.reindex(columns=[task for task in self.tasks if task in wide])


def domains_of(table: pd.DataFrame, temperature: float = 1.0) -> list[DomainRuns]:
    """The domains of a table, each with its runs at ``temperature``.

    Runs that have no temperature stand as they are. A cell that has temperatures but not this one is represented by
    the mean over those it has: an a-priori choice too, though another one.

    Raises:
        StatisticsError: A column is missing, there is not exactly one study, nothing was distilled, or no student has
            a gain on all tasks of a domain.
    """
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise StatisticsError(f"the table lacks the column {', '.join(missing)}; it has {', '.join(map(str, table))}")
    if table["study"].nunique() != 1:
        raise StatisticsError(f"one study at a time; the table has {', '.join(table['study'].unique()) or 'none'}")
    table = with_average(table)
    found = [_domain(str(name), rows, temperature) for name, rows in table.groupby("domain", sort=False)]
    if all(domain.runs.empty for domain in found):
        raise StatisticsError("no row is the accuracy of a student distilled from a teacher trained on the task")
    for domain in found:
        _check_headline(domain)
    return [domain for domain in found if not domain.runs.empty]


def _check_headline(domain: DomainRuns) -> None:
    """Refuse a domain of several tasks none of whose students has the average that conclusions are drawn on."""
    gains = domain.gains()
    if len(gains) and gains["task"].nunique() > 1 and AVERAGE not in set(gains["task"]):
        tasks = ", ".join(map(str, gains["task"].unique()))
        raise StatisticsError(
            f"{domain.name}: no student has a gain on all of {tasks}, so that there is no average to draw conclusions "
            "on; leave out the tasks that some were not measured on, or give them a domain of their own"
        )


def over(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Mean value by ``keys``."""
    return rows.groupby(keys, sort=False, dropna=False)["value"].mean().reset_index()


def over_temperatures(runs: pd.DataFrame) -> pd.DataFrame:
    """Each cell as the mean over its temperatures, seeds apart."""
    return over(runs[runs["teacher_condition"] != UNADAPTED], [*CELL, "seed", "task"])


def _domain(name: str, rows: pd.DataFrame, temperature: float) -> DomainRuns:
    accuracy = rows[rows["metric"] == ACCURACY]
    every = accuracy[is_distilled(accuracy)]
    every = every[[*CELL, "temperature", "teacher_condition", "seed", "task", "value"]].reset_index(drop=True)
    adapted = every[every["teacher_condition"] != UNADAPTED]
    has_it = (adapted["temperature"] == temperature) | adapted["temperature"].isna()
    covered = has_it.groupby([adapted[column] for column in CELL]).transform("any").astype(bool)
    runs = pd.concat([adapted[has_it], over_temperatures(adapted[~covered])], ignore_index=True)
    tasks = [task for task in accuracy["task"].unique() if task != AVERAGE]
    average = [AVERAGE] if AVERAGE in set(accuracy["task"]) else []
    return DomainRuns(
        name=name,
        tasks=(*map(str, tasks), *average),
        every=every,
        runs=runs[[*CELL, "seed", "task", "value"]],
        controls=accuracy.loc[accuracy["method"] == SFT, ["student", "seed", "task", "value"]],
        other=rows[rows["metric"] != ACCURACY],
        temperature=temperature,
        elsewhere=len(adapted.loc[~covered, CELL].drop_duplicates()),
        items={task: int(count) for task, count in _told(accuracy, ITEMS, ["task"]).items() if task != AVERAGE},
        item_errors=_told(accuracy[accuracy["method"] == SFT], ITEM_STDERR, ["student", "task"]),
    )


def _told(rows: pd.DataFrame, column: str, keys: list[str]) -> dict[Any, float]:
    """The first positive number of an optional column for each of the keys."""
    if column not in rows:
        return {}
    numbers = pd.to_numeric(rows[column], errors="coerce")
    known = rows.assign(**{column: numbers})[numbers > 0]
    if known.empty:
        return {}
    return known.groupby(keys[0] if len(keys) == 1 else keys, sort=False)[column].first().to_dict()


def below_chance(domain: DomainRuns, task: str, options: Mapping[str, int]) -> str:
    """A warning where distilled runs on a task lie below guessing, or nothing."""
    level = chance_level(domain, task, options)
    values = domain.runs.loc[domain.runs["task"] == task, "value"].to_numpy(dtype=np.float64)
    below = values[values < level]
    if below.size == 0:
        return ""
    return (
        f"{below.size} of {values.size} runs are below the {level:.0f}% of guessing (lowest {below.min():.1f}%): "
        "those measure the format of answers, not knowledge."
    )


def chance_level(domain: DomainRuns, task: str, options: Mapping[str, int]) -> float:
    """Accuracy of guessing in percent; 0 for free answers; for `Average` the mean over tasks."""
    tasks = [name for name in domain.tasks if name != AVERAGE] if task == AVERAGE else [task]
    return float(np.mean([100 / options[name] if name in options else 0.0 for name in tasks]))

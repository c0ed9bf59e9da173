"""A table of results as a sample of training runs: single runs at one temperature, gains, and how much runs vary.

No maximum is taken over anything: the temperature is chosen beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdscope.core.errors import StatisticsError
from kdscope.protocols.published_gains import mean_by, model_size, require_one_study, with_average
from kdscope.protocols.results import RigorousResult, noted
from kdscope.protocols.sample import ProtocolSettings, Sample, TaughtPairs
from kdscope.results.column_names import ACCURACY, AVERAGE, ITEM_STDERR, ITEMS, SFT, UNADAPTED, is_distilled
from kdscope.statistics.estimates import Estimate, t_estimate
from kdscope.statistics.run_contrasts import CHECKPOINTS, Contrast, TrainedRuns
from kdscope.statistics.run_noise import RunNoise, gain_over_runs, run_noise
from kdscope.statistics.run_variance import RunComponents

PAIR = ["student", "teacher"]
CELL = [*PAIR, "family"]


@dataclass(frozen=True)
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
        return self._own_gains if runs is None else self._gains(runs)

    @cached_property
    def _own_gains(self) -> pd.DataFrame:
        return self._gains(self.runs)  # which every question on every task asks for

    def _gains(self, runs: pd.DataFrame) -> pd.DataFrame:
        cells = mean_by(runs, [*CELL, "task"])
        control = mean_by(self.controls, ["student", "task"]).rename(columns={"value": "control"})
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
    require_one_study(table)
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


def over_temperatures(runs: pd.DataFrame) -> pd.DataFrame:
    """Each cell as the mean over its temperatures, seeds apart."""
    return mean_by(runs[runs["teacher_condition"] != UNADAPTED], [*CELL, "seed", "task"])


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


LUCK_UNKNOWN = "No test: with one run of each setting the luck of the SFT run is unknown."
_WITHOUT_ITEMS = "The table does not tell how many items there are: their choice is not in the interval."


@dataclass(frozen=True, slots=True)
class KnownNoise:
    """What is known of noise from elsewhere (a pilot), where the table cannot tell.

    Attributes:
        run_sd: standard deviation of one training run in points; it stands in where the table does not tell.
        run_df: degrees of freedom of that; infinite for one that is known.
        discordance: share of items on which a distilled student and its control differ; with the column ``items`` it
            gives the error from items where there is no ``item_stderr``.
    """

    run_sd: float | None = None
    run_df: float = math.inf
    discordance: float | None = None


class TableRuns(TrainedRuns):
    """The runs of one domain on one task, one value each, and how much they vary."""

    def __init__(self, domain: DomainRuns, task: str, known: KnownNoise | None = None) -> None:
        self.domain, self.task, self.known = domain, task, known or KnownNoise()
        runs, controls = (rows[rows["task"] == task] for rows in (domain.runs, domain.controls))
        controls = controls[controls["student"].isin(set(runs["student"]))]
        frame = pd.concat([runs, controls.assign(teacher="", family=SFT)], ignore_index=True)
        # Runs of one setting without seeds of their own are repetitions all the same.
        again = frame.groupby([*CELL, "seed"], sort=False, dropna=False).cumcount()
        frame["control"] = frame["family"] == SFT
        frame["arm"] = list(zip(frame["teacher"], frame["family"], strict=True))
        frame["seed"] = list(zip(frame["seed"].astype(str), again, strict=True))
        self.frame = frame
        self.values = frame["value"].to_numpy(dtype=np.float64)
        self.noise = cache(self._noise)  # least squares over all runs, which every student's gains ask for
        run_sd = None if self.known.run_sd is None else (self.known.run_sd, self.known.run_df)
        super().__init__(self.frame[["student", "arm", "control", "seed"]], len(frame), run_sd)

    @cached_property
    def components(self) -> tuple[RunComponents, NDArray[np.intp]]:
        """As `TrainedRuns.components`, in points squared, of all runs."""
        every = np.arange(len(self.frame))
        return self.design_of(every).components(self.values), every

    def gain(self, student: str, family: str | None = None) -> Contrast | None:
        """Gain over the student's SFT runs, its settings counting the same; None without a control.

        With one run of each setting there is an interval only, from how much the distilled runs vary about ``student +
        family`` (`run_noise.run_noise`). That it holds for the control too cannot be checked, so that there is no test.
        """
        distilled = (self.frame["student"] == student) & ~self.frame["control"]
        some = distilled if family is None else distilled & (self.frame["family"] == family)
        first = np.flatnonzero(some)
        second = np.flatnonzero((self.frame["student"] == student) & self.frame["control"])
        if not first.size or not second.size:
            return None
        weights = self.weights(first) - self.weights(second)
        error = self.item_error(student)
        if family is not None:
            # The mean over a student's families averages out what each of them has of its own; one of them does not.
            settings = self.frame.loc[distilled, "arm"].nunique()
            error *= math.sqrt(2 / (1 + 1 / settings))
        value, count = float(weights @ self.values), first.size + second.size
        items = Estimate(value, error, math.inf, math.nan, math.nan, math.nan, count)
        if not self.several_seeds and self.run_sd is None:
            return self._single(first, second, items, self.noise(family))
        return replace(self.with_training(items, weights, first.size, second.size), item_stderr=error)

    def item_error(self, student: str) -> float:
        """Standard error in points that the choice of items leaves in a student's gain; NaN where it is not told."""
        told = self.domain.item_errors.get((student, self.task), math.nan)
        if not math.isnan(told) or self.known.discordance is None:
            return told
        tasks = [self.task] if self.task in self.domain.items else list(self.domain.items)
        if not tasks:
            return math.nan
        variances = [self.known.discordance / self.domain.items[task] for task in tasks]
        return 100 * math.sqrt(sum(variances)) / len(tasks)

    def without_items(self, student: str) -> str:
        """A warning where the error from items is not known, or nothing."""
        return _WITHOUT_ITEMS if math.isnan(self.item_error(student)) else ""

    def _noise(self, family: str | None = None) -> RunNoise:
        """How much single runs vary about ``student + family``, or those of one family about their students.

        A student's controls are a student of their own: that students gain differently is no noise.
        """
        some = self.frame if family is None else self.frame[self.frame["family"] == family]
        students = [
            (SFT, student) if control else student
            for student, control in zip(some["student"], some["control"], strict=True)
        ]
        return run_noise(some["value"].to_numpy(), students, some["family"].tolist())

    def _single(self, first: NDArray[np.intp], second: NDArray[np.intp], items: Estimate, noise: RunNoise) -> Contrast:
        pooled = gain_over_runs(self.values[first], self.values[second], noise)
        own = items.stderr if items.stderr > 0 else 0.0
        error = math.hypot(pooled.stderr, own) if pooled.stderr > 0 else math.nan
        untested = replace(t_estimate(items.value, error, noise.df, items.n), p_value=math.nan)
        counts = first.size, second.size
        return Contrast(untested, CHECKPOINTS, items, *counts, noise.standard_deviation, "", items.stderr)


class TableSample(Sample):
    """One domain of a table as what questions are asked of: students and training runs are random."""

    def __init__(
        self, domain: DomainRuns, settings: ProtocolSettings = ProtocolSettings(), known: KnownNoise | None = None
    ) -> None:
        super().__init__(domain.name, domain.tasks[-1], settings)
        self.domain, self.runs = domain, TableRuns(domain, domain.tasks[-1], known)

    @property
    def confirmatory(self) -> int:
        """As `Sample.confirmatory`."""
        return int(self.domain.gains()["student"].nunique())

    def primary_gains(self) -> Iterator[tuple[str, Contrast, str]]:
        """As `Sample.primary_gains`."""
        warning = self.below_chance(self.task)
        for student in self.domain.runs.loc[self.domain.runs["task"] == self.task, "student"].unique():
            gain = self.runs.gain(str(student))
            if gain is not None:
                yield str(student), gain, noted(self.runs.without_items(str(student)), warning)

    def gains_by_student(self) -> Iterator[tuple[str, Mapping[str, float]]]:
        """As `Sample.gains_by_student`: on every task."""
        wide = self.domain.of_students(self.domain.gains())
        for task in wide:
            yield str(task), dict(zip(map(str, wide.index), wide[task].to_numpy(), strict=True))

    def sizes(self, students: Sequence[str]) -> list[float]:
        """As `Sample.sizes`: in billions, from the names."""
        return [model_size(student) for student in students]

    def taught_pairs(self) -> Iterator[tuple[str, TaughtPairs]]:
        """As `Sample.taught_pairs`: on every task; a teacher's accuracy is its own under SFT."""
        for task in self.domain.tasks:
            pairs = mean_by(self.domain.runs[self.domain.runs["task"] == task], PAIR)
            own = mean_by(self.domain.controls[self.domain.controls["task"] == task], ["student"])
            accuracy_of = dict(zip(own["student"].astype(str), own["value"].astype(float), strict=True))
            values, students, teachers = (pairs[name].tolist() for name in ("value", "student", "teacher"))
            yield task, TaughtPairs(values, students, teachers, accuracy_of)

    def contrast(self, contrast: Contrast, hypothesis: str, group: str, **more: Any) -> RigorousResult:
        """As `Sample.contrast`: what is counted are runs."""
        if contrast.scope != CHECKPOINTS:
            return replace(super().contrast(contrast, hypothesis, group, **more), unit="runs")
        single = f"{LUCK_UNKNOWN} The interval takes it to vary as the distilled runs do."
        row = super().contrast(contrast, hypothesis, group, **more | {"note": noted(single, more.get("note", ""))})
        return replace(row, unit="runs", test=row.test.replace("items", "pooled run noise"))

    def below_chance(self, task: str) -> str:
        """A warning where distilled runs on a task lie below guessing, or nothing."""
        tasks = [name for name in self.domain.tasks if name != AVERAGE] if task == AVERAGE else [task]
        options = self.settings.options
        level = float(np.mean([100 / options[name] if name in options else 0.0 for name in tasks]))
        values = self.domain.runs.loc[self.domain.runs["task"] == task, "value"].to_numpy(dtype=np.float64)
        below = values[values < level]
        if below.size == 0:
            return ""
        return (
            f"{below.size} of {values.size} runs are below the {level:.0f}% of guessing (lowest {below.min():.1f}%): "
            "those measure the format of answers, not knowledge."
        )

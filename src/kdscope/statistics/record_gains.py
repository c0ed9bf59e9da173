"""Does distillation beat fine-tuning, and which method: the questions on gains that item records answer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdscope.statistics.effect_rows import effects_over_students
from kdscope.statistics.equivalence import tost_of_estimate
from kdscope.statistics.estimates import Estimate, mean_over_units
from kdscope.statistics.grid import grid_effect
from kdscope.statistics.grid_rows import resampled_mean
from kdscope.statistics.paired_bootstrap import paired_bca
from kdscope.statistics.record_study import RecordStudy
from kdscope.statistics.results import (
    CONFIRMATORY,
    EQUIVALENCE,
    SENSITIVITY,
    RigorousResult,
    few,
    in_points,
    noted,
    result_of,
)
from kdscope.statistics.run_noise import detectable_gain
from kdscope.statistics.westfall_young import max_t

SINGLE_RUN = "One training run a side: this is about these checkpoints, not about the method."

_THESE = "For these students and tasks and no others: items are what is sampled."


def student_gains(study: RecordStudy, tests: int) -> Iterator[RigorousResult]:
    """The primary question, for each student; ``tests`` in the family."""
    shared = noted(few(1, "students") if len(study.students) == 1 else "", study.contaminated())
    for student in study.students:
        found = in_points(study.gain_of(student))
        runs = len(study.seeds_of(student))
        noise = few(runs, "training runs a side") if runs > 1 else SINGLE_RUN
        yield result_of(
            *(found, study.name, "H1-student", student, study.task),
            "items and runs" if runs > 1 else "t over items",
            role=CONFIRMATORY,
            unit="items",
            detectable=detectable_gain(found.stderr, found.df, 0.05 / tests),
            note=noted(noise, study.guessing(student), shared),
        )


def resampled_gains(study: RecordStudy, draws: int, seed: int) -> Iterator[RigorousResult]:
    """The primary question without assuming any shape: BCa limits, and random signs of items for the p-value."""
    for student in study.students:
        gains = 100 * (study.distilled_of(student) - study.control_of(student))
        low, high = paired_bca(gains, study.clusters, study.task_of, draws=draws, seed=seed)
        if math.isnan(low):
            continue
        weighted = gains[:, None] / np.bincount(study.task_of)[study.task_of, None]
        p_value = float(max_t(weighted, study.clusters.tolist(), draws=draws, seed=seed)[0])
        yield RigorousResult(
            *("rigorous", study.name, "H1-student", student, study.task, "BCa bootstrap; sign flips of items"),
            *(math.nan, p_value, int((~np.isnan(gains)).sum()), study.mean(gains).value, low, high),
            unit="items",
            role=SENSITIVITY,
            note="BCa bootstrap of items for the interval instead of t; p is of no effect on any item (random signs): "
            "it asks more where tasks went opposite ways. Runs count as given.",
        )


def mean_gain(study: RecordStudy, draws: int, seed: int) -> Iterator[RigorousResult]:
    """Mean gain with students and tasks random, resampled, and as effect sizes; one student has none beyond its own."""
    if len(study.students) < 2:
        return
    distilled, control = (np.stack([of(s) for s in study.students]) for of in (study.distilled_of, study.control_of))
    yield from _across(study, "H1-grid", "all", distilled - control)
    if min((grid := _grid(study, distilled - control)).shape) > 1:
        yield resampled_mean(study.name, study.task, grid, draws, seed)
    means = [study.matrix.by_task(values).mean(axis=1) for values in (distilled, control)]
    yield from effects_over_students(study.name, study.task, *means)


def method_contrasts(study: RecordStudy, margin: float) -> Iterator[RigorousResult]:
    """Each two methods, on the students that have both with the same teachers: different, or equal within the margin.

    One student: items are what is sampled.
    """
    methods = {str(name): runs for name, runs in study.kd.groupby("method", sort=False)}
    for first, second in combinations(methods, 2):
        values = _contrast(study, methods[first], methods[second])
        if len(values):
            yield from _across(study, "method", f"{first} - {second}", values, margin)


def _contrast(study: RecordStudy, first: pd.DataFrame, second: pd.DataFrame) -> NDArray[np.float64]:
    """Difference of two methods on every item, for the students that have both with the same teachers."""
    differences = []
    for student in study.students:
        teachers = [set(runs.loc[runs["student"] == student, "teacher"]) for runs in (first, second)]
        rows = [
            np.asarray(runs.index[(runs["student"] == student) & runs["teacher"].isin(teachers[0] & teachers[1])])
            for runs in (first, second)
        ]
        if rows[0].size and rows[1].size:
            differences.append(study.matrix.mean_of(rows[0]) - study.matrix.mean_of(rows[1]))
    known = [row for row in differences if not np.isnan(row).all()]
    return np.stack(known) if known else np.empty((0, len(study.task_of)))


def _across(
    study: RecordStudy, hypothesis: str, group: str, values: NDArray[np.float64], margin: float | None = None
) -> Iterator[RigorousResult]:
    found, test, unit, note = _estimate(study, values)
    where = (study.name, hypothesis, group, study.task)
    power = detectable_gain(found.stderr, found.df)
    yield result_of(found, *where, test, detectable=power, note=note, unit=unit)
    if len(values) > 1:
        own = in_points(study.mean(values.mean(axis=0)))
        power = detectable_gain(own.stderr, own.df)
        yield result_of(own, *where, "t over items", detectable=power, note=_THESE, unit="items", role=SENSITIVITY)
    if margin is not None:
        same = tost_of_estimate(found, margin)
        yield RigorousResult(
            *("rigorous", study.name, EQUIVALENCE, group, study.task, "two one-sided t tests", float("nan")),
            *(same.p_value, same.n, same.difference, same.low, same.high),
            margin=margin,
            note=note,
            unit=unit,
        )


def _estimate(study: RecordStudy, values: NDArray[np.float64]) -> tuple[Estimate, str, str, str]:
    """Mean of values [S, N] in points with its test, unit and note: over students and tasks where there are several."""
    grid = _grid(study, values)
    if len(values) < 2:
        note = noted(SINGLE_RUN if len(study.seeds_of(study.students[0])) < 2 else "", few(1, "students"))
        return in_points(study.mean(values[0])), "t over items", "items", note
    if min(grid.shape) < 2:
        found = mean_over_units(np.nanmean(100 * study.matrix.by_task(values), axis=1))
        note = "One task: nothing can be said about tasks in general." if len(study.matrix.tasks) == 1 else ""
        return found, "t over students", "students", noted(few(found.n, "students"), note)
    effect = grid_effect(grid)
    note = f"Over {effect.tasks} tasks, {effect.mean.df:.1f} degrees of freedom."
    return effect.mean, "two-way random effects", "students", noted(few(effect.students, "students"), note)


def _grid(study: RecordStudy, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values [S, N] in points by student and task, for the students that were measured on all tasks."""
    grid = 100 * study.matrix.by_task(values)
    return np.asarray(grid[~np.isnan(grid).any(axis=1)])

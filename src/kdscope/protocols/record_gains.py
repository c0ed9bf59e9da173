"""Does distillation beat fine-tuning, and which method: the questions on gains that item records answer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdscope.protocols.record_study import RecordStudy
from kdscope.protocols.results import (
    RigorousResult,
    contrast_result,
    effects_over_students,
    few,
    noted,
    resampled_mean,
    result_of,
)
from kdscope.results.column_names import SFT
from kdscope.results.hypotheses import CONFIRMATORY, EQUIVALENCE, EXPLORATORY, H1_GRID, H1_STUDENT, METHOD, SENSITIVITY
from kdscope.statistics.crossed import grid_effect
from kdscope.statistics.equivalence import tost_of_estimate
from kdscope.statistics.estimates import Estimate, mean_over_units
from kdscope.statistics.multiplicity import max_t
from kdscope.statistics.resampling import paired_bca
from kdscope.statistics.run_contrasts import CHECKPOINTS, Contrast
from kdscope.statistics.run_noise import detectable_gain


def student_gains(study: RecordStudy, tests: int) -> Iterator[RigorousResult]:
    """The primary question, for each student; ``tests`` in the family."""
    shared = noted(few(1, "students") if len(study.students) == 1 else "", study.contaminated())
    for student in study.students:
        gain = study.gain_of(student)
        yield contrast_result(
            *(gain, study.name, H1_STUDENT, student, study.task),
            role=CONFIRMATORY,
            detectable=detectable_gain(gain.found.stderr, gain.found.df, 0.05 / tests),
            note=noted(study.guessing(student), shared),
            student=student,
            reference=SFT,
            temperature=study.temperature,
        )


def resampled_gains(study: RecordStudy, draws: int, seed: int) -> Iterator[RigorousResult]:
    """The statement about checkpoints without assuming any shape: BCa limits, random signs of items for the p-value.

    Both know nothing of training runs, and are left out where those were repeated.
    """
    if study.runs.several_seeds:
        return
    for student in study.students:
        gains = 100 * (study.distilled_of(student) - study.control_of(student))
        low, high = paired_bca(gains, study.clusters, study.task_of, draws=draws, seed=seed)
        if math.isnan(low):
            continue
        weighted = gains[:, None] / np.bincount(study.task_of)[study.task_of, None]
        p_value = float(max_t(weighted, study.clusters.tolist(), draws=draws, seed=seed)[0])
        yield RigorousResult(
            *("rigorous", study.name, H1_STUDENT, student, study.task, "BCa bootstrap; sign flips of items"),
            *(math.nan, p_value, int((~np.isnan(gains)).sum()), study.mean(gains).value, low, high),
            unit="items",
            role=SENSITIVITY,
            scope=CHECKPOINTS,
            student=student,
            reference=SFT,
            note="BCa bootstrap of items for the interval instead of t; p is of no effect on any item (random signs): "
            "it asks more where tasks went opposite ways.",
        )


def mean_gain(study: RecordStudy, draws: int, seed: int) -> Iterator[RigorousResult]:
    """Mean gain with students and tasks random, resampled, and as effect sizes; one student has none beyond its own."""
    if len(study.students) < 2:
        return
    distilled, control = (np.stack([of(s) for s in study.students]) for of in (study.distilled_of, study.control_of))
    yield from _across(study, H1_GRID, "all", distilled - control)
    if min((grid := _grid(study, distilled - control)).shape) > 1:
        yield resampled_mean(study.name, study.task, grid, draws, seed)
    means = [study.matrix.by_task(values).mean(axis=1) for values in (distilled, control)]
    yield from effects_over_students(study.name, study.task, *means)


def method_contrasts(study: RecordStudy, margin: float) -> Iterator[RigorousResult]:
    """Each two methods, on the students that have both with the same teachers: different, or equal within the margin.

    These students and tasks are fixed; items and training runs are random. As sensitivity the same with students and
    tasks random, where there are several.
    """
    methods = {str(name): runs for name, runs in study.kd.groupby("method", sort=False)}
    for first, second in combinations(methods, 2):
        sides = _common(study, methods[first], methods[second])
        if sides is None:
            continue
        who: dict[str, Any] = {"method": first, "reference": second}
        where = (study.name, f"{first} - {second}", study.task)
        found = study.difference(*sides)
        yield contrast_result(found, study.name, METHOD, *where[1:], detectable=_power(found.found), **who)
        yield _equivalence(study, found, f"{first} - {second}", margin, who)
        values = _by_student(study, *sides)
        if len(values) > 1:
            yield from _across(study, METHOD, f"{first} - {second}", values, SENSITIVITY, **who)


def _common(
    study: RecordStudy, first: pd.DataFrame, second: pd.DataFrame
) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """Runs of two methods for the students that have both with the same teachers; None where there are none."""
    sides: tuple[list[NDArray[np.intp]], list[NDArray[np.intp]]] = ([], [])
    for student in study.students:
        teachers = [set(runs.loc[runs["student"] == student, "teacher"]) for runs in (first, second)]
        rows = [
            np.asarray(runs.index[(runs["student"] == student) & runs["teacher"].isin(teachers[0] & teachers[1])])
            for runs in (first, second)
        ]
        if not rows[0].size or not rows[1].size:
            continue
        if not np.isnan(study.runs.mean_of(rows[0]) - study.runs.mean_of(rows[1])).all():
            sides[0].append(rows[0])
            sides[1].append(rows[1])
    return (np.concatenate(sides[0]), np.concatenate(sides[1])) if sides[0] else None


def _by_student(study: RecordStudy, first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.float64]:
    """Difference of two sides for each of their students on every item, shape [S, N]."""
    models = study.models["student"]
    return np.stack(
        [
            study.runs.mean_of(first[models[first].to_numpy() == student])
            - study.runs.mean_of(second[models[second].to_numpy() == student])
            for student in dict.fromkeys(models[first])
        ]
    )


def _equivalence(
    study: RecordStudy, contrast: Contrast, group: str, margin: float, who: Mapping[str, Any]
) -> RigorousResult:
    same = tost_of_estimate(contrast.found, margin)
    row = contrast_result(contrast, study.name, EQUIVALENCE, group, study.task, test="two one-sided t tests", **who)
    return replace(row, statistic=math.nan, p_value=same.p_value, low=same.low, high=same.high, margin=margin)


def _across(
    study: RecordStudy,
    hypothesis: str,
    group: str,
    values: NDArray[np.float64],
    role: str = EXPLORATORY,
    **who: Any,
) -> Iterator[RigorousResult]:
    """Mean of values [S, N] in points, students and tasks random; no row where there are too few."""
    grid = _grid(study, values)
    if min(grid.shape, default=0) < 2:
        found = mean_over_units(np.nanmean(100 * study.matrix.by_task(values), axis=1))
        note = "One task: nothing can be said about tasks in general." if len(study.matrix.tasks) == 1 else ""
        test, note = "t over students", noted(few(found.n, "students"), note)
    else:
        effect = grid_effect(grid)
        found, test = effect.mean, "two-way random effects"
        note = noted(few(effect.students, "students"), f"Over {effect.tasks} tasks, {found.df:.1f} degrees of freedom.")
    where = (study.name, hypothesis, group, study.task, test)
    yield result_of(found, *where, detectable=_power(found), note=note, unit="students", role=role, **who)


def _power(found: Estimate) -> float:
    return detectable_gain(found.stderr, found.df)


def _grid(study: RecordStudy, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values [S, N] in points by student and task, for the students that were measured on all tasks."""
    grid = 100 * study.matrix.by_task(values)
    return np.asarray(grid[~np.isnan(grid).any(axis=1)])

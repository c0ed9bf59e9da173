"""Does distillation beat fine-tuning, and which method: the primary question, and what is asked of gains beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdscope.protocols.published_gains import mean_by
from kdscope.protocols.record_sample import RecordSample, numbers
from kdscope.protocols.results import RigorousResult, effects_over_students, few, noted, resampled_mean
from kdscope.protocols.sample import Sample
from kdscope.protocols.table_runs import PAIR, TableSample, over_temperatures
from kdscope.results.column_names import AVERAGE, SFT
from kdscope.results.hypotheses import (
    CONFIRMATORY,
    DETAIL,
    EQUIVALENCE,
    H1,
    H1_ANOVA,
    H1_GRID,
    H1_STUDENT,
    LEVEL,
    METHOD,
    SENSITIVITY,
    VARIANCE,
)
from kdscope.statistics.crossed import blocked_permutation, grid_effect
from kdscope.statistics.effects import Equivalence, tost_of_estimate, tost_of_units
from kdscope.statistics.estimates import Estimate, mean_over_units, sign_flips
from kdscope.statistics.multiplicity import max_t
from kdscope.statistics.resampling import paired_bca
from kdscope.statistics.run_contrasts import CHECKPOINTS, spreads
from kdscope.statistics.run_noise import detectable_gain

_TOST = "two one-sided t tests"


def student_gains(sample: Sample) -> Iterator[RigorousResult]:
    """The primary question: each student's gain over SFT, training runs random."""
    for student, gain, reservations in sample.primary_gains():
        yield sample.contrast(
            *(gain, H1_STUDENT, student),
            role=CONFIRMATORY,
            detectable=detectable_gain(gain.found.stderr, gain.found.df, LEVEL / max(1, sample.tests)),
            note=reservations,
            **sample.facts_of(student),
        )


def student_gains_by_family(sample: TableSample) -> Iterator[RigorousResult]:
    """The same for each family of methods by itself."""
    on_task = sample.domain.runs[sample.domain.runs["task"] == sample.task]
    for family in sorted(sample.domain.runs["family"].unique()):
        for student in on_task.loc[on_task["family"] == family, "student"].unique():
            gain = sample.runs.gain(str(student), str(family))
            if gain is not None:
                yield sample.contrast(
                    *(gain, H1_STUDENT, f"{student} ({family})"),
                    role=DETAIL,
                    detectable=_power(gain.found),
                    note=sample.runs.without_items(str(student)),
                    method=str(family),
                    **sample.facts_of(str(student)),
                )


def resampled_student_gains(sample: RecordSample) -> Iterator[RigorousResult]:
    """The statement about checkpoints without assuming any shape: BCa limits, random signs of items for the p-value.

    Both know nothing of training runs, and are left out where those were repeated.
    """
    if sample.runs.several_seeds:
        return
    draws = {"draws": sample.settings.draws, "seed": sample.settings.seed}
    for student in sample.students:
        gains = 100 * (sample.distilled_of(student) - sample.control_of(student))
        low, high = paired_bca(gains, sample.clusters, sample.task_of, **draws)
        if math.isnan(low):
            continue
        weighted = gains[:, None] / np.bincount(sample.task_of)[sample.task_of, None]
        p_value = float(max_t(weighted, sample.clusters.tolist(), **draws)[0])
        yield RigorousResult(
            *("rigorous", sample.name, H1_STUDENT, student, sample.task, "BCa bootstrap; sign flips of items"),
            *(math.nan, p_value, int((~np.isnan(gains)).sum()), sample.mean(gains).value, low, high),
            unit="items",
            role=SENSITIVITY,
            scope=CHECKPOINTS,
            student=student,
            reference=SFT,
            note="BCa bootstrap of items for the interval instead of t; p is of no effect on any item (random signs): "
            "it asks more where tasks went opposite ways.",
        )


def mean_gains(sample: TableSample) -> Iterator[RigorousResult]:
    """Mean gain with students as units: over all cells, by family and task, as effect sizes, and over temperatures."""
    domain, gains = sample.domain, sample.domain.gains()
    for group, cells in [("all", gains), *((str(name), cells) for name, cells in gains.groupby("family"))]:
        wide = domain.of_students(cells)
        for task in map(str, wide):
            warning = sample.below_chance(task)
            yield _over_students(sample, group, wide[task].to_numpy(), warning, task=task, role=sample.role_on(task))
    means = gains[gains["task"] == sample.task].groupby("student", sort=False)[["value", "control"]].mean()
    yield from effects_over_students(sample.name, sample.task, means["value"], means["control"])
    averaged = domain.of_students(domain.gains(over_temperatures(domain.every)))[sample.task].to_numpy()
    note = f"Mean over all temperatures of a cell instead of temperature {domain.temperature:g}."
    yield _over_students(sample, "all", averaged, note, task=sample.task, role=SENSITIVITY)


def _over_students(sample: Sample, group: str, gains: NDArray[np.float64], warning: str, **more: Any) -> RigorousResult:
    found = mean_over_units(gains)
    note = noted(few(found.n, "students"), warning)
    power, exact = _power(found), sign_flips(gains)
    return sample.row(found, H1, group, "t over students", detectable=power, note=note, p_exact=exact, **more)


def grid_of_table(sample: TableSample) -> Iterator[RigorousResult]:
    """Mean gain with students and tasks both random, over the students measured on all tasks; resampled too."""
    wide = sample.domain.of_students(sample.domain.gains()).drop(columns=AVERAGE, errors="ignore").dropna()
    if min(wide.shape) < 2:
        return
    found = grid_effect(wide.to_numpy())
    note = (
        f"Over {found.tasks} tasks. Standard deviations in points: student:method {found.student_variance**0.5:.1f}, "
        f"task:method {found.task_variance**0.5:.1f}, residual {found.residual_variance**0.5:.1f}; "
        f"{found.mean.df:.1f} degrees of freedom."
    )
    yield sample.row(
        *(found.mean, H1_GRID, "all", "two-way random effects"),
        role=SENSITIVITY,
        detectable=_power(found.mean),
        note=noted(few(found.students, "students"), note),
    )
    yield resampled_mean(sample.name, sample.task, wide.to_numpy())


def grid_of_records(sample: RecordSample) -> Iterator[RigorousResult]:
    """Mean gain with students and tasks random, resampled, and as effect sizes; one student has none beyond its own."""
    if len(sample.students) < 2:
        return
    distilled, control = (np.stack([of(s) for s in sample.students]) for of in (sample.distilled_of, sample.control_of))
    grid = sample.grid(distilled - control)
    yield _across(sample, H1_GRID, "all", distilled - control)
    if min(grid.shape) > 1:
        yield resampled_mean(sample.name, sample.task, grid, sample.settings.draws, sample.settings.seed)
    means = [sample.matrix.by_task(values).mean(axis=1) for values in (distilled, control)]
    yield from effects_over_students(sample.name, sample.task, *means)


def families_differ(sample: TableSample) -> Iterator[RigorousResult]:
    """Whether families differ: permuted within students, each student's cells of a family as one value."""
    for task in sample.domain.tasks:
        wide = _by_family(sample, task)
        f, p_value = blocked_permutation(wide.to_numpy())
        blocks, nan = int(wide.notna().all(axis=1).sum()), math.nan
        yield RigorousResult(
            *("rigorous", sample.name, H1_ANOVA, "all", task, "F permuted within students"),
            *(f, p_value, blocks, nan, nan, nan),
            role=sample.role_on(task),
            note=few(blocks, "students"),
        )


def families_equivalent(sample: TableSample) -> Iterator[RigorousResult]:
    """Each two families within the margin of each other, students as units, the same teachers under both."""
    wide = _by_family(sample, sample.task)
    for first, second in combinations(wide.columns, 2):
        found = tost_of_units((wide[first] - wide[second]).to_numpy(), sample.settings.margin)
        row = RigorousResult(
            *("rigorous", sample.name, EQUIVALENCE, f"{first} - {second}", sample.task, _TOST, math.nan, math.nan),
            *(found.n, found.difference, math.nan, math.nan),
            note=few(found.n, "students"),
        )
        yield _equivalent(row, found)


def _equivalent(row: RigorousResult, found: Equivalence) -> RigorousResult:
    row = replace(row, hypothesis=EQUIVALENCE, test=_TOST, margin=found.margin)
    return replace(row, statistic=math.nan, p_value=found.p_value, low=found.low, high=found.high)


def _by_family(sample: TableSample, task: str) -> pd.DataFrame:
    """Accuracy by student and family, over the teachers that a student has all families of."""
    cells = mean_by(sample.domain.runs[sample.domain.runs["task"] == task], [*PAIR, "family"])
    wide = cells.pivot_table(index=PAIR, columns="family", values="value", dropna=False).dropna()
    return wide.groupby("student", sort=False).mean()


def methods_compared(sample: RecordSample) -> Iterator[RigorousResult]:
    """Each two methods, on the students that have both with the same teachers: different, or equal within the margin.

    These students and tasks are fixed; items and training runs are random. As sensitivity the same with students and
    tasks random, where there are several.
    """
    methods = {str(name): runs for name, runs in sample.kd.groupby("method", sort=False)}
    for first, second in combinations(methods, 2):
        sides = _common(sample, methods[first], methods[second])
        if sides is None:
            continue
        group, who = f"{first} - {second}", {"method": first, "reference": second}
        found = sample.difference(*sides)
        yield sample.contrast(found, METHOD, group, detectable=_power(found.found), **who)
        same = tost_of_estimate(found.found, sample.settings.margin)
        yield _equivalent(sample.contrast(found, METHOD, group, **who), same)
        values = _by_student(sample, *sides)
        if len(values) > 1:
            yield _across(sample, METHOD, group, values, role=SENSITIVITY, **who)


def _common(
    sample: RecordSample, first: pd.DataFrame, second: pd.DataFrame
) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """Runs of two methods for the students that have both with the same teachers; None where there are none."""
    sides: tuple[list[NDArray[np.intp]], list[NDArray[np.intp]]] = ([], [])
    for student in sample.students:
        teachers = [set(runs.loc[runs["student"] == student, "teacher"]) for runs in (first, second)]
        rows = [
            np.asarray(runs.index[(runs["student"] == student) & runs["teacher"].isin(teachers[0] & teachers[1])])
            for runs in (first, second)
        ]
        if rows[0].size and rows[1].size and sample.runs.overlap(*rows):
            sides[0].append(rows[0])
            sides[1].append(rows[1])
    return (np.concatenate(sides[0]), np.concatenate(sides[1])) if sides[0] else None


def _by_student(sample: RecordSample, first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.float64]:
    """Difference of two sides for each of their students on every item, shape [S, N]."""
    models = sample.models["student"]
    return np.stack(
        [
            sample.runs.mean_of(first[models[first].to_numpy() == student])
            - sample.runs.mean_of(second[models[second].to_numpy() == student])
            for student in dict.fromkeys(models[first])
        ]
    )


def _across(
    sample: RecordSample, hypothesis: str, group: str, values: NDArray[np.float64], **more: Any
) -> RigorousResult:
    """Mean of values [S, N] in points, students and tasks random; students alone where there are too few tasks."""
    grid = sample.grid(values)
    if min(grid.shape, default=0) < 2:
        found = mean_over_units(np.nanmean(100 * sample.matrix.by_task(values), axis=1))
        note = "One task: nothing can be said about tasks in general." if len(sample.matrix.tasks) == 1 else ""
        test, note = "t over students", noted(few(found.n, "students"), note)
    else:
        effect = grid_effect(grid)
        found, test = effect.mean, "two-way random effects"
        note = noted(few(effect.students, "students"), f"Over {effect.tasks} tasks, {found.df:.1f} degrees of freedom.")
    return sample.row(found, hypothesis, group, test, detectable=_power(found), note=note, **more)


def _power(found: Estimate) -> float:
    return detectable_gain(found.stderr, found.df)


def variance_components(sample: RecordSample) -> Iterator[RigorousResult]:
    """Standard deviations in points, with their degrees of freedom as ``n``.

    - ``runs of SFT``, ``runs of the other methods``: of one training run, all of the study together; then of students
      and settings that vary significantly more than the rest, which intervals take by themselves (`run_variance`).
    - ``items``: standard error that the choice of items alone leaves in a student's gain, root mean square.
    - ``students``, ``methods``, ``tasks``: of the gain between students, between the settings of a student, and between
      tasks, what items and runs explain taken off (method of moments; 0 where that is more than all).
    """
    for group, (deviation, df) in spreads(sample.runs).items():
        yield _row(sample, f"runs of {group}", 100 * deviation, round(df), "Of one training run.")
    if not sample.students:
        return
    gains = [sample.gain_of(student) for student in sample.students]
    errors = np.array([gain.item_stderr for gain in gains])
    known = errors[~np.isnan(errors)]
    if known.size:
        told = "Standard error that the choice of items leaves in a student's gain."
        if any(gain.scope == CHECKPOINTS for gain in gains):
            told += " It holds what single answers vary by from run to run."
        yield _row(sample, "items", math.sqrt(float(np.mean(known**2))), sum(gain.items.n for gain in gains), told)
    yield from _between(
        sample, "students", [[gain.found.value for gain in gains]], [gain.found.stderr for gain in gains]
    )
    yield from _methods(sample)
    by_task = 100 * sample.matrix.by_task(
        np.stack([sample.distilled_of(student) - sample.control_of(student) for student in sample.students])
    )
    noise = [math.sqrt(len(sample.matrix.tasks)) * gain.items.stderr for gain in gains]
    yield from _between(sample, "tasks", [list(row[~np.isnan(row)]) for row in by_task], noise)


def _methods(sample: RecordSample) -> Iterator[RigorousResult]:
    """Between the settings of each student; the control, which they share, adds nothing to their differences."""
    values, noise = [], []
    for student in sample.students:
        rows = sample.kd[sample.kd["student"] == student]
        settings = [numbers(some) for _, some in rows.groupby(["teacher", "method"], sort=False)]
        control = sample.rows(sample.controls, student)
        values.append([sample.difference(one, control).found.value for one in settings])
        pairs = [sample.difference(settings[0], other).found.stderr for other in settings[1:]]
        noise += [error / math.sqrt(2) for error in pairs]
    yield from _between(sample, "methods", values, noise)


def _between(
    sample: RecordSample, group: str, values: list[list[float]], noise: list[float]
) -> Iterator[RigorousResult]:
    """Pooled variance within the lists, the mean square of the errors taken off."""
    known = [np.array(row) for row in values if len(row) > 1]
    df = sum(row.size - 1 for row in known)
    if df < 1:
        return
    total = sum(float(np.sum((row - row.mean()) ** 2)) for row in known) / df
    errors = np.array([error for error in noise if not math.isnan(error)])
    own = total - float(np.mean(errors**2)) if errors.size else total
    note = "" if errors.size else "Errors of items and runs are in it."
    yield _row(sample, group, math.sqrt(max(own, 0.0)), df, f"Of the gain between {group}. {note}".strip())


def _row(sample: RecordSample, group: str, deviation: float, n: int, note: str) -> RigorousResult:
    nan = math.nan
    return RigorousResult(
        *("rigorous", sample.name, VARIANCE, group, sample.task, "method of moments", nan, nan, n, deviation, nan, nan),
        unit="degrees of freedom",
        role=DETAIL,
        note=note,
    )

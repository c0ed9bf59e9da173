"""The rigorous protocol on item records: the same questions as on tables, with items as what is sampled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdscope.errors import StatisticsError
from kdscope.statistics.coupling import instrument_slope
from kdscope.statistics.equivalence import tost_of_estimate
from kdscope.statistics.estimates import Estimate, slope_over_units
from kdscope.statistics.grid import grid_effect
from kdscope.statistics.item_matrix import item_matrix
from kdscope.statistics.macro import macro_mean
from kdscope.statistics.published_gains import model_size
from kdscope.statistics.record_study import RecordStudy
from kdscope.statistics.results import (
    CONFIRMATORY,
    EQUIVALENCE,
    RigorousResult,
    few,
    noted,
    result_of,
    results_frame,
)
from kdscope.statistics.rigorous import OPTIONS
from kdscope.statistics.run_noise import detectable_gain
from kdscope.statistics.selection import select_then_test
from kdscope.statistics.tidy import SFT
from kdscope.statistics.westfall_young import max_t


def rigorous_records(
    records: pd.DataFrame,
    *,
    temperature: float = 1.0,
    margin: float = 1.0,
    options: Mapping[str, int] = OPTIONS,
    draws: int = 9999,
    seed: int = 0,
) -> pd.DataFrame:
    """The rigorous protocol on one row for each model, task and item.

    - ``H1-student`` (confirmatory, Holm): gain of each student's distilled runs over its SFT runs, mean over tasks,
      items (or clusters of copies) as what is sampled; training runs too where both sides have the same two or more
      seeds (`macro`).
    - ``H1-grid``: mean gain, students and tasks random (`grid.grid_effect`); ``method``: each two methods, the same,
      with ``equivalence`` within the margin.
    - ``cell``: every run or setting against its student's SFT, adjusted by max-T over all (`westfall_young.max_t`).
    - ``best_temperature``: gain of choosing the best temperature, judged on other items (`selection`).
    - ``H3``, ``H3.2``: gain on size, and on the SFT accuracy of the other half of the items
      (`coupling.instrument_slope`).

    Args:
        records: as `item_matrix.item_matrix` has it, with an optional column ``domain``; controls are of method sft.
        temperature: chosen before looking; models without a temperature stand as they are.
        margin: methods closer than this, in percentage points, count as equal.
        options: of multiple-choice tasks, for warnings below chance.
        draws: sign vectors of max-T.
        seed: of those, and of the halves of the items.

    Returns:
        Columns are the attributes of `results.RigorousResult`; estimates in percentage points.

    Raises:
        StatisticsError: as `item_matrix.item_matrix`; no distilled student at the temperature has a control.
    """
    parts = records.groupby("domain", sort=False) if "domain" in records else [("all", records)]
    studies = [RecordStudy(str(name), item_matrix(rows), temperature, options) for name, rows in parts]
    tests = sum(len(study.students) for study in studies)
    if tests == 0:
        raise StatisticsError(f"no student distilled at temperature {temperature:g} has a control (method {SFT})")
    rows: list[RigorousResult] = []
    for study in studies:
        rows += [
            *_students(study, tests),
            *_grids(study, margin),
            *_cells(study, draws, seed),
            *_choices(study, seed),
            *_relations(study, seed),
        ]
    return results_frame(rows)


def _students(study: RecordStudy, tests: int) -> Iterator[RigorousResult]:
    shared = study.contaminated()
    for student in study.students:
        found = _percent(study.gain_of(student))
        runs = len(study.seeds_of(student))
        single = "" if runs > 1 else "One training run a side: this is about these checkpoints, not about the method."
        yield result_of(
            *(found, study.name, "H1-student", student, study.task),
            "items and runs" if runs > 1 else "t over items",
            role=CONFIRMATORY,
            unit="items",
            detectable=detectable_gain(found.stderr, found.df, 0.05 / tests),
            note=noted(single, few(runs, "training runs a side") if runs > 1 else "", study.guessing(student), shared),
        )


def _grids(study: RecordStudy, margin: float) -> Iterator[RigorousResult]:
    """Mean gain, and differences of methods, with students and tasks random."""
    gains = np.stack([study.distilled_of(s) - study.control_of(s) for s in study.students])
    yield from _grid(study, "H1-grid", "all", gains)
    methods = {str(name): runs for name, runs in study.kd.groupby("method", sort=False)}
    for first, second in combinations(methods, 2):
        yield from _grid(
            study, "method", f"{first} - {second}", _contrast(study, methods[first], methods[second]), margin
        )


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
    return np.stack(differences) if differences else np.empty((0, len(study.task_of)))


def _grid(
    study: RecordStudy, hypothesis: str, group: str, values: NDArray[np.float64], margin: float | None = None
) -> Iterator[RigorousResult]:
    grid = 100 * study.matrix.by_task(values) if len(values) else np.empty((0, 0))
    grid = grid[~np.isnan(grid).any(axis=1)] if grid.size else grid
    if min(grid.shape) < 2:
        return
    found = grid_effect(grid)
    note = noted(few(found.students, "students"), f"Over {found.tasks} tasks, {found.mean.df:.1f} degrees of freedom.")
    where = (study.name, hypothesis, group, study.task)
    power = detectable_gain(found.mean.stderr, found.mean.df)
    yield result_of(found.mean, *where, "two-way random effects", detectable=power, note=note)
    if margin is not None:
        same = tost_of_estimate(found.mean, margin)
        yield RigorousResult(
            *("rigorous", study.name, EQUIVALENCE, group, study.task, "two one-sided t tests", float("nan")),
            *(same.p_value, same.n, same.difference, same.low, same.high),
            margin=margin,
            note=note,
        )


def _cells(study: RecordStudy, draws: int, seed: int) -> Iterator[RigorousResult]:
    """Every distilled setting against its control; seeds of one setting as their mean."""
    keys = ["student", "teacher", "method", "temperature"]
    cells = list(study.distilled.groupby(keys, sort=False, dropna=False))
    gains = np.stack(
        [study.matrix.mean_of(np.asarray(rows.index)) - study.control_of(str(key[0])) for key, rows in cells]
    )
    counts = np.bincount(study.task_of)[study.task_of]
    # Each task counts the same in the mean, so its items' differences are weighted before signs are drawn.
    adjusted = max_t((gains / counts).T, study.clusters.tolist(), draws=draws, seed=seed)
    for (key, _), values, p_adjusted in zip(cells, gains, adjusted, strict=True):
        found = _percent(macro_mean(values, study.task_of, study.clusters))
        student, teacher, method, temperature = map(str, key)
        at = "" if temperature == "nan" else f" at {float(temperature):g}"
        yield result_of(
            *(found, study.name, "cell", f"{method}{at}, {teacher} to {student}", study.task, "t over items; max-T"),
            unit="items",
            p_adjusted=float(p_adjusted),
            detectable=detectable_gain(found.stderr, found.df, 0.05 / len(cells)),
        )


def _choices(study: RecordStudy, seed: int) -> Iterator[RigorousResult]:
    """The best temperature of each cell, chosen on other items than it is judged on."""
    counts = np.bincount(study.task_of)[study.task_of]
    weights = len(counts) / (len(study.matrix.tasks) * counts)
    for (student, teacher, method), rows in _with_temperatures(study):
        settings = [np.asarray(some.index) for _, some in rows.groupby("temperature")]
        values = np.stack([study.matrix.mean_of(setting) for setting in settings])
        control = study.control_of(student)
        known = ~np.isnan(values).any(axis=0) & ~np.isnan(control)
        found = select_then_test(
            *((values * weights)[:, known], (control * weights)[known], study.clusters[known].tolist()), seed=seed
        )
        yield result_of(
            *(_percent(found.gain), study.name, "best_temperature", f"{method}, {teacher} to {student}", study.task),
            "t over items the choice did not see",
            unit="items",
            note=f"The best of {len(settings)} temperatures; its maximum over all items is {100 * found.maximum:+.1f}.",
        )


def _with_temperatures(study: RecordStudy) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    for (student, teacher, method), rows in study.distilled.groupby(["student", "teacher", "method"], sort=False):
        if rows["temperature"].nunique() > 1:
            yield (str(student), str(teacher), str(method)), rows


def _relations(study: RecordStudy, seed: int) -> Iterator[RigorousResult]:
    gains = [100 * study.gain_of(student).value for student in study.students]
    size = np.log2([model_size(student) for student in study.students])
    found = slope_over_units(size, gains)
    where = (study.name, "H3", "all", study.task, "slope over students")
    yield result_of(found, *where, per="doubling of size", note=few(found.n, "students"))
    halves = np.random.default_rng(seed).permutation(int(study.clusters.max()) + 1)[study.clusters] % 2
    slopes = [_half(study, halves == half) for half in (0, 1)]
    both = slopes[0] if slopes[0].p_value >= slopes[1].p_value else slopes[1]
    note = noted("The less significant of the two ways to halve the items.", few(both.n, "students"))
    where = (study.name, "H3.2", "all", study.task, "slope on the other half's SFT accuracy")
    yield result_of(both, *where, per="point of SFT accuracy", note=note)


def _half(study: RecordStudy, inside: NDArray[np.bool_]) -> Estimate:
    control = np.stack([study.control_of(student) for student in study.students])
    distilled = np.stack([study.distilled_of(student) for student in study.students])
    first, second, outcome = (
        study.matrix.by_task(np.where(where, values, np.nan)).mean(axis=-1)
        for values, where in ((control, inside), (control, ~inside), (distilled, inside))
    )
    return instrument_slope(100 * first, 100 * second, 100 * outcome)


def _percent(found: Estimate) -> Estimate:
    return Estimate(
        *(100 * found.value, 100 * found.stderr, found.df, 100 * found.low, 100 * found.high),
        *(found.p_value, found.n, found.confidence),
    )

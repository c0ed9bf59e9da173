"""Relations of gains to other quantities, each at the level at which it has independent units.

On a table students (or teachers) are the units. On item records agreement, likeness of texts and accuracy under SFT are
taken from half of the items and the gain from the rest, so that no error is on both sides; of the two ways to halve the
items the less significant is reported. The error of half the items in what explains draws slopes towards 0.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdscope.protocols.fidelity_gains import chance_corrected, fidelity_by_cell
from kdscope.protocols.published_gains import mean_by
from kdscope.protocols.record_sample import RecordSample, numbers
from kdscope.protocols.results import WITHIN, RigorousResult, few, noted
from kdscope.protocols.sample import Sample
from kdscope.protocols.table_runs import PAIR, TableRuns, TableSample
from kdscope.results.column_names import AGREEMENT, ANY_FAMILY, AVERAGE, FIDELITY, UNADAPTED, is_distilled
from kdscope.results.hypotheses import H2, H3, H3_2, H4, H5, SENSITIVITY
from kdscope.statistics.crossed import teacher_effects
from kdscope.statistics.estimates import (
    Estimate,
    ancova_slope,
    corrected_slope,
    instrument_slope,
    slope_over_units,
    slope_within,
)
from kdscope.statistics.run_noise import RunNoise

_CELL = ["student", "teacher", "method"]
_CONFOUNDED = "Students differ in size as well, and so few cannot tell the two apart."
_HALVES = "The less significant of the two ways to halve the items."
_UNCORRECTED = "Texts that end in the same right answer are more alike: accuracy by itself gives some of it."


def teachers_accuracy(sample: Sample) -> Iterator[RigorousResult]:
    """``H2``: effects of teachers, students' own levels taken out (`crossed.teacher_effects`), on their accuracy."""
    for task, (values, students, teachers, accuracy_of) in sample.taught_pairs():
        effects = teacher_effects(values, students, teachers)
        names = [str(name) for name in effects if str(name) in accuracy_of]
        found = slope_over_units([accuracy_of[name] for name in names], [effects[name] for name in names])
        yield sample.row(
            *(found, H2, "all", "slope over teachers"),
            task=task,
            unit="teachers",
            per="point of the teacher's accuracy",
            note=few(found.n, "teachers with common students", slope=True),
        )


def students_size(sample: Sample) -> Iterator[RigorousResult]:
    """``H3``: the student's mean gain on the binary logarithm of its size."""
    for task, gains in sample.gains_by_student():
        values = np.array(list(gains.values()), dtype=np.float64)
        found = slope_over_units(np.log2(sample.sizes(list(gains))), values)
        count = int((~np.isnan(values)).sum())
        unknown = "" if found.n == count else f"The size of {count - found.n} of {count} students is not known."
        note = noted(unknown, few(found.n, "students", slope=True))
        yield sample.row(found, H3, "all", "slope over students", task=task, per="doubling of size", note=note)


def size_at_equal_baseline(sample: TableSample) -> Iterator[RigorousResult]:
    """``H3`` by analysis of covariance: does size matter at equal accuracy under SFT?"""
    cells, noise, error = _baselines(sample, sample.task)
    if not noise.df > 0:
        return
    found = ancova_slope(np.log2(sample.sizes(list(cells.index))), cells["control"], cells["value"], error)
    if not np.isnan(found.p_value):
        note = noted("At equal accuracy under SFT.", few(found.n, "students"))
        test = "analysis of covariance over students"
        yield sample.row(found, H3, "all", test, role=SENSITIVITY, per="doubling of size", note=note)


def baseline_of_table(sample: TableSample) -> Iterator[RigorousResult]:
    """``H3.2``: gain on SFT accuracy, the error of that accuracy taken out (`estimates.corrected_slope`)."""
    for task, _ in sample.gains_by_student():
        cells, noise, error = _baselines(sample, task)
        found = corrected_slope(cells["control"].to_numpy(), cells["value"].to_numpy(), error)
        naive = slope_over_units(cells["control"].to_numpy(), (cells["value"] - cells["control"]).to_numpy())
        note = f"Uncorrected slope {naive.value:+.3f}." if np.isfinite(naive.value) else ""
        note = note if noise.df > 0 else "Uncorrected: no repetition tells the noise."
        if np.isnan(found.value):
            note = noted(note, "The students' SFT accuracies differ too little beside the noise of single runs.")
        test = "Blomqvist's slope over students"
        yield _over_students(sample, H3_2, task, test, found, "point of SFT accuracy", note)


def _baselines(sample: TableSample, task: str) -> tuple[pd.DataFrame, RunNoise, float]:
    """Each student's accuracy distilled and under SFT, the noise of runs, and the error variance of the latter."""
    cells, controls = sample.domain.gains(), sample.domain.controls
    cells = cells[cells["task"] == task].groupby("student", sort=False)[["value", "control"]].mean()
    runs = controls[controls["task"] == task].groupby("student").size()
    noise = TableRuns(sample.domain, task).noise()
    return cells, noise, noise.variance * float((1 / runs.reindex(cells.index)).mean()) if noise.df > 0 else 0.0


def baseline_of_records(sample: RecordSample) -> Iterator[RigorousResult]:
    """``H3.2``: gain on the SFT accuracy of the other half of the items (`estimates.instrument_slope`)."""
    if not sample.students:
        return
    control = np.stack([sample.control_of(student) for student in sample.students])
    distilled = np.stack([sample.distilled_of(student) for student in sample.students])

    def slope(inside: NDArray[np.bool_]) -> Estimate:
        sides = ((control, inside), (control, ~inside), (distilled, inside))
        means = [sample.matrix.by_task(np.where(where, values, np.nan)).mean(axis=-1) for values, where in sides]
        return instrument_slope(*(100 * mean for mean in means))

    half = sample.halves()
    found = _weaker([slope(half), slope(~half)])
    note = noted(_HALVES, few(found.n, "students", slope=True))
    test = "slope on the other half's SFT accuracy"
    yield sample.row(found, H3_2, "all", test, per="point of SFT accuracy", note=note)


def likeness_of_table(sample: TableSample) -> Iterator[RigorousResult]:
    """``H4`` and ``H5``: mean gain on agreement beyond chance, and on fidelity, as told per pair or per cell."""
    gains = sample.domain.of_students(sample.domain.gains())
    for hypothesis, metric, per in (
        (H4, AGREEMENT, "point of agreement beyond chance"),
        (H5, FIDELITY, "point of fidelity"),
    ):
        told = _told(sample, metric)
        if told.empty:
            continue
        told = _beyond_chance(sample, told) if metric == AGREEMENT else told
        wide = sample.domain.of_students(told, "value")
        if AVERAGE in gains and AVERAGE not in wide:
            wide[AVERAGE] = wide.mean(axis=1, skipna=False)
        for task in [name for name in sample.domain.tasks if name in wide]:
            found = slope_over_units(wide[task].reindex(gains.index).to_numpy(), gains[task].to_numpy())
            yield _over_students(sample, hypothesis, task, "slope over students", found, per, _CONFOUNDED)


def _told(sample: TableSample, metric: str) -> pd.DataFrame:
    """Mean of the metric over the runs (or the one value for all) of each pair at the chosen temperature."""
    rows = sample.domain.other
    rows = rows[(rows["metric"] == metric) & is_distilled(rows) & (rows["teacher_condition"] != UNADAPTED)]
    at_it = (rows["temperature"] == sample.domain.temperature) | rows["temperature"].isna()
    some = rows[at_it & (rows["family"] != ANY_FAMILY)]
    return mean_by(some if not some.empty else rows[at_it], [*PAIR, "task"])


def _beyond_chance(sample: TableSample, told: pd.DataFrame) -> pd.DataFrame:
    """Agreement beyond what the accuracies of student and teacher give, in percent."""
    options = sample.settings.options
    student = mean_by(sample.domain.runs, [*PAIR, "task"]).rename(columns={"value": "own"})
    teacher = mean_by(sample.domain.controls, ["student", "task"]).rename(
        columns={"student": "teacher", "value": "its"}
    )
    both = told.merge(student, on=[*PAIR, "task"]).merge(teacher, on=["teacher", "task"])
    both = both[both["task"] != AVERAGE]
    wrong = np.array([1 / (options[task] - 1) if task in options else 0.0 for task in both["task"]])
    kappa = chance_corrected(both["value"] / 100, both["own"] / 100, both["its"] / 100, wrong)
    return both.assign(value=100 * kappa)


def _over_students(
    sample: Sample, hypothesis: str, task: str, test: str, found: Estimate, per: str, note: str
) -> RigorousResult:
    note = noted(few(found.n, "students", slope=True), note)
    return sample.row(found, hypothesis, "all", test, task=task, per=per, note=note)


def likeness_of_records(sample: RecordSample) -> Iterator[RigorousResult]:
    """``H4`` and ``H5``: gain on agreement beyond the control's, and on likeness of the texts, of the other half.

    Agreement is beyond what the two accuracies give (`fidelity_gains.fidelity_by_cell`); likeness of texts is not
    corrected for accuracy. Over students, and over cells within students.
    """
    cells = sample.kd[sample.kd["student"].isin(sample.students) & (sample.kd["teacher"] != "")]
    if cells.empty:
        return
    if sample.pairs:
        per = "point of agreement beyond accuracy"
        yield from _over_halves(sample, H4, per, lambda half: _agreement(sample, cells, half))
    if FIDELITY in sample.matrix.told:

        def likeness(half: NDArray[np.bool_]) -> pd.Series[float]:
            return _by_cell(sample, cells, half, lambda rows: sample.matrix.told_of(FIDELITY, rows))

        yield from _over_halves(sample, H5, "point of fidelity", likeness)


def _over_halves(
    sample: RecordSample, hypothesis: str, per: str, likeness: Callable[[NDArray[np.bool_]], pd.Series[float]]
) -> Iterator[RigorousResult]:
    """Gain on one half of the items on what is told on the other: over students, and over cells within them."""
    every, half = sample.kd[sample.kd["student"].isin(sample.students)], sample.halves()
    over_students, within = [], []
    for inside in (half, ~half):
        both = pd.DataFrame({"x": likeness(inside), "y": _gains(sample, every, ~inside)}).dropna()
        if both.empty:
            return
        means = both.groupby("student").mean()
        over_students.append(slope_over_units(means["x"], means["y"]))
        within.append(slope_within(both["x"], both["y"], both.index.get_level_values("student").to_numpy()))
    for group, found, unit in (("all", _weaker(over_students), "students"), (WITHIN, _weaker(within), "cells")):
        confounded, uncorrected = _CONFOUNDED * (unit == "students"), _UNCORRECTED * (hypothesis == H5)
        note = noted(_HALVES, few(found.n, unit, slope=True), confounded, uncorrected)
        yield sample.row(found, hypothesis, group, f"slope over {unit}, other half", unit=unit, per=per, note=note)


def _weaker(slopes: list[Estimate]) -> Estimate:
    return slopes[0] if slopes[0].p_value >= slopes[1].p_value else slopes[1]


def _gains(sample: RecordSample, cells: pd.DataFrame, half: NDArray[np.bool_]) -> pd.Series[float]:
    """Gain of each cell in points on some of the items."""

    def gain(rows: NDArray[np.intp]) -> NDArray[np.float64]:
        return sample.runs.mean_of(rows) - sample.control_of(str(sample.models.loc[rows[0], "student"]))

    return _by_cell(sample, cells, half, gain)


def _by_cell(
    sample: RecordSample,
    cells: pd.DataFrame,
    half: NDArray[np.bool_],
    values: Callable[[NDArray[np.intp]], NDArray[np.float64]],
) -> pd.Series[float]:
    """Mean over tasks, in percent, of values of each cell on some of the items."""
    groups = cells.groupby(_CELL, sort=False)
    return _series({key: sample.score(np.where(half, values(numbers(rows)), np.nan)) for key, rows in groups})


def _agreement(sample: RecordSample, cells: pd.DataFrame, half: NDArray[np.bool_]) -> pd.Series[float]:
    """Agreement of each cell with its teacher beyond accuracy, minus its control's, in points, on some of the items."""
    students = dict(zip(cells.index.to_list(), cells["student"].astype(str), strict=True))
    known = fidelity_by_cell(sample, half, students)
    told = {
        key: [known[number] for number in rows.index if number in known]
        for key, rows in cells.groupby(_CELL, sort=False)
    }
    return _series({key: float(np.mean(values)) for key, values in told.items() if values})


def _series(found: dict[Any, float]) -> pd.Series[float]:
    columns: list[list[Hashable]] = [[key[level] for key in found] for level in range(len(_CELL))]
    return pd.Series(list(found.values()), index=pd.MultiIndex.from_arrays(columns, names=_CELL), dtype=np.float64)

"""What a study's numbers vary with: training runs, items, students, methods and tasks, each as a standard deviation."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from kdscope.protocols.record_sample import RecordSample, numbers
from kdscope.protocols.results import RigorousResult
from kdscope.results.hypotheses import DETAIL, VARIANCE
from kdscope.statistics.run_contrasts import CHECKPOINTS, spreads


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

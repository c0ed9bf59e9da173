"""What a study's numbers vary with: training runs, items, students, methods and tasks, each as a standard deviation."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from kdscope.protocols.record_study import RecordStudy
from kdscope.protocols.results import RigorousResult
from kdscope.results.hypotheses import DETAIL, VARIANCE
from kdscope.statistics.run_contrasts import CHECKPOINTS, spreads


def variance_components(study: RecordStudy) -> Iterator[RigorousResult]:
    """Standard deviations in points, with their degrees of freedom as ``n``.

    - ``runs of SFT``, ``runs of the other methods``: of one training run, all of the study together; then of students
      and settings that vary significantly more than the rest, which intervals take by themselves (`run_variance`).
    - ``items``: standard error that the choice of items alone leaves in a student's gain, root mean square.
    - ``students``, ``methods``, ``tasks``: of the gain between students, between the settings of a student, and between
      tasks, what items and runs explain taken off (method of moments; 0 where that is more than all).
    """
    for group, (deviation, df) in spreads(study.runs).items():
        yield _row(study, f"runs of {group}", 100 * deviation, round(df), "Of one training run.")
    if not study.students:
        return
    gains = [study.gain_of(student) for student in study.students]
    errors = np.array([gain.item_stderr for gain in gains])
    known = errors[~np.isnan(errors)]
    if known.size:
        told = "Standard error that the choice of items leaves in a student's gain."
        if any(gain.scope == CHECKPOINTS for gain in gains):
            told += " It holds what single answers vary by from run to run."
        yield _row(study, "items", math.sqrt(float(np.mean(known**2))), sum(gain.items.n for gain in gains), told)
    yield from _between(
        study, "students", [[gain.found.value for gain in gains]], [gain.found.stderr for gain in gains]
    )
    yield from _methods(study)
    by_task = 100 * study.matrix.by_task(
        np.stack([study.distilled_of(student) - study.control_of(student) for student in study.students])
    )
    noise = [math.sqrt(len(study.matrix.tasks)) * gain.items.stderr for gain in gains]
    yield from _between(study, "tasks", [list(row[~np.isnan(row)]) for row in by_task], noise)


def _methods(study: RecordStudy) -> Iterator[RigorousResult]:
    """Between the settings of each student; the control, which they share, adds nothing to their differences."""
    values, noise = [], []
    for student in study.students:
        rows = study.kd[study.kd["student"] == student]
        settings = [some.index.to_numpy(dtype=np.intp) for _, some in rows.groupby(["teacher", "method"], sort=False)]
        control = study.rows(study.controls, student)
        values.append([study.difference(one, control).found.value for one in settings])
        pairs = [study.difference(settings[0], other).found.stderr for other in settings[1:]]
        noise += [error / math.sqrt(2) for error in pairs]
    yield from _between(study, "methods", values, noise)


def _between(study: RecordStudy, group: str, values: list[list[float]], noise: list[float]) -> Iterator[RigorousResult]:
    """Pooled variance within the lists, the mean square of the errors taken off."""
    known = [np.array(row) for row in values if len(row) > 1]
    df = sum(row.size - 1 for row in known)
    if df < 1:
        return
    total = sum(float(np.sum((row - row.mean()) ** 2)) for row in known) / df
    errors = np.array([error for error in noise if not math.isnan(error)])
    own = total - float(np.mean(errors**2)) if errors.size else total
    note = "" if errors.size else "Errors of items and runs are in it."
    yield _row(study, group, math.sqrt(max(own, 0.0)), df, f"Of the gain between {group}. {note}".strip())


def _row(study: RecordStudy, group: str, deviation: float, n: int, note: str) -> RigorousResult:
    nan = math.nan
    return RigorousResult(
        *("rigorous", study.name, VARIANCE, group, study.task, "method of moments", nan, nan, n, deviation, nan, nan),
        unit="degrees of freedom",
        role=DETAIL,
        note=note,
    )

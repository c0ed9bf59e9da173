"""The fidelity table of a student and its teacher: a row for each measure and task, and for all items together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from kdscope.core.errors import DataError
from kdscope.evaluation.fidelity_per_task import (
    CEILING,
    CONTROL,
    SECOND,
    STUDENT,
    Sampling,
    TaskFidelity,
    measure_task,
)
from kdscope.evaluation.item_scores import check_same_items
from kdscope.evaluation.records import ModelRecords
from kdscope.fidelity.bootstrap import ResampledValue, combine, estimate, join_columns, limits, standard_limits
from kdscope.fidelity.comparison import normalise
from kdscope.fidelity.controls import COLUMNS, MATCHED, Floor, agreement_beyond_matched_control, floor
from kdscope.fidelity.measures import Measure
from kdscope.results.measures import HEADLINE, ITEM_MEASURE, POOLED
from kdscope.tasks import TaskRegistry, default_registry


@dataclass(frozen=True)
class FidelityRow:
    """One measure of one pair on one task. NaN where it is undefined or was not measured.

    Attributes:
        task: Task name, or "pooled" for all items of the tasks that the measure is defined for.
        family: What it looks at: answers, traces or steps.
        measure: Its name.
        value: Of the student against the teacher.
        low: Lower limit of the 95% interval.
        high: Upper limit of the 95% interval.
        items: Items that enter it: for a measure under a condition, those that meet the condition.
        floor: The same when every student answer meets another item's teacher, a mean over shuffles.
        floor_spread: Standard deviation of that over shuffles.
        control: Of a student trained without the teacher, against the same teacher.
        over_control: ``value - control``, the two on the same items.
        over_control_low: Lower limit of its 95% interval, student and control resampled together.
        over_control_high: Upper limit.
        ceiling: Of another run of the teacher, or of the teacher itself, against the same teacher.
        normalised: ``(value - control) / (ceiling - control)``; NaN where the interval of the denominator includes 0.
        normalised_low: Lower limit of its 95% interval.
        normalised_high: Upper limit of its 95% interval.
        reason: Why there is no normalised score, or how to read one that is above the ceiling; else empty.
    """

    task: str
    family: str
    measure: str
    value: float
    low: float
    high: float
    items: int
    floor: float
    floor_spread: float
    control: float
    over_control: float
    over_control_low: float
    over_control_high: float
    ceiling: float
    normalised: float
    normalised_low: float
    normalised_high: float
    reason: str


def fidelity_table(
    student: ModelRecords,
    teacher: ModelRecords,
    *,
    control: ModelRecords | None = None,
    ceiling: ModelRecords | None = None,
    scoring: str = "robust",
    registry: TaskRegistry | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Fidelity of a student to a teacher on each task, then on all items together.

    Intervals are bootstrap intervals over items, whole clusters of items with the same prompt at a time
    (`fidelity.bootstrap.limits`; of differences to the control `standard_limits`). Student, control and ceiling are
    resampled together. In the pooled rows tasks are strata: items are drawn, shuffled and expected to agree by chance
    within their task. Several decoding seeds are averaged within the item. Answers of free text are compared by their
    words only, and are not pooled with others. The columns are those of `FidelityRow`.

    Args:
        student: Records of each task.
        teacher: The teacher's records of the same tasks and items, in the same order.
        control: The same of a student trained without the teacher; tasks it lacks are not normalised.
        ceiling: The same of another run of the teacher (`other_runs` takes it from its decoding seeds).
        scoring: Which answers are compared: robust or published.
        registry: The tasks; the built-in ones where absent.
        draws: Bootstrap draws.
        seed: Of draws and shuffles.

    Raises:
        DataError: Two models did not answer the same items, or cannot be paired seed by seed.
    """
    measured = measure_records(
        *(student, teacher, scoring),
        registry=registry,
        control=control,
        ceiling=ceiling,
        sampling=Sampling(draws, seed=seed),
    )
    return rows_frame(fidelity_rows(measured, registry))


def measure_records(
    student: ModelRecords,
    teacher: ModelRecords,
    scoring: str,
    *,
    registry: TaskRegistry | None = None,
    control: ModelRecords | None = None,
    ceiling: ModelRecords | None = None,
    second: ModelRecords | None = None,
    sampling: Sampling = Sampling(),
) -> dict[str, TaskFidelity]:
    """Measure task by task; `fidelity_rows` makes rows of it. Arguments and errors are those of `fidelity_table`.

    `second`: another student that is resampled with the first, to be compared with it.
    """
    tasks = registry or default_registry()
    roles: dict[str, ModelRecords] = {
        **{STUDENT: student, CONTROL: control or {}, CEILING: ceiling or {}},
        SECOND: second or {},
    }
    found = {}
    for task in student:
        check_same_items(task, student[task], teacher.get(task, ()))
        others = {role: records[task] for role, records in roles.items() if task in records}
        found[task] = measure_task(tasks.get(task), teacher[task], others, scoring, sampling)
    return found


def fidelity_rows(measured: Mapping[str, TaskFidelity], registry: TaskRegistry | None = None) -> list[FidelityRow]:
    """The rows of each task, then of all items together, free text left out."""
    tasks = registry or default_registry()
    return rows_of_tasks(measured, [name for name in measured if not tasks.get(name).is_text])


def rows_of_tasks(measured: Mapping[str, TaskFidelity], pooled: Sequence[str]) -> list[FidelityRow]:
    """The rows of each task, then of all items of the pooled tasks together."""
    rows = [row for task, own in measured.items() for row in _rows(task, [own])]
    return rows + (_rows(POOLED, [measured[name] for name in pooled]) if len(pooled) > 1 else [])


def rows_frame(rows: Sequence[FidelityRow]) -> pd.DataFrame:
    """Rows as a table, whose columns are there without a row too."""
    return pd.DataFrame([asdict(row) for row in rows], columns=[field.name for field in fields(FidelityRow)])


def item_likeness(measured: Mapping[str, TaskFidelity]) -> pa.Table:
    """`ITEM_MEASURE` of every item, from 0 to 1: columns task, item_id and the measure's name."""
    rows = [(task, item, value) for task, own in measured.items() for item, value in own.likeness.items()]
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    types = {"task": pa.string(), "item_id": pa.string(), ITEM_MEASURE: pa.float64()}
    return pa.table([pa.array(own, kind) for own, kind in zip(columns, types.values(), strict=True)], list(types))


def _rows(name: str, tasks: Sequence[TaskFidelity]) -> list[FidelityRow]:
    """A row for each measure of one task; of several tasks, for each measure that at least two of them have."""
    measures = dict.fromkeys(measure for task in tasks for measure in task.measures)
    having = {measure: [task for task in tasks if measure in task.measures] for measure in measures}
    rows = [_row(name, measure, own) for measure, own in having.items() if len(own) > 1 or len(tasks) == 1]
    return rows + _matched(name, having.get(HEADLINE, []))


def _matched(name: str, tasks: Sequence[TaskFidelity]) -> list[FidelityRow]:
    """Agreement beyond that of a student as accurate as this one and as like the teacher as the control, if any."""
    if not tasks or any(CONTROL not in task.sums for task in tasks):
        return []
    found = matched_estimate(STUDENT, tasks)
    nothing = ResampledValue(0.0, np.zeros_like(found.draws), np.zeros_like(found.left_out))
    items = sum(task.entered[HEADLINE] for task in tasks)
    row = _fidelity_row(name, MATCHED, found, nothing, None, items)
    return [replace(row, low=row.over_control_low, high=row.over_control_high)]


def _row(name: str, measure: str, tasks: Sequence[TaskFidelity]) -> FidelityRow:
    kinds = [task.measures[measure] for task in tasks]
    found = {role: measure_estimate(role, measure, tasks) for role in (STUDENT, CONTROL, CEILING)}
    own, control, ceiling = found[STUDENT], found[CONTROL], found[CEILING]
    if own is None:
        raise DataError(f"{name}: there is nothing to compare with the teacher")
    perfect = kinds[0].entry.perfect
    if perfect is not None:
        ceiling = ResampledValue(perfect, np.full_like(own.draws, perfect), np.full_like(own.left_out, perfect))
    chance = floor(kinds, [task.shuffles.get(measure, ()) for task in tasks])
    items = sum(task.entered[measure] for task in tasks)
    return _fidelity_row(name, kinds[0], own, control, ceiling, items, chance)


def _fidelity_row(
    task: str,
    measure: Measure,
    own: ResampledValue,
    control: ResampledValue | None,
    ceiling: ResampledValue | None,
    items: int,
    chance: Floor | None = None,
) -> FidelityRow:
    """One measure with its interval and all that it is held against, resampled on the same draws."""
    score = normalise(own, control, ceiling, measure.entry.direction)
    low, high = limits(own)
    over = None if control is None else combine(np.subtract, own, control)
    over_low, over_high = (math.nan, math.nan) if over is None else standard_limits(over)
    return FidelityRow(
        task=task,
        family=measure.entry.family,
        measure=measure.name,
        value=own.value,
        low=low,
        high=high,
        items=items,
        floor=math.nan if chance is None else chance.mean,
        floor_spread=math.nan if chance is None else chance.spread,
        control=math.nan if control is None else control.value,
        over_control=math.nan if over is None else over.value,
        over_control_low=over_low,
        over_control_high=over_high,
        ceiling=math.nan if ceiling is None else ceiling.value,
        normalised=score.value,
        normalised_low=score.low,
        normalised_high=score.high,
        reason=score.reason,
    )


def matched_estimate(role: str, tasks: Sequence[TaskFidelity]) -> ResampledValue:
    """A student's agreement with the teacher beyond the control's, carried over to the student's accuracy."""
    whose = {"student": role, "control": CONTROL}
    return agreement_beyond_matched_control(
        [join_columns([task.sums[whose[who]][measure] for who, measure in COLUMNS]) for task in tasks]
    )


def measure_estimate(role: str, measure: str, tasks: Sequence[TaskFidelity]) -> ResampledValue | None:
    """The measure of one model against the teacher, tasks as strata; None where it did not answer all of them."""
    if any(measure not in task.sums.get(role, {}) for task in tasks):
        return None
    return estimate([task.measures[measure] for task in tasks], [task.sums[role][measure] for task in tasks])

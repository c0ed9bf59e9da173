"""Comparison of two evaluated models: differences in accuracy and in fidelity to a teacher, with tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from kdscope.core.errors import DataError
from kdscope.evaluation.accuracy import gains_table
from kdscope.evaluation.fidelity_per_task import SECOND, STUDENT, TaskFidelity
from kdscope.evaluation.fidelity_table import (
    fidelity_rows,
    matched_estimate,
    measure_estimate,
    measure_records,
    rows_frame,
)
from kdscope.evaluation.item_scores import metric_of, scores_by_task
from kdscope.evaluation.records import ModelRecords
from kdscope.fidelity.comparison import FidelityComparison, compare_fidelity
from kdscope.results.formatting import decimals, interval, probability
from kdscope.results.measures import HEADLINE, MATCHED_CONTROL, POOLED, POOLED_OF, POOLS, describe_measure
from kdscope.results.table import Table, plain_table
from kdscope.statistics.multiplicity import holm
from kdscope.tasks import TaskRegistry, default_registry

DEFAULT_MARGIN = 1.0
"""Percentage points, as `analysis.equivalence_margin` of a study."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two models, A and B, on the same items.

    Attributes:
        differences: A row for each task and, where there are several of a metric, for all their items: task, metric,
            items, a, b (their values), difference (A minus B), low, high, p_value, p_holm (adjusted over the tasks;
            none for all items together, which is one question), method_of_test.
        fidelity: Fidelity of each to the teacher: task, measure, items, a, b, over_control_a, over_control_b (each
            minus the control's), difference (A minus B), low, high, p_value, margin, p_noninferiority (of A being less
            faithful than B by the margin; only of measures that have one, `MeasureEntry.has_margin`), floor_a, floor_b.
            Of these checkpoints: items are random, training runs are not. None without a teacher.
        left_out: Tasks that only one of the two has answered.
    """

    differences: pd.DataFrame
    fidelity: pd.DataFrame | None
    left_out: tuple[str, ...]


def compare_evaluated(
    a: ModelRecords,
    b: ModelRecords,
    teacher: ModelRecords | None = None,
    *,
    control: ModelRecords | None = None,
    margin: float = DEFAULT_MARGIN,
    scoring: str = "robust",
    registry: TaskRegistry | None = None,
) -> Comparison:
    """Compare two models on the tasks that both have answered, and with a teacher on those it has answered too.

    Tests and intervals are those of `gains_table`.

    Args:
        a: Records of each task of the first model.
        b: The same of the second.
        teacher: The same of a teacher of both.
        control: The same of a student trained without the teacher, the control of both.
        margin: By how many percentage points of agreement A may be less faithful than B and still not inferior.
        scoring: Which answers are compared: robust or published.
        registry: The tasks; the built-in ones where absent.

    Raises:
        DataError: They have no task in common, or did not answer the same items of one.
    """
    tasks = registry or default_registry()
    common = [task for task in a if task in b]
    if not common:
        raise DataError(f"no task was answered by both: {_list(a)} by one, {_list(b)} by the other")
    sides = {"a": {task: a[task] for task in common}, "b": {task: b[task] for task in common}}
    return Comparison(
        differences=_differences(sides, scoring, tasks),
        fidelity=None if teacher is None else _fidelity(sides, teacher, control or {}, margin, scoring, tasks),
        left_out=tuple(task for task in dict.fromkeys((*a, *b)) if task not in common),
    )


def differences_table(comparison: Comparison, names: tuple[str, str] = ("A", "B")) -> Table:
    """The differences to print."""
    headings = ("Task", "n", "Metric", *names, "Difference", "95% interval", "p", "p (Holm)")
    rows = [
        (
            str(row["task"]),
            f"{row['items']:,}",
            str(row["metric"]),
            *(decimals(row[side]) for side in ("a", "b")),
            f"{row['difference']:+.4f}",
            interval(row["low"], row["high"]),
            probability(row["p_value"]),
            probability(row["p_holm"]),
        )
        for row in comparison.differences.to_dict("records")
    ]
    return plain_table(headings, rows, (1, *range(3, len(headings))))


def fidelity_differences_table(comparison: Comparison, names: tuple[str, str] = ("A", "B")) -> Table:
    """The fidelity rows of both to print; empty without a teacher.

    The floor is what each measure gives between a student's answers and those of the teacher to other items.
    """
    frame = pd.DataFrame() if comparison.fidelity is None else comparison.fidelity
    known = not frame.empty and bool(frame["over_control_a"].notna().any())
    over = tuple(f"{name} - control" for name in names) if known else ()
    margin = f"p (margin {100 * float(frame['margin'].iloc[0]):g})" if not frame.empty else "p (margin)"
    tests = ("Difference", "95% interval", "p", margin)
    headings = ("Task", "Measure", "n", *names, *over, *tests, f"{names[0]} floor", f"{names[1]} floor")
    rows = [
        (
            str(row["task"]),
            str(row["measure"]),
            f"{row['items']:,}",
            *(decimals(row[column]) for column in ("a", "b", *(("over_control_a", "over_control_b") if known else ()))),
            decimals(row["difference"]),
            interval(row["low"], row["high"]),
            *(probability(row[column]) for column in ("p_value", "p_noninferiority")),
            *(decimals(row[column]) for column in ("floor_a", "floor_b")),
        )
        for row in frame.to_dict("records")
    ]
    return plain_table(headings, rows, range(2, len(headings)))


def _differences(sides: Mapping[str, ModelRecords], scoring: str, tasks: TaskRegistry) -> pd.DataFrame:
    gains = gains_table(sides, {"a": "b"}, registry=tasks, scorings=(scoring,))
    values = {side: scores_by_task(records, scoring, tasks) for side, records in sides.items()}
    metrics = {pool: metric for metric, pool in POOLED_OF.items()} | {t: metric_of(tasks.get(t)) for t in sides["a"]}
    single = ~gains["task"].isin(POOLS)
    return pd.DataFrame(
        {
            "task": gains["task"],
            "metric": gains["task"].map(metrics),
            "items": gains["items"],
            **{side: [float(values[side][task].values.mean()) for task in gains["task"]] for side in sides},
            "difference": gains["gain"],
            **{name: gains[name] for name in ("low", "high", "p_value")},
            "p_holm": holm(gains["p_value"].where(single)),
            "method_of_test": gains["method_of_test"],
        }
    )


def _fidelity(
    sides: Mapping[str, ModelRecords],
    teacher: ModelRecords,
    control: ModelRecords,
    margin: float,
    scoring: str,
    tasks: TaskRegistry,
) -> pd.DataFrame:
    known = [task for task in sides["a"] if task in teacher]
    if not known:
        raise DataError(f"the teacher answered none of the tasks that both answered: {_list(teacher)}")
    own, other = ({task: records[task] for task in known} for records in (sides["a"], sides["b"]))
    given: dict[str, Any] = {"registry": tasks, "control": {task: control[task] for task in known if task in control}}
    measured = {
        "a": measure_records(own, teacher, scoring, second=other, **given),
        "b": measure_records(other, teacher, scoring, **given),
    }
    keys, kept = ["task", "measure"], ["value", "floor", "over_control"]
    names = {side: {"value": side, "floor": f"floor_{side}", "over_control": f"over_control_{side}"} for side in sides}
    frames = {
        side: rows_frame(fidelity_rows(found, tasks)).rename(columns=names[side]) for side, found in measured.items()
    }
    right = frames["b"][[*keys, *(names["b"][name] for name in kept)]]
    both = frames["a"].drop(columns=["low", "high"]).merge(right, on=keys, how="left", validate="one_to_one")
    compared = [
        _compared(row["task"], row["measure"], measured["a"], margin / 100, tasks)
        for row in both[keys].to_dict("records")
    ]
    both = pd.concat(
        [both, pd.DataFrame(compared, columns=[field.name for field in fields(FidelityComparison)])], axis=1
    )
    both["difference"] = both["a"] - both["b"]
    over, tests = ["over_control_a", "over_control_b"], ["difference", "low", "high", "p_value", "margin"]
    return both[[*keys, "items", "a", "b", *over, *tests, "p_noninferiority", "floor_a", "floor_b"]]


def _compared(
    task: str, measure: str, measured: Mapping[str, TaskFidelity], margin: float, tasks: TaskRegistry
) -> FidelityComparison:
    """The two students' difference in one row of the table; a control of both cancels."""
    pooled = [own for name, own in measured.items() if not tasks.get(name).is_text]
    matched = measure == MATCHED_CONTROL
    needed = HEADLINE if matched else measure
    having = [own for own in (pooled if task == POOLED else [measured[task]]) if needed in own.measures]
    first, second = (
        matched_estimate(role, having) if matched else measure_estimate(role, measure, having)
        for role in (STUDENT, SECOND)
    )
    if first is None or second is None:
        raise DataError(f"{task}: the two students were not measured together")
    direction = 1 if describe_measure(measure).has_margin else 0
    return compare_fidelity(first, second, margin=margin, direction=direction)


def _list(tasks: ModelRecords) -> str:
    return ", ".join(tasks) or "nothing"

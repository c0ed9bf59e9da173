"""Two evaluated models: where do they differ, how sure is that, and which is more like the teacher?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import pandas as pd

from kdscope.errors import DataError
from kdscope.evaluation.items import POOLS, metric_of, values_by_task
from kdscope.evaluation.pairs import compare_records
from kdscope.evaluation.tables import ModelRecords, gains_table
from kdscope.evaluation.text_table import TextTable, decimals, interval, probability
from kdscope.statistics.multiplicity import holm
from kdscope.tasks import TaskRegistry, default_registry


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two models, A and B, on the same items.

    Attributes:
        differences: A row for each task and, where there are several of a metric, for all their items: task, metric,
            items, a, b (their values), difference (A minus B), low, high, p_value, p_holm (adjusted over the tasks;
            none for all items together, which is one question), method_of_test.
        fidelity: Fidelity of each to the teacher: task, measure, items, a, b, difference, floor_a, floor_b; None
            without a teacher.
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
    scoring: str = "robust",
    registry: TaskRegistry | None = None,
) -> Comparison:
    """Compare two models on the tasks that both have answered, and with a teacher on those it has answered too.

    Tests and intervals are those of `gains_table`.

    Args:
        a: Records of each task of the first model.
        b: The same of the second.
        teacher: The same of a teacher of both.
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
        fidelity=None if teacher is None else _fidelity(sides, teacher, scoring, tasks),
        left_out=tuple(task for task in dict.fromkeys((*a, *b)) if task not in common),
    )


def differences_table(comparison: Comparison, names: tuple[str, str] = ("A", "B")) -> TextTable:
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
    return TextTable(headings, tuple(rows), (False, True, False, *[True] * 6))


def fidelity_table(comparison: Comparison, names: tuple[str, str] = ("A", "B")) -> TextTable:
    """The fidelity rows of both to print; empty without a teacher.

    The floor is what each measure gives between a student's answers and those of the teacher to other items.
    """
    headings = ("Task", "Measure", "n", *names, "Difference", f"{names[0]} floor", f"{names[1]} floor")
    frame = pd.DataFrame() if comparison.fidelity is None else comparison.fidelity
    rows = [
        (
            str(row["task"]),
            str(row["measure"]),
            f"{row['items']:,}",
            *(decimals(row[column]) for column in ("a", "b", "difference", "floor_a", "floor_b")),
        )
        for row in frame.to_dict("records")
    ]
    return TextTable(headings, tuple(rows), (False, False, *[True] * 6))


def _differences(sides: Mapping[str, ModelRecords], scoring: str, tasks: TaskRegistry) -> pd.DataFrame:
    gains = gains_table(sides, {"a": "b"}, registry=tasks, scorings=(scoring,))
    values = {side: values_by_task(records, scoring, tasks) for side, records in sides.items()}
    metrics = {pool: metric for metric, pool in POOLS.items()} | {t: metric_of(tasks.get(t)) for t in sides["a"]}
    single = ~gains["task"].isin(list(POOLS.values()))
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
    sides: Mapping[str, ModelRecords], teacher: ModelRecords, scoring: str, tasks: TaskRegistry
) -> pd.DataFrame:
    known = [task for task in sides["a"] if task in teacher]
    if not known:
        raise DataError(f"the teacher answered none of the tasks that both answered: {_list(teacher)}")
    keys = ["task", "measure"]
    frames = []
    for side, records in sides.items():
        rows = compare_records({task: records[task] for task in known}, teacher, scoring, registry=tasks)
        frame = pd.DataFrame([asdict(row) for row in rows]).rename(columns={"value": side, "floor": f"floor_{side}"})
        frames.append(frame if side == "a" else frame.drop(columns="items"))
    both = frames[0].merge(frames[1], on=keys, how="left", validate="one_to_one")
    both["difference"] = both["a"] - both["b"]
    return both[[*keys, "items", "a", "b", "difference", "floor_a", "floor_b"]]


def _list(tasks: ModelRecords) -> str:
    return ", ".join(tasks) or "nothing"

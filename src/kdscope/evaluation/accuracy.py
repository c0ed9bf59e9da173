"""Accuracy of every model and gain of every student over its control, as tables and as printed leaderboards."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from kdscope.evaluation.item_scores import ItemScores, check_same_items, item_scores, metric_of, scores_by_task
from kdscope.evaluation.records import SCORINGS, ModelRecords, Record, answer_of
from kdscope.protocols.published import published_h1
from kdscope.results.column_names import AVERAGE as TIDY_AVERAGE
from kdscope.results.formatting import decimals, interval
from kdscope.results.markdown import padded_table
from kdscope.results.measures import AVERAGE, AVERAGE_OF, AVERAGES, POOLS, Metric
from kdscope.results.table import Table, plain_table
from kdscope.statistics.means import MeanEstimate, estimate_mean, estimate_share
from kdscope.statistics.multiplicity import holm
from kdscope.statistics.paired import compare_paired
from kdscope.statistics.resampling import compare_paired_values
from kdscope.tasks import TaskRegistry, default_registry

_KEY = ["cell", "task", "scoring"]
_GAIN = ("gain", "low", "high")
_HEADINGS = ("Task", "n", "Scoring", "Metric", "Value", "±", "Stderr", "95% interval", "Unparsed", "Truncated")
_NUMERIC = (1, 4, 6, 7, 8, 9)
BELOW_CHANCE = "▼"
"""Marks a value whose whole interval lies below a uniform guess."""


def accuracy_table(records: Mapping[str, ModelRecords], *, registry: TaskRegistry | None = None) -> pd.DataFrame:
    """Accuracy (or ROUGE-L) of every model on every task, by both scorings, with 95% intervals.

    `metric` says what the column `accuracy` holds: the share of right answers, or the mean ROUGE-L of free text.
    `stderr` is the standard error of the mean over items, clustered where items have the same prompt. The interval is
    `means.estimate_share` (Wilson's) where every item is answered once, right or wrong, and
    `estimate_mean` (Student's t over items) for means over decoding seeds and for ROUGE-L; `correct` is then empty.
    The rows ``average`` and ``average (rouge_l)`` are unweighted means over the tasks of their metric; they have no
    interval of their own.

    Args:
        records: Records by model label and task; several decoding seeds of an item count as one item.
        registry: The tasks; the built-in ones where absent.
    """
    tasks = registry or default_registry()
    rows: list[dict[str, Any]] = []
    for cell, answered in records.items():
        for scoring in SCORINGS:
            own = [_accuracy_row(cell, task, answers, scoring, tasks) for task, answers in answered.items()]
            rows += [*own, *_average_rows(cell, scoring, own)]
    return pd.DataFrame(rows)


def gains_table(
    records: Mapping[str, ModelRecords],
    controls: Mapping[str, str],
    *,
    registry: TaskRegistry | None = None,
    scorings: Sequence[str] = SCORINGS,
) -> pd.DataFrame:
    """Paired difference of every student to its SFT control, per task and over all items together.

    Where every item is answered once, right or wrong, the interval is Tango's score interval, the p-value McNemar's
    exact test. Otherwise (means over decoding seeds, ROUGE-L) they are the t interval and the sign-flip test of
    `statistics.resampling.compare_paired_values`. Items with the same prompt count as one cluster. Items are pooled
    over the tasks of one metric only. The pooled p-values of each scoring are adjusted together by Holm's method. Tasks
    that only one of the two has answered, because the other failed, are left out.

    Args:
        records: Records by model label and task; several decoding seeds of an item count as one item.
        controls: The control's label by student label.
        registry: The tasks; the built-in ones where absent.
        scorings: Which scorings are compared.

    Raises:
        DataError: A student and its control did not answer the same items.
    """
    tasks = registry or default_registry()
    rows: list[dict[str, Any]] = []
    for scoring in scorings:
        own: list[dict[str, Any]] = []
        for cell, control in controls.items():
            named = {"cell": cell, "control": control}
            found = _gain_rows(records[cell], records[control], scoring, tasks)
            own += [named | row for row in found]
        rows += _with_holm(own, tasks)
    return pd.DataFrame(rows)


def published_tests_table(accuracy: pd.DataFrame, cells: pd.DataFrame, controls: Mapping[str, str]) -> pd.DataFrame:
    """The published H1 over this study's own grid: is the gain positive, and do methods differ?

    As published, a student's best temperature (per teacher and method) stands for the method, in percentage points, and
    ablations stay out: unadapted teachers and noisy ones. Other settings and other seeds count as cells of their own.
    """
    if accuracy.empty:
        return pd.DataFrame()
    counted = (accuracy["scoring"] == "published") & (accuracy["metric"] == "accuracy")
    answered: dict[str, dict[str, float]] = {}
    for known in accuracy[counted].to_dict("records"):
        answered.setdefault(known["cell"], {})[known["task"]] = known["accuracy"]
    ablated = (cells["teacher_condition"] == "base") | (cells["teacher_noise_std"].fillna(0.0) > 0)
    chosen = cells[cells["cell"].isin(list(controls)) & ~ablated]
    rows = [
        {
            **{key: row[key] for key in ("teacher", "student", "seed", "kd_weight", "variant")},
            "family": row["method"],
            "task": task,
            "gain": 100 * (value - answered[controls[row["cell"]]][task]),
        }
        for row in chosen.to_dict("records")
        for task, value in answered.get(row["cell"], {}).items()
        if task in answered.get(controls[row["cell"]], {})
    ]
    if not rows:
        return pd.DataFrame()
    gains = pd.DataFrame(rows)
    keys = ["teacher", "student", "seed", "kd_weight", "variant", "family", "task"]
    best = gains.groupby(keys, sort=False, dropna=False)["gain"].max().reset_index()
    best["task"] = best["task"].replace(AVERAGE, TIDY_AVERAGE)
    return pd.DataFrame([{"protocol": "published", **asdict(result)} for result in published_h1(best)])


def _accuracy_row(cell: str, task: str, records: Sequence[Record], scoring: str, tasks: TaskRegistry) -> dict[str, Any]:
    declared = tasks.get(task)
    measured = item_scores(declared, records, scoring)
    estimate = _estimate(measured, metric_of(declared))
    return {
        "cell": cell,
        "task": task,
        "scoring": scoring,
        "metric": metric_of(declared),
        "items": measured.items,
        "correct": int(measured.values.sum()) if measured.single else None,
        "accuracy": estimate.mean,
        "stderr": estimate.stderr,
        "low": _within(estimate.low, 0.0),
        "high": _within(estimate.high, 0.0),
        "unparsed_rate": sum(answer_of(r, scoring) is None for r in records) / len(records),
        "truncated_rate": sum(r.finish_reason == "length" for r in records) / len(records),
        "chance": declared.chance,
        "below_chance": estimate.high < declared.chance,
    }


def _estimate(measured: ItemScores, metric: Metric) -> MeanEstimate:
    estimate = estimate_mean(measured.values, measured.clusters)
    # Always right or always wrong, whatever the seed: no variation to judge by, but shares have Wilson's interval.
    is_share = measured.single or (metric == "accuracy" and not estimate.stderr > 0)
    return estimate_share(measured.values, measured.clusters) if is_share else estimate


def _within(limit: float, lowest: float) -> float:
    """A limit cut at what is possible, up to 1; NaN stays NaN."""
    return limit if math.isnan(limit) else min(1.0, max(lowest, limit))


def _average_rows(cell: str, scoring: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    metrics: list[Metric] = list(dict.fromkeys(row["metric"] for row in rows))
    return [_average_row(cell, scoring, metric, [row for row in rows if row["metric"] == metric]) for metric in metrics]


def _average_row(cell: str, scoring: str, metric: Metric, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    mean = {
        key: math.fsum(row[key] for row in rows) / len(rows)
        for key in ("accuracy", "unparsed_rate", "truncated_rate", "chance")
    }
    counts = [row["correct"] for row in rows]
    totals = {"items": sum(row["items"] for row in rows), "correct": None if None in counts else sum(counts)}
    bounds = {"stderr": math.nan, "low": math.nan, "high": math.nan, "below_chance": False}
    return {"cell": cell, "task": AVERAGE_OF[metric], "scoring": scoring, "metric": metric, **totals, **mean, **bounds}


def _gain_rows(own: ModelRecords, other: ModelRecords, scoring: str, tasks: TaskRegistry) -> list[dict[str, Any]]:
    """One row for each common task, then one for all items of each metric that has several."""
    common = [task for task in own if task in other]
    for task in common:
        check_same_items(task, own[task], other[task])
    values = [scores_by_task({task: side[task] for task in common}, scoring, tasks) for side in (own, other)]
    return [{"task": task, "scoring": scoring, **_gain(values[0][task], values[1][task])} for task in values[0]]


def _gain(own: ItemScores, other: ItemScores) -> dict[str, Any]:
    if own.single and other.single:
        exact = compare_paired(own.values, other.values, clusters=own.clusters)
        counts: dict[str, int | None] = {"only_cell": exact.only_first, "only_control": exact.only_second}
        limits = {"low": exact.low, "high": exact.high, "p_value": exact.p_value}
        items, difference, method = exact.items, exact.difference, exact.method
    else:
        means = compare_paired_values(own.values, other.values, own.clusters)
        counts = {"only_cell": None, "only_control": None}
        limits = {"low": _within(means.low, -1.0), "high": _within(means.high, -1.0), "p_value": means.p_value}
        items, difference, method = means.items, means.difference, means.method
    return {"items": items, **counts, "gain": difference, **limits, "p_holm": math.nan, "method_of_test": method}


def _with_holm(rows: list[dict[str, Any]], tasks: TaskRegistry) -> list[dict[str, Any]]:
    """Holm over the rows that answer the study's question: all items together, or a metric's only task."""
    single = _only_tasks({row["task"] for row in rows} - set(POOLS), tasks)
    family = [row for row in rows if row["task"] in POOLS or row["task"] in single]
    if family:
        for row, adjusted in zip(family, holm([row["p_value"] for row in family]), strict=True):
            row["p_holm"] = float(adjusted)
    return rows


def _only_tasks(names: Iterable[str], tasks: TaskRegistry) -> set[str]:
    """The tasks that are the only one of their metric."""
    by_metric: dict[Metric, list[str]] = {}
    for name in names:
        by_metric.setdefault(metric_of(tasks.get(name)), []).append(name)
    return {several[0] for several in by_metric.values() if len(several) == 1}


def without_items(records: Mapping[str, ModelRecords], left_out: Collection[str]) -> dict[str, dict[str, list[Record]]]:
    """Records by model and task without those of some items; tasks of which none is left are gone."""
    kept = {
        cell: {
            task: [record for record in answered if record.item_id not in left_out] for task, answered in tasks.items()
        }
        for cell, tasks in records.items()
    }
    return {cell: {task: rows for task, rows in tasks.items() if rows} for cell, tasks in kept.items()}


def decontaminated_results(
    records: Mapping[str, ModelRecords],
    controls: Mapping[str, str],
    contaminated: Collection[str],
    registry: TaskRegistry | None = None,
) -> pd.DataFrame:
    """Accuracy and gain on all items and on the clean ones, for the tasks that have contaminated items and for all.

    Columns cell, task, scoring, and for each of the two sets of items (suffixes `_all` and `_clean`) items, accuracy,
    gain, low, high; the gains are empty where a model has no control. Empty where no item is contaminated.

    Args:
        records: Records by model label and task.
        controls: The control's label by student label.
        contaminated: Ids of the contaminated items.
        registry: The tasks; the built-in ones where absent.
    """
    concerned = {
        task
        for tasks in records.values()
        for task, answered in tasks.items()
        if any(record.item_id in contaminated for record in answered)
    }
    if not concerned:
        return pd.DataFrame()
    parts = {"all": records, "clean": without_items(records, contaminated)}
    frames = [_results(part, controls, registry).add_suffix(f"_{name}") for name, part in parts.items()]
    both = frames[0].join(frames[1]).reset_index()
    return both[both["task"].isin([*concerned, *POOLS])].reset_index(drop=True)


def _results(
    records: Mapping[str, ModelRecords], controls: Mapping[str, str], registry: TaskRegistry | None
) -> pd.DataFrame:
    """Accuracy joined with gains, by cell, task and scoring."""
    answered = {cell: tasks for cell, tasks in records.items() if tasks}
    known = {cell: control for cell, control in controls.items() if {cell, control} <= {*answered}}
    rows = accuracy_table(answered, registry=registry).to_dict("records") if answered else []
    accuracy = pd.DataFrame(rows, columns=[*_KEY, "items", "accuracy"])
    accuracy = accuracy[~accuracy["task"].isin(AVERAGES)].set_index(_KEY)
    gained = gains_table(answered, known, registry=registry).to_dict("records") if known else []
    gains = pd.DataFrame(gained, columns=[*_KEY, "items", *_GAIN]).set_index(_KEY)
    joined = accuracy.join(gains[list(_GAIN)], how="outer")
    joined["items"] = joined["items"].fillna(gains["items"])
    return joined


def leaderboard(
    accuracy: pd.DataFrame, scorings: Sequence[str] = ("robust", "published"), *, unit: str = "Model"
) -> Table:
    """Rows to print: tasks in their order, averages last; a column for the model only where there are several.

    Free text is scored in one way only and has one row. A value marked with ▼ is below chance, its whole interval
    included.

    Args:
        accuracy: What `accuracy_table` made.
        scorings: Which scorings are shown.
        unit: Heading of the column that names the model.
    """
    shown = [row for row in accuracy.to_dict("records") if _is_shown(row, scorings)]
    cells = list(dict.fromkeys(row["cell"] for row in shown))
    tasks = list(dict.fromkeys(row["task"] for row in shown))
    shown.sort(key=lambda row: (cells.index(row["cell"]), row["task"] in AVERAGES, tasks.index(row["task"])))
    if len(cells) <= 1:
        return plain_table(_HEADINGS, map(_line, shown), _NUMERIC)
    lines = [(str(row["cell"]), *_line(row)) for row in shown]
    return plain_table((unit, *_HEADINGS), lines, [place + 1 for place in _NUMERIC])


def write_leaderboard(table: Table, file: Path, title: str = "") -> None:
    """Write the table as a Markdown file."""
    head = f"# {title}\n\n" if title else ""
    marked = any(BELOW_CHANCE in cell.text for row in table.rows for cell in row)
    note = f"\n{BELOW_CHANCE} below chance, the whole interval included.\n" if marked else ""
    file.write_text(head + padded_table(table) + note, encoding="utf-8", newline="\n")


def _is_shown(row: Mapping[Any, Any], scorings: Sequence[str]) -> bool:
    return row["scoring"] in (scorings if row["metric"] == "accuracy" else scorings[:1])


def _line(row: Mapping[Any, Any]) -> tuple[str, ...]:
    return (
        str(row["task"]),
        f"{row['items']:,}",
        str(row["scoring"]) if row["metric"] == "accuracy" else "",
        str(row["metric"]),
        decimals(row["accuracy"]) + (f" {BELOW_CHANCE}" if row["below_chance"] else ""),
        "±",
        decimals(row["stderr"]),
        interval(row["low"], row["high"]),
        f"{100 * row['unparsed_rate']:.1f}%",
        f"{100 * row['truncated_rate']:.1f}%",
    )

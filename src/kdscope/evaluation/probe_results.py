"""Measures of the causal probes: item by item, and as a table over items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kdscope.evaluation.probe_texts import area_over_curve
from kdscope.evaluation.probes import ProbeRow
from kdscope.results.measures import POOLED, PROBE_MEASURES
from kdscope.statistics.means import estimate_mean

COLUMNS = ("task", "measure", "value", "low", "high", "items")


@dataclass(frozen=True)
class ProbeMeasure:
    """One measure on one item; its mean over items is the measure of a model.

    Attributes:
        task: Task name.
        item_id: Stable id of the item.
        measure: One of `PROBE_MEASURES`, or one of the finish measures of a single cut, such as
            ``finish_own_accuracy_25`` at 25%.
        value: In [0, 1].
    """

    task: str
    item_id: str
    measure: str
    value: float


def probe_measures(rows: Iterable[ProbeRow]) -> list[ProbeMeasure]:
    """The measures of every item for which they are defined, in the order of the items.

    Agreement with an answer that could not be read is not defined; an answer under a probe that cannot be read agrees
    with none.
    """
    items: dict[tuple[str, str], dict[str, list[ProbeRow]]] = {}
    for row in rows:
        items.setdefault((row.task, row.item_id), {}).setdefault(row.probe, []).append(row)
    return [
        ProbeMeasure(*item, measure, value) for item, probes in items.items() for measure, value in _measures(probes)
    ]


def _measures(probes: Mapping[str, Sequence[ProbeRow]]) -> Iterator[tuple[str, float]]:
    early = sorted(probes.get("early_answer", ()), key=lambda row: row.fraction)
    same = _known(row.same_as_final for row in early)
    if same:
        yield "early_answer_area", area_over_curve([row.fraction for row in early], same)
    for probe in ("mistake", "no_mistake"):
        for agreed in _known(row.same_as_final for row in probes.get(probe, ())):
            yield f"{probe}_changed", 1.0 - agreed
    for probe in ("finish_own", "finish_teacher"):
        cuts = probes.get(probe, ())
        yield from _with_mean(f"{probe}_accuracy", cuts, _known(row.correct for row in cuts))
        yield from _with_mean(f"{probe}_agreement", cuts, _known(row.same_as_teacher for row in cuts))


def _known(values: Iterable[bool | None]) -> list[float]:
    """The values as numbers; those of one item and probe are all known, or none is."""
    return [float(value) for value in values if value is not None]


def _with_mean(name: str, cuts: Sequence[ProbeRow], values: Sequence[float]) -> Iterator[tuple[str, float]]:
    if values:
        yield name, sum(values) / len(values)
        yield from ((f"{name}_{100 * row.fraction:g}", value) for row, value in zip(cuts, values, strict=True))


def probe_table(rows: Iterable[ProbeRow]) -> pd.DataFrame:
    """Means over items with 95% t intervals, cut to [0, 1]; the measures are those of `PROBE_MEASURES`."""
    found: dict[tuple[str, str], list[ProbeMeasure]] = {}
    for one in probe_measures(rows):
        if one.measure in PROBE_MEASURES:
            for task in (one.task, POOLED):
                found.setdefault((task, one.measure), []).append(one)
    tasks = {task for task, _ in found} - {POOLED}
    table = [_row(task, measure, own) for (task, measure), own in found.items() if task != POOLED or len(tasks) > 1]
    return pd.DataFrame(table, columns=list(COLUMNS))


def _row(task: str, measure: str, items: list[ProbeMeasure]) -> dict[str, Any]:
    mean = estimate_mean([item.value for item in items], [item.item_id for item in items])
    low, high = (float(np.clip(limit, 0, 1)) for limit in (mean.low, mean.high))
    return dict(zip(COLUMNS, (task, measure, mean.mean, low, high, len(items)), strict=True))

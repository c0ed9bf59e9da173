"""Probes as a table: a row for each task and measure, and for all items together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from kdscope.evaluation.probe_measures import ProbeMeasure, probe_measures
from kdscope.evaluation.probes import ProbeRow
from kdscope.results.measures import POOLED, PROBE_MEASURES
from kdscope.statistics.means import estimate_mean

COLUMNS = ("task", "measure", "value", "low", "high", "items")


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

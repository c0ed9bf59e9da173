"""The best temperature on item records: chosen on some items and runs, judged on others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdscope.statistics.estimates import Estimate
from kdscope.statistics.macro import gain_over_seeds
from kdscope.statistics.record_gains import SINGLE_RUN
from kdscope.statistics.record_study import RecordStudy
from kdscope.statistics.results import RigorousResult, few, in_points, noted, result_of


def best_temperatures(study: RecordStudy, seed: int) -> Iterator[RigorousResult]:
    """Gain of the best temperature of each student, teacher and method, judged on what had no part in the choice.

    The temperature with the highest mean on a third of the items is judged on the others (`selection` on why). A run's
    luck is on all of its items: where all sides have two or more training seeds in common, a third of them (one at
    least) choose and the others judge.
    """
    for (student, teacher, method), rows in study.distilled.groupby(["student", "teacher", "method"], sort=False):
        settings = [some for _, some in rows.groupby("temperature")]
        control = study.controls[study.controls["student"] == student]
        if len(settings) < 2:
            continue
        values = np.stack([_values(study, side, None) for side in (*settings, control)])
        known = np.asarray(~np.isnan(values).any(axis=0))
        chosen_on, judged_on = _items(study, known, seed)
        if not chosen_on.any() or np.unique(study.clusters[judged_on]).size < 2:
            continue
        choosing, judging = _seeds([*settings, control])
        scores = [study.score(np.where(chosen_on, _values(study, side, choosing), np.nan)) for side in settings]
        found = _judged(study, settings[int(np.argmax(scores))], control, judging, judged_on)
        runs = len(judging or [])
        largest = max(study.score(gains) for gains in values[:-1] - values[-1])
        told = f"The best of {len(settings)} temperatures; its maximum over all items is {largest:+.1f}."
        test = "items and runs" if runs > 1 else "t over items"
        yield result_of(
            *(in_points(found), study.name, "best_temperature", f"{method}, {teacher} to {student}", study.task),
            f"{test} the choice did not see",
            unit="items",
            note=noted(told, few(runs, "training runs a side") if runs > 1 else SINGLE_RUN),
        )


def _items(study: RecordStudy, known: NDArray[np.bool_], seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Items to choose on, a third of the clusters, and those to judge on."""
    names, cluster_of = np.unique(study.clusters, return_inverse=True)
    order = np.random.default_rng(seed).permutation(names.size)
    chosen_on = order[cluster_of] < round(names.size / 3)
    return chosen_on & known, ~chosen_on & known


def _seeds(sides: list[pd.DataFrame]) -> tuple[list[object] | None, list[object] | None]:
    """Training seeds to choose on and to judge on; None: all runs there are."""
    common = sorted(set.intersection(*(set(side["seed"]) for side in sides)), key=str)
    if len(common) < 2:
        return None, None
    cut = max(1, len(common) // 3)
    return common[:cut], common[cut:]


def _judged(
    study: RecordStudy,
    best: pd.DataFrame,
    control: pd.DataFrame,
    seeds: list[object] | None,
    items: NDArray[np.bool_],
) -> Estimate:
    groups = [[one] for one in seeds] if seeds else [None]
    gains = [np.where(items, _values(study, best, one) - _values(study, control, one), np.nan) for one in groups]
    if len(gains) > 1:
        return gain_over_seeds(np.stack(gains), study.task_of, study.clusters)
    return study.mean(gains[0])


def _values(study: RecordStudy, side: pd.DataFrame, seeds: list[object] | None) -> NDArray[np.float64]:
    """Mean of some of the runs of one side, shape [N]."""
    rows = side if seeds is None else side[side["seed"].isin(seeds)]
    return study.matrix.mean_of(np.asarray(rows.index, dtype=np.intp))

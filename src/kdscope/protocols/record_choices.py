"""The best temperature on item records: chosen on some items and runs, judged on others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdscope.protocols.record_study import RecordStudy
from kdscope.protocols.results import RigorousResult, contrast_result
from kdscope.results.column_names import SFT
from kdscope.results.hypotheses import BEST_TEMPERATURE
from kdscope.statistics.run_contrasts import Contrast, contrast_in_points


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
        best = settings[int(np.argmax(scores))]
        found = _judged(study, best, control, judging, judged_on)
        largest = max(study.score(gains) for gains in values[:-1] - values[-1])
        yield contrast_result(
            *(found, study.name, BEST_TEMPERATURE, f"{method}, {teacher} to {student}", study.task),
            note=f"Judged on items and runs that the choice did not see. The best of {len(settings)} temperatures; its "
            f"maximum over all items is {largest:+.1f}.",
            student=str(student),
            teacher=str(teacher),
            method=str(method),
            reference=SFT,
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
) -> Contrast:
    rows = [
        np.asarray(side.index[side["seed"].isin(seeds)] if seeds else side.index, dtype=np.intp)
        for side in (best, control)
    ]
    return contrast_in_points(study.runs.difference(*rows, keep=items))


def _values(study: RecordStudy, side: pd.DataFrame, seeds: list[object] | None) -> NDArray[np.float64]:
    """Mean of some of the runs of one side, shape [N]."""
    rows = side if seeds is None else side[side["seed"].isin(seeds)]
    return study.matrix.mean_of(np.asarray(rows.index, dtype=np.intp))

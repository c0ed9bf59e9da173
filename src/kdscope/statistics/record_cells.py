"""Single settings of a study on item records: each cell, other temperatures, ablations."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdscope.statistics.effect_rows import effect_of_pair
from kdscope.statistics.estimates import Estimate
from kdscope.statistics.item_matrix import ABLATION
from kdscope.statistics.macro import gain_over_seeds
from kdscope.statistics.multiplicity import holm
from kdscope.statistics.record_gains import SINGLE_RUN
from kdscope.statistics.record_study import RecordStudy
from kdscope.statistics.results import RigorousResult, few, in_points, noted, result_of
from kdscope.statistics.run_noise import detectable_gain
from kdscope.statistics.westfall_young import max_t

_CELL = ["student", "teacher", "method", "temperature"]


def cells(study: RecordStudy, draws: int, seed: int) -> Iterator[RigorousResult]:
    """Every setting, ablations included, against its student's control.

    One training run a side: items are what is sampled, max-T over all settings. Several: runs too, and Holm, since
    signs of items know nothing of runs. Single runs have their matched odds ratio beside.
    """
    found = [_cell(study, key, rows) for key, rows in _settings(study) if _has_gain(study, rows)]
    if not found:
        return
    several = any(seeds > 1 for *_, seeds in found)
    # Each task counts the same in the mean, so its items' differences are weighted before signs are drawn.
    gains = np.stack([values - control for _, values, control, *_ in found]) / _items_a_task(study)
    p_values = [estimate.p_value for *_, estimate, _ in found]
    adjusted = holm(p_values) if several else max_t(gains.T, study.clusters.tolist(), draws=draws, seed=seed)
    for (name, values, control, estimate, seeds), p_adjusted in zip(found, adjusted, strict=True):
        test = ("items and runs" if seeds > 1 else "t over items") + ("; Holm" if several else "; max-T")
        yield result_of(
            *(estimate, study.name, "cell", name, study.task, test),
            unit="items",
            p_adjusted=float(p_adjusted),
            detectable=detectable_gain(estimate.stderr, estimate.df, 0.05 / len(found)),
        )
        yield from effect_of_pair(study.name, study.task, name, values, control)


def changed_settings(study: RecordStudy) -> Iterator[RigorousResult]:
    """Other temperatures against the one chosen beforehand, and ablations against the same cell without: by item."""
    found = [*_temperatures(study), *_ablations(study)]
    for hypothesis, group, rows, reference in found:
        difference, seeds, note = _difference(study, rows, reference)
        yield result_of(
            *(difference, study.name, hypothesis, group, study.task),
            "items and runs" if seeds > 1 else "t over items",
            unit="items",
            detectable=detectable_gain(difference.stderr, difference.df, 0.05 / len(found)),
            note=note,
        )


_Cell = tuple[str, NDArray[np.float64], NDArray[np.float64], Estimate, int]
"""Name, its values and those of its control on every item, the gain in points, training seeds both sides have."""


def _cell(study: RecordStudy, key: tuple[Hashable, ...], rows: pd.DataFrame) -> _Cell:
    student = str(rows["student"].iloc[0])
    controls = study.controls[study.controls["student"] == student]
    estimate, seeds, _ = _difference(study, rows, controls)
    values = study.matrix.mean_of(_numbers(rows))
    return _named(key[:4], str(key[4])), values, study.control_of(student), estimate, seeds


def _has_gain(study: RecordStudy, rows: pd.DataFrame) -> bool:
    return _both_measured(study, rows, study.controls[study.controls["student"] == rows["student"].iloc[0]])


def _settings(study: RecordStudy) -> Iterator[tuple[tuple[Hashable, ...], pd.DataFrame]]:
    every = pd.concat([study.distilled, study.ablated])
    yield from every.groupby([*_CELL, ABLATION], sort=False, dropna=False)


_Change = tuple[str, str, pd.DataFrame, pd.DataFrame]
"""Hypothesis, group, the changed runs and those they are compared with."""


def _temperatures(study: RecordStudy) -> Iterator[_Change]:
    for (student, teacher, method), rows in study.distilled.groupby(_CELL[:3], sort=False):
        chosen = rows[rows["temperature"] == study.temperature]
        for other, some in rows.groupby("temperature"):
            if other != study.temperature and _both_measured(study, some, chosen):
                group = f"{method} at {other:g} instead of {study.temperature:g}, {teacher} to {student}"
                yield "temperature", group, some, chosen


def _ablations(study: RecordStudy) -> Iterator[_Change]:
    main = pd.concat([study.distilled, study.controls])
    for (*key, ablation), rows in study.ablated.groupby([*_CELL, ABLATION], sort=False, dropna=False):
        same = np.ones(len(main), dtype=np.bool_)
        for column, value in zip(_CELL, key, strict=True):
            same &= (main[column].isna() if value != value else main[column] == value).to_numpy()
        if _both_measured(study, rows, main[same]):
            yield "ablation", f"{ablation}: {_named(tuple(key), '')}", rows, main[same]


def _both_measured(study: RecordStudy, first: pd.DataFrame, second: pd.DataFrame) -> bool:
    if first.empty or second.empty:
        return False
    values = study.matrix.mean_of(_numbers(first)) - study.matrix.mean_of(_numbers(second))
    return not np.isnan(values).all()


def _difference(study: RecordStudy, first: pd.DataFrame, second: pd.DataFrame) -> tuple[Estimate, int, str]:
    """Mean difference in points of two sets of runs, over the seeds both have; how many those are, and a note."""
    common = sorted(set(first["seed"]) & set(second["seed"]), key=str)
    pairs = [tuple(_numbers(side[side["seed"] == seed]) for side in (first, second)) for seed in common]
    differences = [study.matrix.mean_of(one) - study.matrix.mean_of(other) for one, other in pairs]
    if len(differences) > 1:
        found = gain_over_seeds(np.stack(differences), study.task_of, study.clusters)
        return in_points(found), len(common), few(len(common), "training runs a side")
    apart = "" if common else "The two sides have no training seed in common."
    values = study.matrix.mean_of(_numbers(first)) - study.matrix.mean_of(_numbers(second))
    return in_points(study.mean(differences[0] if common else values)), 1, noted(SINGLE_RUN, apart)


def _named(key: tuple[Hashable, ...], ablation: str) -> str:
    student, teacher, method, temperature = map(str, key)
    at = "" if temperature == "nan" else f" at {float(temperature):g}"
    whose = f"{teacher} to {student}" if teacher else student
    return f"{method}{at}, {whose}" + (f" ({ablation})" if ablation else "")


def _numbers(rows: pd.DataFrame) -> NDArray[np.intp]:
    return np.asarray(rows.index, dtype=np.intp)


def _items_a_task(study: RecordStudy) -> NDArray[np.float64]:
    """Of each item: how many its task has."""
    return np.bincount(study.task_of)[study.task_of].astype(np.float64)

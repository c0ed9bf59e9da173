"""Single settings of a study on item records: each cell, other temperatures, ablations."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdscope.protocols.item_matrix import ABLATION
from kdscope.protocols.record_study import RecordStudy
from kdscope.protocols.results import RigorousResult, contrast_result, effect_of_pair
from kdscope.results import hypotheses
from kdscope.results.column_names import SFT
from kdscope.statistics.multiplicity import max_t
from kdscope.statistics.run_contrasts import CHECKPOINTS, Contrast
from kdscope.statistics.run_noise import detectable_gain

CELL = ["student", "teacher", "method", "temperature"]


def cells(study: RecordStudy, draws: int, seed: int) -> Iterator[RigorousResult]:
    """Every setting, ablations included, against its student's control.

    Items and training runs are random, and Holm's method adjusts. Where nothing was trained twice items alone are, and
    max-T over all settings adjusts, since signs of items know nothing of runs. Single runs have their matched odds
    ratio beside.
    """
    found = [_cell(study, key, rows) for key, rows in _settings(study) if _has_gain(study, rows)]
    if not found:
        return
    adjusted = [math.nan] * len(found)
    if all(cell.gain.scope == CHECKPOINTS for cell in found):
        # Each task counts the same in the mean, so its items' differences are weighted before signs are drawn.
        gains = np.stack([cell.values - cell.control for cell in found]) / _items_a_task(study)
        adjusted = [float(p) for p in max_t(gains.T, study.clusters.tolist(), draws=draws, seed=seed)]
    for cell, p_adjusted in zip(found, adjusted, strict=True):
        error = cell.gain.found
        row = contrast_result(
            *(cell.gain, study.name, hypotheses.CELL, cell.name, study.task),
            p_adjusted=p_adjusted,
            detectable=detectable_gain(error.stderr, error.df, 0.05 / len(found)),
            **cell.facts,
        )
        yield replace(row, test=f"{row.test}; {'Holm' if math.isnan(p_adjusted) else 'max-T'}")
        yield from effect_of_pair(study.name, study.task, cell.name, cell.values, cell.control)


def changed_settings(study: RecordStudy) -> Iterator[RigorousResult]:
    """Other temperatures against the one chosen beforehand, and ablations against the same cell without them."""
    found = [*_temperatures(study), *_ablations(study)]
    for hypothesis, group, rows, reference in found:
        difference = study.difference(_numbers(rows), _numbers(reference))
        error = difference.found
        yield contrast_result(
            *(difference, study.name, hypothesis, group, study.task),
            detectable=detectable_gain(error.stderr, error.df, 0.05 / len(found)),
            **setting_facts(rows),
        )


@dataclass(frozen=True, slots=True)
class _Cell:
    """A setting: its name, its values and those of its control on every item, the gain in points, what it is."""

    name: str
    values: NDArray[np.float64]
    control: NDArray[np.float64]
    gain: Contrast
    facts: dict[str, Any]


def _cell(study: RecordStudy, key: tuple[Hashable, ...], rows: pd.DataFrame) -> _Cell:
    facts = setting_facts(rows) | {"reference": SFT}
    gain = study.difference(_numbers(rows), study.rows(study.controls, facts["student"]))
    control = study.control_of(facts["student"])
    return _Cell(setting_name(key[:4], str(key[4])), study.runs.mean_of(_numbers(rows)), control, gain, facts)


def setting_facts(rows: pd.DataFrame) -> dict[str, Any]:
    """Student, teacher, method, temperature and ablation of the runs of one setting."""
    first = rows.iloc[0]
    facts = {name: str(first[name]) for name in ("student", "teacher", "method", ABLATION)}
    return facts | {"temperature": float(first["temperature"])}


def _has_gain(study: RecordStudy, rows: pd.DataFrame) -> bool:
    return _both_measured(study, rows, study.controls[study.controls["student"] == rows["student"].iloc[0]])


def _settings(study: RecordStudy) -> Iterator[tuple[tuple[Hashable, ...], pd.DataFrame]]:
    every = pd.concat([study.distilled, study.ablated])
    yield from every.groupby([*CELL, ABLATION], sort=False, dropna=False)


_Change = tuple[str, str, pd.DataFrame, pd.DataFrame]
"""Hypothesis, group, the changed runs and those they are compared with."""


def _temperatures(study: RecordStudy) -> Iterator[_Change]:
    for (student, teacher, method), rows in study.distilled.groupby(CELL[:3], sort=False):
        chosen = rows[rows["temperature"] == study.temperature]
        for other, some in rows.groupby("temperature"):
            if other != study.temperature and _both_measured(study, some, chosen):
                group = f"{method} at {other:g} instead of {study.temperature:g}, {teacher} to {student}"
                yield hypotheses.TEMPERATURE, group, some, chosen


def _ablations(study: RecordStudy) -> Iterator[_Change]:
    main = pd.concat([study.distilled, study.controls])
    for (*key, ablation), rows in study.ablated.groupby([*CELL, ABLATION], sort=False, dropna=False):
        same = np.ones(len(main), dtype=np.bool_)
        for column, value in zip(CELL, key, strict=True):
            same &= (main[column].isna() if value != value else main[column] == value).to_numpy()
        if _both_measured(study, rows, main[same]):
            yield hypotheses.ABLATION, f"{ablation}: {setting_name(tuple(key), '')}", rows, main[same]


def _both_measured(study: RecordStudy, first: pd.DataFrame, second: pd.DataFrame) -> bool:
    if first.empty or second.empty:
        return False
    values = study.runs.mean_of(_numbers(first)) - study.runs.mean_of(_numbers(second))
    return not np.isnan(values).all()


def setting_name(key: tuple[Hashable, ...], ablation: str) -> str:
    """A setting in words, from student, teacher, method and temperature, and what its ablation changes."""
    student, teacher, method, temperature = map(str, key)
    at = "" if temperature == "nan" else f" at {float(temperature):g}"
    whose = f"{teacher} to {student}" if teacher else student
    return f"{method}{at}, {whose}" + (f" ({ablation})" if ablation else "")


def _numbers(rows: pd.DataFrame) -> NDArray[np.intp]:
    return np.asarray(rows.index, dtype=np.intp)


def _items_a_task(study: RecordStudy) -> NDArray[np.float64]:
    """Of each item: how many its task has."""
    return np.bincount(study.task_of)[study.task_of].astype(np.float64)

"""Single settings: each beside SFT, other temperatures, ablations, and what choosing the best or largest is worth."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdscope.protocols.item_matrix import ABLATION
from kdscope.protocols.record_sample import RecordSample, numbers
from kdscope.protocols.results import RigorousResult, effect_of_pair, few, noted
from kdscope.protocols.table_runs import CELL as TABLE_CELL
from kdscope.protocols.table_runs import LUCK_UNKNOWN, TableRuns, TableSample
from kdscope.results import hypotheses
from kdscope.results.column_names import AVERAGE, SFT, UNADAPTED
from kdscope.results.hypotheses import BEST_TEMPERATURE, LARGEST_GAIN, LEVEL, TEMPERATURE, UNADAPTED_TEACHER
from kdscope.statistics.estimates import mean_over_units, sign_flips
from kdscope.statistics.multiplicity import chosen_items, max_t
from kdscope.statistics.run_contrasts import CHECKPOINTS, Contrast, contrast_in_points
from kdscope.statistics.run_noise import detectable_gain, largest_of

CELL = ["student", "teacher", "method", "temperature"]


def cells(sample: RecordSample) -> Iterator[RigorousResult]:
    """``cell``: every setting, ablations included, against its student's control.

    Items and training runs are random, and Holm's method adjusts. Where nothing was trained twice items alone are, and
    max-T over all settings adjusts (`multiplicity.max_t`), since signs of items know nothing of runs. Single runs have
    their matched odds ratio beside.
    """
    every = pd.concat([sample.distilled, sample.ablated]).groupby([*CELL, ABLATION], sort=False, dropna=False)
    found = [cell for key, rows in every if (cell := _cell(sample, key, rows)) is not None]
    if not found:
        return
    adjusted = [math.nan] * len(found)
    if all(cell.gain.scope == CHECKPOINTS for cell in found):
        # Each task counts the same in the mean, so its items' differences are weighted before signs are drawn.
        items_of_task = np.bincount(sample.task_of)[sample.task_of].astype(np.float64)
        gains = np.stack([cell.values - cell.control for cell in found]) / items_of_task
        drawn = max_t(gains.T, sample.clusters.tolist(), draws=sample.settings.draws, seed=sample.settings.seed)
        adjusted = [float(p) for p in drawn]
    for cell, p_adjusted in zip(found, adjusted, strict=True):
        error = cell.gain.found
        row = sample.contrast(
            *(cell.gain, hypotheses.CELL, cell.name),
            p_adjusted=p_adjusted,
            detectable=detectable_gain(error.stderr, error.df, LEVEL / len(found)),
            reference=SFT,
            **cell.facts,
        )
        yield replace(row, test=f"{row.test}; {'Holm' if math.isnan(p_adjusted) else 'max-T'}")
        yield from effect_of_pair(sample.name, sample.task, cell.name, cell.values, cell.control)


@dataclass(frozen=True, slots=True)
class _Cell:
    """A setting: its name, its values and those of its control on every item, the gain in points, what it is."""

    name: str
    values: NDArray[np.float64]
    control: NDArray[np.float64]
    gain: Contrast
    facts: dict[str, Any]


def _cell(sample: RecordSample, key: tuple[Hashable, ...], rows: pd.DataFrame) -> _Cell | None:
    """One setting; None where no item was measured on it and on its control."""
    facts = setting_facts(rows)
    first, second = numbers(rows), sample.rows(sample.controls, facts["student"])
    if not sample.runs.overlap(first, second):
        return None
    values, control = sample.runs.mean_of(first), sample.runs.mean_of(second)
    return _Cell(setting_name(key), values, control, sample.difference(first, second), facts)


def setting_facts(rows: pd.DataFrame) -> dict[str, Any]:
    """Student, teacher, method, temperature and ablation of the runs of one setting."""
    first = rows.iloc[0]
    facts = {name: str(first[name]) for name in ("student", "teacher", "method", ABLATION)}
    return facts | {"temperature": float(first["temperature"])}


def setting_name(key: tuple[Hashable, ...]) -> str:
    """A setting in words, from student, teacher, method and temperature, and what its ablation changes, if any."""
    student, teacher, method, temperature, ablation = map(str, key)
    at = "" if temperature == "nan" else f" at {float(temperature):g}"
    whose = f"{teacher} to {student}" if teacher else student
    return f"{method}{at}, {whose}" + (f" ({ablation})" if ablation else "")


def changed_settings(sample: RecordSample) -> Iterator[RigorousResult]:
    """Other temperatures against the one chosen beforehand, and ablations against the same cell without them."""
    changes = [*_temperatures(sample), *_ablations(sample)]
    found = [change for change in changes if sample.runs.overlap(numbers(change[2]), numbers(change[3]))]
    for hypothesis, group, rows, reference in found:
        difference = sample.difference(numbers(rows), numbers(reference))
        error = difference.found
        yield sample.contrast(
            *(difference, hypothesis, group),
            detectable=detectable_gain(error.stderr, error.df, LEVEL / len(found)),
            **setting_facts(rows),
        )


_Change = tuple[str, str, pd.DataFrame, pd.DataFrame]
"""Hypothesis, group, the changed runs and those they are compared with."""


def _temperatures(sample: RecordSample) -> Iterator[_Change]:
    primary = sample.settings.temperature
    for (student, teacher, method), rows in sample.distilled.groupby(CELL[:3], sort=False):
        chosen = rows[rows["temperature"] == primary]
        for other, some in rows.groupby("temperature"):
            if other != primary:
                yield TEMPERATURE, f"{method} at {other:g} instead of {primary:g}, {teacher} to {student}", some, chosen


def _ablations(sample: RecordSample) -> Iterator[_Change]:
    main = pd.concat([sample.distilled, sample.controls])
    for (*key, ablation), rows in sample.ablated.groupby([*CELL, ABLATION], sort=False, dropna=False):
        same = np.ones(len(main), dtype=np.bool_)
        for column, value in zip(CELL, key, strict=True):
            same &= (main[column].isna() if value != value else main[column] == value).to_numpy()
        yield hypotheses.ABLATION, f"{ablation}: {setting_name((*key, ''))}", rows, main[same]


def changed_settings_of_table(sample: TableSample) -> Iterator[RigorousResult]:
    """Other temperatures and unadapted teachers against the chosen setting: the same cells, students as units."""
    primary, every = sample.domain.temperature, sample.domain.every[sample.domain.every["task"] == sample.task]
    adapted = every[every["teacher_condition"] != UNADAPTED]
    chosen = adapted[adapted["temperature"] == primary]
    for (family, temperature), some in adapted.groupby(["family", "temperature"]):
        if temperature != primary:
            group = f"{family!s} at {temperature:g} instead of {primary:g}"
            yield from _same_cells(sample, TEMPERATURE, group, some, chosen, TABLE_CELL)
    keys = [*TABLE_CELL, "temperature"]
    for family, some in every[every["teacher_condition"] == UNADAPTED].groupby("family"):
        yield from _same_cells(sample, UNADAPTED_TEACHER, str(family), some, adapted, keys)


def _same_cells(
    sample: TableSample, hypothesis: str, group: str, some: pd.DataFrame, reference: pd.DataFrame, keys: list[str]
) -> Iterator[RigorousResult]:
    """Mean difference of the same cells under two settings, one value a student."""
    means = [rows.groupby(keys, dropna=False)["value"].mean() for rows in (some, reference)]
    difference = (means[0] - means[1]).dropna()
    if difference.empty:
        return
    by_student = difference.groupby("student").mean().to_numpy()
    found, exact = mean_over_units(by_student), sign_flips(by_student)
    yield sample.row(found, hypothesis, group, "t over students", note=few(found.n, "students"), p_exact=exact)


def largest_gain(sample: TableSample) -> Iterator[RigorousResult]:
    """The largest gain of any cell on any task, with limits that hold for all cells and tasks at once."""
    gains = sample.domain.gains()
    gains = gains[gains["task"] != AVERAGE].dropna(subset="gain")
    if gains.empty:
        return
    best = gains.iloc[int(gains["gain"].argmax())]
    task, controls = str(best["task"]), sample.domain.controls
    control_runs = int(((controls["student"] == best["student"]) & (controls["task"] == task)).sum())
    runs = TableRuns(sample.domain, task)
    found = largest_of(len(gains), float(best["gain"]), runs.noise(), max(1, control_runs))
    single = "" if runs.several_seeds else LUCK_UNKNOWN
    found = replace(found, p_value=math.nan) if single else found
    note = f"The largest of {len(gains)} gains is too large on average; the limits allow for the search."
    group = f"{best['family']}, {best['teacher']} to {best['student']}"
    row = sample.row(found, LARGEST_GAIN, group, "simultaneous t over run noise", p_adjusted=found.p_value)
    yield replace(row, task=task, unit="gains", note=noted(note, single))


def best_temperatures(sample: RecordSample) -> Iterator[RigorousResult]:
    """Gain of the best temperature of each student, teacher and method, judged on what had no part in the choice.

    The temperature with the highest mean on a third of the items is judged on the others
    (`multiplicity.select_then_test` says why). A run's luck is on all of its items: where all sides have two or more
    training seeds in common, a third of them (one at least) choose and the others judge.
    """
    on_third = chosen_items(np.unique(sample.clusters, return_inverse=True)[1], 1 / 3, sample.settings.seed)
    for (student, teacher, method), rows in sample.distilled.groupby(CELL[:3], sort=False):
        settings = [some for _, some in rows.groupby("temperature")]
        control = sample.controls[sample.controls["student"] == student]
        if len(settings) < 2:
            continue
        values = np.stack([_values(sample, side, None) for side in (*settings, control)])
        known = np.asarray(~np.isnan(values).any(axis=0))
        chosen_on, judged_on = on_third & known, ~on_third & known
        if not chosen_on.any() or np.unique(sample.clusters[judged_on]).size < 2:
            continue
        choosing, judging = _seeds([*settings, control])
        scores = [sample.score(np.where(chosen_on, _values(sample, side, choosing), np.nan)) for side in settings]
        sides = [numbers(_of_seeds(side, judging)) for side in (settings[int(np.argmax(scores))], control)]
        found = contrast_in_points(sample.runs.difference(sides[0], sides[1], keep=judged_on))
        largest = max(sample.score(gains) for gains in values[:-1] - values[-1])
        yield sample.contrast(
            *(found, BEST_TEMPERATURE, f"{method}, {teacher} to {student}"),
            note=f"Judged on items and runs that the choice did not see. The best of {len(settings)} temperatures; its "
            f"maximum over all items is {largest:+.1f}.",
            student=str(student),
            teacher=str(teacher),
            method=str(method),
            reference=SFT,
        )


def _seeds(sides: list[pd.DataFrame]) -> tuple[list[object] | None, list[object] | None]:
    """Training seeds to choose on and to judge on; None: all runs there are."""
    common = sorted(set.intersection(*(set(side["seed"]) for side in sides)), key=str)
    if len(common) < 2:
        return None, None
    cut = max(1, len(common) // 3)
    return common[:cut], common[cut:]


def _of_seeds(side: pd.DataFrame, seeds: list[object] | None) -> pd.DataFrame:
    return side if seeds is None else side[side["seed"].isin(seeds)]


def _values(sample: RecordSample, side: pd.DataFrame, seeds: list[object] | None) -> NDArray[np.float64]:
    """Mean of some of the runs of one side, shape [N]."""
    return sample.matrix.mean_of(numbers(_of_seeds(side, seeds)))

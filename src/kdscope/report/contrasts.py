"""What the study's ablations show: the same training with one setting changed, gain beside gain.

Two gains over one control share its answers, and each interval is about its own gain: they describe a difference and
do not test it, which the last sentence says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kdscope.report.gains import Gain
from kdscope.results.formatting import is_missing, percent, plural, points
from kdscope.results.labels import differing, setting_words
from kdscope.results.tables import records

_SETTINGS = ("method", "variant", "teacher", "teacher_condition", "kd_temperature", "kd_weight", "teacher_noise_std")
_NO_TEST = (
    "Each of these pointwise intervals is about one checkpoint against SFT over items; none tests the difference "
    "between two settings, and another training seed may give another number."
)
_SHOWN = 4


@dataclass(frozen=True)
class Series:
    """Students that differ in one setting and share the rest.

    Attributes:
        label: The method, and the settings in which the study's students of this method differ.
        gains: For every level of the setting the gains of the same seeds, in the same order.
    """

    label: str
    gains: Mapping[Any, Sequence[Gain]]

    def level(self, level: object) -> str:
        """The gain at a level with its interval, or the range over seeds."""
        found = self.gains[level]
        if len(found) == 1:
            return found[0].without_test
        values = [gain.gain for gain in found]
        return f"{points(min(values))} to {points(max(values))} over {plural(len(found), 'seed')}"


def contrast_sentences(cells: pd.DataFrame, gains: Sequence[Gain]) -> list[str]:
    """One sentence on teachers that were not adapted, and one on temperatures, where the study varies them."""
    unadapted = [
        (student, [_against_adapted(one) for one in some if {"base", "adapted"} <= one.gains.keys()])
        for student, some in _by_student(cells, gains, "teacher_condition")
    ]
    temperatures = [
        (student, [_at_temperatures(one) for one in some if len(one.gains) > 1])
        for student, some in _by_student(cells, gains, "kd_temperature")
    ]
    found = [
        *_sentence(
            "Differences from SFT in points, taught by the unadapted teacher instead of the adapted one", unadapted
        ),
        *_sentence("Differences from SFT in points, by temperature", temperatures),
    ]
    return [*found[:-1], f"{found[-1]} {_NO_TEST}"] if found else []


def _sentence(about: str, students: Iterable[tuple[str, list[str]]]) -> list[str]:
    told = [f"For {student}: {_listed(parts)}." for student, parts in students if parts]
    return [f"{about}. {' '.join(told)}"] if told else []


def _against_adapted(series: Series) -> str:
    base, adapted = series.gains["base"], series.gains["adapted"]
    changes = [ours.gain - theirs.gain for ours, theirs in zip(base, adapted, strict=True)]
    told = f"{series.label} {series.level('base')} instead of {series.level('adapted')}"
    if len(changes) > 1:
        return f"{told}, lower in {sum(change < 0 for change in changes)} of them"
    size = percent(abs(changes[0]))
    change = "no change" if float(size) == 0 else f"{size} {'less' if changes[0] < 0 else 'more'}"
    return f"{told}, {change}"


def _at_temperatures(series: Series) -> str:
    levels = ", ".join(f"{series.level(level)} at T={level:g}" for level in sorted(series.gains))
    return f"{series.label} {levels}"


def _by_student(cells: pd.DataFrame, gains: Sequence[Gain], setting: str) -> list[tuple[str, list[Series]]]:
    trained = cells[cells["role"] == "student"]
    told = {method: differing(part) - {setting, "seed"} for method, part in trained.groupby("method")}
    rows = {row["cell"]: {**row, "label": _label(row, told[row["method"]])} for row in records(trained)}
    models = dict.fromkeys(gain.name.model for gain in gains)
    return [(model, _series([g for g in gains if g.name.model == model], rows, setting)) for model in models]


def _series(gains: Sequence[Gain], rows: Mapping[str, Mapping[str, Any]], setting: str) -> list[Series]:
    """The gains by everything but the setting, then by the setting, then by seed."""
    groups: dict[tuple[str, ...], dict[Any, dict[str, Gain]]] = {}
    labels: dict[tuple[str, ...], str] = {}
    for gain in gains:
        row = rows[gain.name.cell]
        if is_missing(row[setting]):
            continue
        rest = tuple(str(row[column]) for column in _SETTINGS if column != setting)
        groups.setdefault(rest, {}).setdefault(row[setting], {})[str(row["seed"])] = gain
        labels[rest] = row["label"]
    return [Series(labels[rest], _same_seeds(levels)) for rest, levels in groups.items()]


def _same_seeds(levels: Mapping[Any, Mapping[str, Gain]]) -> dict[Any, list[Gain]]:
    """A level is comparable in those seeds only that every level has; without any, there is nothing to compare."""
    shared = [seed for seed in next(iter(levels.values())) if all(seed in level for level in levels.values())]
    return {level: [by_seed[seed] for seed in shared] for level, by_seed in levels.items()} if shared else {}


def _label(row: Mapping[str, Any], told: set[str]) -> str:
    variant = "" if is_missing(row["variant"]) or not row["variant"] else f" {row['variant']}"
    return ", ".join([f"{row['method']}{variant}", *setting_words(row, told)])


def _listed(parts: Sequence[str]) -> str:
    more = [f"and {len(parts) - _SHOWN} more"] if len(parts) > _SHOWN else []
    return "; ".join([*parts[:_SHOWN], *more])

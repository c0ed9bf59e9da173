"""Summary of a study in a few sentences: what was done and how accurate models became; verdicts are `answer`'s.

Ablations are told as gain beside gain: the same training with one setting changed. Two gains over one control share
its answers, and each interval is about its own gain: they describe a difference and do not test it, which the last of
these sentences says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kdscope.report.training import design_sentence
from kdscope.results.formatting import is_missing, joined, percent, plural, points
from kdscope.results.labels import differing, setting_words, students
from kdscope.results.measures import AVERAGES
from kdscope.results.methods import SFT
from kdscope.results.tables import ReportTables, averages, pooled, records, select

_SETTINGS = ("method", "variant", "teacher", "teacher_condition", "kd_temperature", "kd_weight", "teacher_noise_std")
_NO_TEST = (
    "Each of these pointwise intervals is about one checkpoint against SFT over items; none tests the difference "
    "between two settings, and another training seed may give another number."
)
_SHOWN = 4

Row = Mapping[str, Any]


def summary_sentences(tables: ReportTables, scoring: str) -> list[str]:
    """What was done, why a student has no gain, what ablations of single checkpoints show, and accuracy levels."""
    trained = tables.cells[tables.cells["role"] == "student"]
    compared = {tables.names[row["cell"]].model for row in _pooled_gains(tables, scoring)}
    without = [student for student in dict.fromkeys(trained["student"].dropna()) if student not in compared]
    sentences = [
        _opening(tables, scoring),
        design_sentence(tables.cells),
        *(f"{student}: {_why_no_gain(trained[trained['student'] == student])}" for student in without),
        *contrast_sentences(tables, scoring),
        _levels(tables, scoring),
    ]
    return [sentence for sentence in sentences if sentence]


def _pooled_gains(tables: ReportTables, scoring: str) -> list[dict[str, Any]]:
    """The comparisons of checkpoints with SFT over all items together, in the order of their cells."""
    rows = pooled(select(tables.gains, scoring=scoring))
    return records(rows[rows["gain"].notna()])


def _opening(tables: ReportTables, scoring: str) -> str:
    cells = tables.cells
    if cells.empty:
        return "The study has no cells, so there is nothing to report."
    trained = cells[cells["role"] == "student"]
    done = int((cells["state"] == "done").sum())
    made = f"{plural(len(students(tables.names)), 'student')}, {plural(trained['method'].nunique(), 'method')}"
    text = f"{done} of {plural(len(cells), 'cell')} finished ({made})."
    rows = select(tables.accuracy, scoring=scoring)
    rows = rows[~rows["task"].isin(AVERAGES)]
    if rows.empty:
        return f"{text} No model has been evaluated under the {scoring} scoring."
    tasks = plural(rows["task"].nunique(), "task")
    asked = f"The models answered {tasks}, of how many items is not known"
    if rows.groupby("task")["items"].max().notna().all():
        items = int(rows.groupby("cell")["items"].sum().max())
        asked = f"Each model answered up to {plural(items, 'item')} from {tasks}"
    return f"{text} {asked}; answers read with the {scoring} scoring."


def _why_no_gain(cells: pd.DataFrame) -> str:
    control = cells[cells["method"] == SFT]
    if control.empty:
        return "no gain can be computed, because the study trains no SFT control."
    if not (control["state"] == "done").any():
        return "no gain can be computed, because its SFT control failed."
    distilled = cells[cells["method"] != SFT]
    if distilled.empty:
        return "only the SFT control was trained, so there is no gain to report."
    if not (distilled["state"] == "done").any():
        return "no gain can be computed, because every distilled student failed."
    if not distilled["distilled"].fillna(True).astype(bool).any():
        return "no gain can be computed, because every distilled student was left in its warm start."
    return "no gain has been computed under this scoring."


def _levels(tables: ReportTables, scoring: str) -> str:
    rows = averages(tables, scoring)
    rows = rows[rows["accuracy"].notna()]
    role = rows["cell"].map({cell: name.role for cell, name in tables.names.items()})
    parts = []
    for who, noun in (("teacher", "teacher"), ("student", "trained student cell")):
        values = rows["accuracy"][role == who]
        if len(values):
            parts.append(f"{plural(len(values), noun)} {_span(values)}")
    return f"Accuracy, averaged over tasks: {', '.join(parts)}." if parts else ""


def _span(values: pd.Series) -> str:
    low, high = percent(float(values.min())), percent(float(values.max()))
    return f"{low}%" if low == high else f"{low}% to {high}%"


@dataclass(frozen=True)
class Series:
    """Students that differ in one setting and share the rest.

    Attributes:
        label: The method, and the settings in which the study's students of this method differ.
        gains: For every level of the setting the rows of `gains` of the same seeds, in the same order.
    """

    label: str
    gains: Mapping[Any, Sequence[Row]]

    def level(self, level: object) -> str:
        """The gain at a level with its pointwise interval, or the range over seeds."""
        values = [row["gain"] for row in self.gains[level]]
        if len(values) > 1:
            return f"{points(min(values))} to {points(max(values))} over {plural(len(values), 'seed')}"
        [row] = self.gains[level]
        if is_missing(row["low"]) or is_missing(row["high"]):
            return f"{points(row['gain'])} (no interval)"
        return f"{points(row['gain'])} (95% CI {points(row['low'])} to {points(row['high'])})"


def contrast_sentences(tables: ReportTables, scoring: str) -> list[str]:
    """One sentence on teachers that were not adapted, and one on temperatures, where the study varies them."""
    unadapted = [
        (student, [_against_adapted(series) for series in of_student if {"base", "adapted"} <= series.gains.keys()])
        for student, of_student in _by_student(tables, scoring, "teacher_condition")
    ]
    temperatures = [
        (student, [_at_temperatures(series) for series in of_student if len(series.gains) > 1])
        for student, of_student in _by_student(tables, scoring, "kd_temperature")
    ]
    sentences = [
        *_sentence(
            "Differences from SFT in points, taught by the unadapted teacher instead of the adapted one", unadapted
        ),
        *_sentence("Differences from SFT in points, by temperature", temperatures),
    ]
    return [*sentences[:-1], f"{sentences[-1]} {_NO_TEST}"] if sentences else []


def _sentence(about: str, students: Iterable[tuple[str, list[str]]]) -> list[str]:
    said = [f"For {student}: {joined(parts, _SHOWN)}." for student, parts in students if parts]
    return [f"{about}. {' '.join(said)}"] if said else []


def _against_adapted(series: Series) -> str:
    base, adapted = series.gains["base"], series.gains["adapted"]
    changes = [ours["gain"] - theirs["gain"] for ours, theirs in zip(base, adapted, strict=True)]
    text = f"{series.label} {series.level('base')} instead of {series.level('adapted')}"
    if len(changes) > 1:
        return f"{text}, lower in {sum(change < 0 for change in changes)} of them"
    size = percent(abs(changes[0]))
    change = "no change" if float(size) == 0 else f"{size} {'less' if changes[0] < 0 else 'more'}"
    return f"{text}, {change}"


def _at_temperatures(series: Series) -> str:
    levels = ", ".join(f"{series.level(level)} at T={level:g}" for level in sorted(series.gains))
    return f"{series.label} {levels}"


def _by_student(tables: ReportTables, scoring: str, setting: str) -> list[tuple[str, list[Series]]]:
    cells = tables.cells[tables.cells["role"] == "student"]
    told = {method: differing(part) - {setting, "seed"} for method, part in cells.groupby("method")}
    trained = {row["cell"]: {**row, "label": _label(row, told[row["method"]])} for row in records(cells)}
    of_model: dict[str, list[Row]] = {}
    for gain in _pooled_gains(tables, scoring):
        of_model.setdefault(tables.names[gain["cell"]].model, []).append(gain)
    return [(model, _series(gains, trained, setting)) for model, gains in of_model.items()]


def _series(gains: Sequence[Row], trained: Mapping[str, Row], setting: str) -> list[Series]:
    """The gains by everything but the setting, then by the setting, then by seed."""
    groups: dict[tuple[str, ...], dict[Any, dict[str, Row]]] = {}
    labels: dict[tuple[str, ...], str] = {}
    for gain in gains:
        row = trained[gain["cell"]]
        if is_missing(row[setting]):
            continue
        rest = tuple(str(row[column]) for column in _SETTINGS if column != setting)
        groups.setdefault(rest, {}).setdefault(row[setting], {})[str(row["seed"])] = gain
        labels[rest] = row["label"]
    return [Series(labels[rest], _same_seeds(levels)) for rest, levels in groups.items()]


def _same_seeds(levels: Mapping[Any, Mapping[str, Row]]) -> dict[Any, list[Row]]:
    """A level is comparable in those seeds only that every level has; without any, there is nothing to compare."""
    shared = [seed for seed in next(iter(levels.values())) if all(seed in level for level in levels.values())]
    return {level: [by_seed[seed] for seed in shared] for level, by_seed in levels.items()} if shared else {}


def _label(row: Row, told: set[str]) -> str:
    variant = "" if is_missing(row["variant"]) or not row["variant"] else f" {row['variant']}"
    return ", ".join([f"{row['method']}{variant}", *setting_words(row, told)])

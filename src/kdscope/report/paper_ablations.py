"""Ablations and repeats: students that differ in one setting only, side by side."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from kdscope.report.paper import PaperTable, Value, gain, number, numbers, text, texts
from kdscope.results.formatting import MISSING, is_missing, percent, points
from kdscope.results.labels import setting_words
from kdscope.results.tables import ReportTables, averages, pooled, records, select

_SETTINGS = (
    *("student", "method", "variant", "teacher", "teacher_condition"),
    *("kd_temperature", "kd_weight", "teacher_noise_std", "seed"),
)
_ABLATIONS = (
    ("kd_temperature", "ablation_temperature", "Gain over SFT by distillation temperature", "T={:g}"),
    ("teacher_noise_std", "ablation_noise", "Gain over SFT by the noise on the teacher's logits", "noise {:g}"),
    ("teacher_condition", "ablation_teacher", "Gain over SFT by the teacher's condition", "{} teacher"),
)
Row = Mapping[str, Any]


def ablation_tables(tables: ReportTables, scoring: str) -> Iterator[PaperTable]:
    """One table for each setting in which otherwise equal students differ; then the repeats over seeds."""
    gains = pooled(select(tables.gains, scoring=scoring))
    rows = records(gains.merge(tables.cells, on="cell", how="inner", validate="many_to_one"))
    for setting, key, title, head in _ABLATIONS:
        yield _ablation(rows, setting, key, title, head)
    yield seeds_table(tables, scoring)


def _ablation(rows: Sequence[Row], setting: str, key: str, title: str, head: str) -> PaperTable:
    groups = [group for group in _alike(rows, setting) if len({row[setting] for row in group}) > 1]
    levels = sorted({row[setting] for group in groups for row in group})
    told = {"teacher", "teacher_condition", "kd_temperature", "kd_weight", "teacher_noise_std", "seed"}
    told = _differing(told - {setting}, [row for group in groups for row in group])
    body = []
    for group in groups:
        by_level = {row[setting]: row for row in group}
        first = group[0]
        body.append(
            (
                text(first["student"]),
                text(", ".join([_method(first), *setting_words(first, told)])),
                *(gain(by_level[one], *_GAIN) if one in by_level else Value(MISSING) for one in levels),
            )
        )
    return PaperTable(
        key=key,
        title=f"{title}, in percentage points",
        notes=(
            "Over all items together, in brackets 95% intervals. Each interval is about one gain; none tests the "
            "difference between two.",
        ),
        columns=(*texts("student", "trained with"), *numbers(*(head.format(level) for level in levels))),
        rows=tuple(body),
        names=2,
        data=pd.DataFrame([{name: row[name] for name in _DATA} for group in groups for row in group], columns=[*_DATA]),
    )


_GAIN = ("gain", "low", "high")
_DATA = ("cell", "control", *_SETTINGS, "items", *_GAIN, "p_value", "p_holm")


def seeds_table(tables: ReportTables, scoring: str) -> PaperTable:
    """Students that were trained with two or more seeds: mean and standard deviation over them."""
    names = tables.names
    mean = {row["cell"]: row["accuracy"] for row in records(averages(tables, scoring))}
    gains = {row["cell"]: row["gain"] for row in records(pooled(select(tables.gains, scoring=scoring)))}
    trained = records(tables.cells[tables.cells["role"] == "student"])
    groups = [group for group in _alike(trained, "seed") if sum(row["cell"] in mean for row in group) > 1]
    told = _differing(_SETTINGS[3:-1], trained)
    found = []
    for group in groups:
        accuracy, gained = ([known[row["cell"]] for row in group if row["cell"] in known] for known in (mean, gains))
        label = ", ".join([_method(group[0]), *setting_words(group[0], told)])
        found.append({"student": names[group[0]["cell"]].model, "trained_with": label, **_spread(accuracy, gained)})
    return PaperTable(
        key="seeds",
        title="Repeats: mean and standard deviation over training seeds",
        notes=("Accuracy is the mean over tasks in percent; the gain is that over SFT of the same seed, in points.",),
        columns=(
            *texts("student", "trained with"),
            *numbers("seeds", "accuracy", "SD", "gain", "SD", "lowest", "highest"),
        ),
        rows=tuple(_seeds_row(row) for row in found),
        names=2,
        data=pd.DataFrame(found),
    )


def _spread(accuracy: Sequence[float], gains: Sequence[float]) -> dict[str, float | int | None]:
    return {
        "seeds": len(accuracy),
        "accuracy": statistics.fmean(accuracy),
        "accuracy_sd": statistics.stdev(accuracy),
        "gain": statistics.fmean(gains) if gains else None,
        "gain_sd": statistics.stdev(gains) if len(gains) > 1 else None,
        "gain_low": min(gains, default=None),
        "gain_high": max(gains, default=None),
    }


def _seeds_row(row: Row) -> tuple[Value, ...]:
    return (
        *(text(row[name]) for name in ("student", "trained_with")),
        number(row["seeds"]),
        *(Value(percent(row[name])) for name in ("accuracy", "accuracy_sd")),
        *(Value(show(row[name])) for name, show in zip(_GAINS, (points, percent, points, points), strict=True)),
    )


_GAINS = ("gain", "gain_sd", "gain_low", "gain_high")


def _alike(rows: Sequence[Row], but: str) -> list[list[Row]]:
    """Rows that share every setting but one, which they have."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if not is_missing(row[but]):
            groups.setdefault(tuple(str(row[name]) for name in _SETTINGS if name != but), []).append(row)
    return list(groups.values())


def _differing(settings: Iterable[str], rows: Sequence[Row]) -> set[str]:
    return {name for name in settings if len({row[name] for row in rows if not is_missing(row[name])}) > 1}


def _method(row: Row) -> str:
    variant = row["variant"]
    return str(row["method"]) if is_missing(variant) or not variant else f"{row['method']}-{variant}"

"""Tables of what was trained: models, every cell, what training took, and settings and seeds side by side."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from kdscope.results.formatting import MISSING, is_missing, percent, points, short_count
from kdscope.results.labels import setting_words
from kdscope.results.methods import BASE
from kdscope.results.table import (
    Row,
    Table,
    TableCell,
    TableColumn,
    decimal,
    gain,
    number,
    numbers,
    text,
    texts,
)
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
_COST = ("trained_parameters", "steps", "target_tokens", "training_seconds", "peak_memory_bytes")
_TEST_OF_GAIN = ("gain", "low", "high", "p_value", "p_holm")


def models_overview(tables: ReportTables) -> Table:
    """The page's table: one row per model, its size, and what was done with it."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in records(tables.cells):
        group = "teacher" if row["role"] == "teacher" else "student"
        groups.setdefault((group, tables.names[row["cell"]].model), []).append(row)
    return Table(
        key="models",
        title="Models",
        notes=(
            "Steps and tokens are per cell; a range where cells differ. Trained parameters are those that "
            "training may change (adapters, or everything).",
        ),
        columns=(
            *texts("model", "as"),
            *numbers("parameters", "trained"),
            *texts("methods", "seeds"),
            *numbers("cells done", "steps", "target tokens"),
        ),
        rows=tuple(_model_row(role, model, rows) for (role, model), rows in groups.items()),
        source="cells",
        empty="The study has no models.",
    )


def _model_row(role: str, model: str, rows: Sequence[Row]) -> tuple[TableCell, ...]:
    methods = dict.fromkeys(row["method"] for row in rows)
    done = sum(row["state"] == "done" for row in rows)
    seeds = {int(row["seed"]) for row in rows if not is_missing(row["seed"])}
    trained = [row for row in rows if row["method"] != BASE]
    return (
        TableCell(model),
        TableCell(role),
        _range(rows, "parameters"),
        _range(trained, "trained_parameters"),
        TableCell(", ".join(methods)),
        TableCell(", ".join(str(seed) for seed in sorted(seeds)) or MISSING),
        TableCell(f"{done} of {len(rows)}", value=done, flagged=done < len(rows)),
        _range(trained, "steps"),
        _range(trained, "target_tokens"),
    )


def _range(rows: Sequence[Row], column: str) -> TableCell:
    values = [int(row[column]) for row in rows if not is_missing(row[column])]
    if not values:
        return TableCell(MISSING)
    low, high = short_count(min(values)), short_count(max(values))
    return TableCell(low if low == high else f"{low} to {high}", value=max(values))


def cells_overview(tables: ReportTables) -> Table:
    """The page's table: one row per cell, what was trained and how it went."""
    columns = (
        *texts("cell", "method"),
        *numbers("T", "weight", "noise", "seed", show=_general, **_SHORT),
        TableColumn("state", "text", lambda row: TableCell(row["state"], flagged=row["state"] == "failed")),
        *numbers("steps"),
        TableColumn("kept step", show=_kept_step),
        *numbers("learning rate", show=_general),
        *numbers("target tokens"),
        *numbers("validation loss", show=lambda value: decimal(value, 3)),
    )
    return Table.of(
        records(tables.cells),
        columns,
        key="cells",
        title="Cells",
        notes=("A cell is one model trained once, with one seed.",),
        source="cells",
        empty="The study has no cells.",
    )


_SHORT = {"T": "kd_temperature", "weight": "kd_weight", "noise": "teacher_noise_std"}


def _general(value: Any) -> TableCell:
    """As few digits as tell the number."""
    if is_missing(value):
        return TableCell(MISSING)
    return TableCell(f"{value:g}".replace("-", "\u2212"), value=float(value))


def _kept_step(row: Row) -> TableCell:
    kept = number(row["kept_step"])
    in_warm_start = not is_missing(row["distilled"]) and not row["distilled"]
    return replace(kept, text=f"{kept.text} (warm start)", flagged=True) if in_warm_start else kept


def paper_training(tables: ReportTables) -> Table:
    """One row per trained cell: its size, and what training took."""
    rows = tables.cells[tables.cells["method"] != BASE]
    data = tables.with_names(rows[rows[list(_COST)].notna().any(axis=1)])
    columns = (
        *texts("model", "trained with"),
        *numbers("parameters", "trained", show=_short, trained="trained_parameters"),
        *numbers("steps"),
        *numbers("target tokens", show=_short),
        *numbers("seconds", seconds="training_seconds"),
        *numbers("peak memory", show=_gigabytes, peak_memory="peak_memory_bytes"),
        *numbers("validation loss", show=lambda value: number(value, 3)),
    )
    return Table.of(
        records(data),
        columns,
        key="training",
        title="What training took",
        notes=(
            "Target tokens are those a loss was taken on. Peak memory is the process's, in gigabytes (10^9 bytes).",
        ),
        names=2,
        data=data,
    )


def _short(value: Any) -> TableCell:
    return TableCell(short_count(value))


def _gigabytes(value: Any) -> TableCell:
    return number(None if is_missing(value) else value / 1e9, 1)


def paper_ablations(tables: ReportTables, scoring: str) -> Iterator[Table]:
    """One table for each setting in which otherwise equal students differ; then the repeats over seeds."""
    gains = pooled(select(tables.gains, scoring=scoring))
    rows = records(gains.merge(tables.cells, on="cell", how="inner", validate="many_to_one"))
    for setting, key, title, heading in _ABLATIONS:
        yield _ablation(rows, setting, key, title, heading)
    yield _seeds(tables, scoring)


def _ablation(rows: Sequence[Row], setting: str, key: str, title: str, heading: str) -> Table:
    groups = [group for group in _alike(rows, setting) if len({row[setting] for row in group}) > 1]
    levels = sorted({row[setting] for group in groups for row in group})
    named = {"teacher", "teacher_condition", "kd_temperature", "kd_weight", "teacher_noise_std", "seed"}
    named = _differing(named - {setting}, [row for group in groups for row in group])
    body = []
    for group in groups:
        by_level = {row[setting]: row for row in group}
        of_levels = (gain(by_level[one]) if one in by_level else TableCell(MISSING) for one in levels)
        body.append((text(group[0]["student"]), text(_trained_with(group[0], named)), *of_levels))
    columns = ["cell", "control", *_SETTINGS, "items", *_TEST_OF_GAIN]
    data = [{name: row[name] for name in columns} for group in groups for row in group]
    return Table(
        key=key,
        title=f"{title}, in percentage points",
        notes=(
            "Over all items together, in brackets 95% intervals. Each interval is about one gain; none tests the "
            "difference between two.",
        ),
        columns=(*texts("student", "trained with"), *numbers(*(heading.format(level) for level in levels))),
        rows=tuple(body),
        names=2,
        data=pd.DataFrame(data, columns=columns),
    )


def _seeds(tables: ReportTables, scoring: str) -> Table:
    """Students that were trained with two or more seeds: mean and standard deviation over them."""
    mean = {row["cell"]: row["accuracy"] for row in records(averages(tables, scoring))}
    gains = {row["cell"]: row["gain"] for row in records(pooled(select(tables.gains, scoring=scoring)))}
    trained = records(tables.cells[tables.cells["role"] == "student"])
    groups = [group for group in _alike(trained, "seed") if sum(row["cell"] in mean for row in group) > 1]
    named = _differing(_SETTINGS[3:-1], trained)
    repeats = []
    for group in groups:
        accuracy, gained = ([known[row["cell"]] for row in group if row["cell"] in known] for known in (mean, gains))
        who = {"student": tables.names[group[0]["cell"]].model, "trained_with": _trained_with(group[0], named)}
        repeats.append({**who, **_spread(accuracy, gained)})
    columns = (
        *texts("student", "trained with"),
        *numbers("seeds"),
        *numbers("accuracy", "SD", show=_percent, SD="accuracy_sd"),
        *numbers("gain", show=_points),
        *numbers("SD", show=_percent, SD="gain_sd"),
        *numbers("lowest", "highest", show=_points, lowest="gain_low", highest="gain_high"),
    )
    return Table.of(
        repeats,
        columns,
        key="seeds",
        title="Repeats: mean and standard deviation over training seeds",
        notes=("Accuracy is the mean over tasks in percent; the gain is that over SFT of the same seed, in points.",),
        names=2,
        data=pd.DataFrame(repeats),
    )


def _percent(value: Any) -> TableCell:
    return TableCell(percent(value))


def _points(value: Any) -> TableCell:
    return TableCell(points(value))


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


def _alike(rows: Sequence[Row], but: str) -> list[list[Row]]:
    """Rows that share every setting but one, which they have."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if not is_missing(row[but]):
            groups.setdefault(tuple(str(row[name]) for name in _SETTINGS if name != but), []).append(row)
    return list(groups.values())


def _differing(settings: Iterable[str], rows: Sequence[Row]) -> set[str]:
    return {name for name in settings if len({row[name] for row in rows if not is_missing(row[name])}) > 1}


def _trained_with(row: Row, named: set[str]) -> str:
    variant = row["variant"]
    method = str(row["method"]) if is_missing(variant) or not variant else f"{row['method']}-{variant}"
    return ", ".join([method, *setting_words(row, named)])

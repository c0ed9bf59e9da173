"""The models of a tidy table of results as the cells of a study: one of each that the table has a row of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from kdscope.protocols.published_gains import model_size
from kdscope.results.column_names import ADAPTED, ANY_FAMILY, BASE, SFT, UNADAPTED, is_distilled
from kdscope.results.formatting import is_missing
from kdscope.results.methods import ADAPT
from kdscope.results.tables import records

_EMPTY = (
    *("cause", "kd_weight", "teacher_noise_std", "trained_parameters"),
    *("steps", "target_tokens", "validation_loss"),
)
Key = tuple[str, ...]
PAIR = "any method"
"""The variant of a cell that stands for every way of distilling a student from a teacher."""


@dataclass(frozen=True)
class Cells:
    """The cells of one domain.

    Attributes:
        frame: Table `cells` of a report.
        labels: The label of every model by `model_key`.
        teachers: The label of every teacher by name and condition.
    """

    frame: pd.DataFrame
    labels: Mapping[Key, str]
    teachers: Mapping[tuple[str, str], str]


def find_cells(table: pd.DataFrame) -> Cells:
    """The cells of the rows of one domain: teachers first, then student by student in the table's order.

    A teacher is a cell of its own: what the table tells of it as a fine-tuned (or untrained) model is its accuracy.
    """
    names = _Labels()
    rows: list[dict[str, Any]] = []
    teachers: dict[tuple[str, str], str] = {}
    for name, condition in _teachers(table):
        label = names.new(f"teacher/{name}" if condition == ADAPTED else f"teacher/{name}@{condition}")
        teachers[name, condition] = label
        method = ADAPT if condition == ADAPTED else BASE
        rows.append(_row(label, "teacher", method, name, teacher=name, teacher_condition=condition))
    labels: dict[Key, str] = {}
    for row in _models(table, {name for name, _ in teachers}):
        label = labels[model_key(row)] = names.new(_label(row))
        role = "base" if row["method"] == BASE else "student"
        told = _teaching(row) if row["method"] not in (SFT, BASE) else {}
        rows.append(_row(label, role, row["method"], row["student"], student=row["student"], seed=_seed(row), **told))
    return Cells(pd.DataFrame(rows), labels, teachers)


def model_key(row: Mapping[str, Any]) -> Key:
    """What tells the models of a domain apart. A control has no teacher, whoever it is compared with."""
    own = (row["student"], row["method"], row["seed"])
    if row["method"] in (SFT, BASE):
        return tuple(map(str, own))
    return tuple(map(str, (*own, row["teacher"], row["teacher_condition"], row["temperature"])))


def _teachers(table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Every teacher, adapted and, where the table has it untrained or teaching so, as it came."""
    untrained = set(table.loc[table["method"] == BASE, "student"])
    unadapted = set(table.loc[table["teacher_condition"] == UNADAPTED, "teacher"])
    for name in dict.fromkeys(name for name in table["teacher"] if name):
        yield name, ADAPTED
        if name in untrained | unadapted:
            yield name, UNADAPTED


def _models(table: pd.DataFrame, teachers: set[str]) -> Iterator[dict[str, Any]]:
    """A row of every student, its untrained model and control first; models that only teach are no students."""
    students = set(table.loc[is_distilled(table), "student"])
    known: dict[str, dict[Key, dict[str, Any]]] = {}
    for row in records(table):
        if row["student"] in students or row["student"] not in teachers:
            known.setdefault(row["student"], {}).setdefault(model_key(row), row)
    first = {BASE: 0, SFT: 1}
    for models in known.values():
        yield from sorted(models.values(), key=lambda row: first.get(row["method"], 2))


def _label(row: Mapping[str, Any]) -> str:
    seed = f"/s{row['seed']}" if row["seed"] else ""
    if row["method"] in (SFT, BASE):
        return f"{row['student']}/{row['method']}{seed}"
    temperature = "" if is_missing(row["temperature"]) else f"-T{row['temperature']:g}"
    teacher = f"/{row['teacher']}" if row["teacher"] else ""
    condition = f"@{UNADAPTED}" if row["teacher_condition"] == UNADAPTED else ""
    return f"{row['student']}/{row['method']}{temperature}{teacher}{condition}{seed}"


def _teaching(row: Mapping[str, Any]) -> dict[str, Any]:
    condition = row["teacher_condition"] if row["teacher_condition"] in (ADAPTED, UNADAPTED) else None
    variant = PAIR if row["family"] == ANY_FAMILY else None
    told = {"teacher": row["teacher"] or None, "teacher_condition": condition, "variant": variant}
    return {**told, "kd_temperature": row["temperature"]}


def _seed(row: Mapping[str, Any]) -> int | None:
    return int(row["seed"]) if str(row["seed"]).lstrip("-").isdecimal() else None


def _row(label: str, role: str, method: str, model: str, **told: Any) -> dict[str, Any]:
    size = model_size(model)
    plain = dict.fromkeys(("student", "teacher", "teacher_condition", "variant", "seed", *_EMPTY))
    parameters = None if np.isnan(size) else round(size * 1e9)
    named = {"cell": label, "role": role, "method": method, "state": "done", "parameters": parameters}
    return {**plain, "kd_temperature": None, **named, **told}


@dataclass
class _Labels:
    """Labels, none of them twice: names may hold what labels are made with."""

    taken: set[str] = field(default_factory=set)

    def new(self, wanted: str) -> str:
        label, number = wanted, 1
        while label in self.taken:
            number += 1
            label = f"{wanted} ({number})"
        self.taken.add(label)
        return label

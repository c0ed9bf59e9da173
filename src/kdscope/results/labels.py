"""Short names of cells: method and variant, and only those other settings in which the study's cells differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from kdscope.results.formatting import is_missing
from kdscope.results.methods import BASE

_SETTINGS: tuple[tuple[str, Callable[[object], str]], ...] = (
    ("kd_temperature", lambda value: f"T={value:g}"),
    ("kd_weight", lambda value: "" if value == 1 else f"w={value:g}"),
    ("teacher_noise_std", lambda value: "" if value == 0 else f"noise {value:g}"),
    ("teacher", str),
    ("teacher_condition", lambda value: "" if value == "adapted" else "unadapted teacher"),
    ("seed", lambda value: f"seed {value}"),
)


@dataclass(frozen=True)
class CellName:
    """How a cell is called on the page: `model` heads a panel, `short` is its row in it.

    `setting` is `short` without the training seed: what cells share that are runs of the same training.
    """

    cell: str
    role: str
    model: str
    method: str
    short: str
    setting: str


def name_cells(cells: pd.DataFrame) -> dict[str, CellName]:
    """A name for every cell, in the table's order; `short` is unique among the cells of one model.

    Settings are mentioned where at least two trained students (or two teachers) differ in them.
    """
    names: dict[str, CellName] = {}
    for is_teacher in (False, True):
        part = cells[(cells["role"] == "teacher") == is_teacher]
        told = differing(part[part["role"] != "base"])
        for record in part.to_dict("records"):
            names[record["cell"]] = _name(record, told - {"teacher"} if is_teacher else told)
    _make_unique(names)
    return {cell: names[cell] for cell in cells["cell"]}


def students(names: Mapping[str, CellName]) -> list[str]:
    """The students' names in the study's order."""
    return list(dict.fromkeys(name.model for name in names.values() if name.role != "teacher"))


def differing(cells: pd.DataFrame) -> set[str]:
    """The settings in which these cells are not all alike."""
    return {column for column, _ in _SETTINGS if cells[column].nunique(dropna=True) > 1}


def setting_words(record: Mapping[Any, Any], told: Set[str]) -> list[str]:
    """Those of a cell's settings that are to be told and that it has, as names show them.

    What is usual goes without saying: an adapted teacher, full weight, no noise.
    """
    words = [show(record[column]) for column, show in _SETTINGS if column in told and not is_missing(record[column])]
    return [word for word in words if word]


def _name(record: Mapping[Any, Any], told: set[str]) -> CellName:
    role, method = str(record["role"]), str(record["method"])
    model = record["teacher"] if role == "teacher" else record["student"]
    variant = record.get("variant")
    first = method if is_missing(variant) or not variant else f"{method} {variant}"
    if role == "base" or (role == "teacher" and method == BASE):
        first = "untrained"
    elif role == "teacher":
        first = "adapted"
    told = told if role == "student" else told & {"seed"}
    return CellName(
        cell=str(record["cell"]),
        role=role,
        model=str(record["cell"]) if is_missing(model) else str(model),
        method=method,
        short=", ".join([first, *setting_words(record, told)]),
        setting=", ".join([first, *setting_words(record, told - {"seed"})]),
    )


def _make_unique(names: dict[str, CellName]) -> None:
    seen: dict[tuple[str, str], int] = {}
    for name in names.values():
        seen[name.model, name.short] = seen.get((name.model, name.short), 0) + 1
    for cell, name in names.items():
        if seen[name.model, name.short] > 1:
            names[cell] = replace(name, short=f"{name.short} ({cell})")

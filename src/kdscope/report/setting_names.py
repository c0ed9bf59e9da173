"""What rows of the statistics are about, matched to the cells that they are about, so that both have one name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kdscope.results.formatting import is_missing
from kdscope.results.labels import CellName
from kdscope.results.tables import ReportTables, records

_USUAL: Mapping[str, Any] = {"teacher_condition": "adapted", "kd_weight": 1.0, "teacher_noise_std": 0.0}


class Key(NamedTuple):
    """What a row of the statistics is about; `temperature` is empty where a method has none."""

    domain: str
    student: str
    teacher: str
    method: str
    temperature: str
    ablation: str


def not_distilled(tables: ReportTables) -> dict[str, int | None]:
    """Cells of students whose kept step lies in their warm start, with that step where it is known."""
    rows = tables.cells[~tables.cells["distilled"].fillna(True).astype(bool)]
    return {row["cell"]: None if is_missing(row["kept_step"]) else int(row["kept_step"]) for row in records(rows)}


class SettingNames:
    """The names of settings, and which of them were never distilled."""

    def __init__(self, tables: ReportTables) -> None:
        self.students = set(tables.cells["student"].dropna())
        self._names: dict[tuple[str, str, str, frozenset[str]], list[CellName]] = {}
        self._left_out = set(not_distilled(tables))
        names = tables.names
        for row in records(tables.cells[tables.cells["role"] == "student"]):
            teacher, temperature = plain_text(row["teacher"]), temperature_text(row["kd_temperature"])
            key = (str(row["student"]), teacher, temperature, _words_of(row))
            self._names.setdefault(key, []).append(names[row["cell"]])

    def of(self, key: Key) -> tuple[str, str]:
        """Name and method of a setting; the row's own words where no cell is of that setting."""
        found = self._names.get(_matching(key))
        if found:
            return found[0].setting, found[0].method
        at = f"T={key.temperature}" if key.temperature else ""
        return ", ".join(part for part in (key.method, at, key.ablation) if part), key.method.split(",")[0].split()[0]

    def was_distilled(self, key: Key) -> bool:
        """False where all cells of the setting were left in their warm start."""
        cells = self._names.get(_matching(key), [])
        return not cells or any(name.cell not in self._left_out for name in cells)


def _matching(key: Key) -> tuple[str, str, str, frozenset[str]]:
    words = frozenset(part for text in (key.method, key.ablation) for part in text.split(", ") if part)
    return key.student, key.teacher, key.temperature, words


def _words_of(row: Mapping[str, Any]) -> frozenset[str]:
    """Method, variant and what is unusual about a cell, in the words that the statistics use for it."""
    variant = plain_text(row["variant"])
    words = [f"{row['method']} {variant}" if variant else str(row["method"])]
    for name, usual in _USUAL.items():
        value = row[name]
        if is_missing(value) or value == usual:
            continue
        told = {"kd_weight": f"kd_weight {value}", "teacher_noise_std": f"noise {value}"}
        words.append(told.get(name, "unadapted teacher"))
    return frozenset(words)


def temperature_text(value: Any) -> str:
    """A temperature as keys have it; empty where there is none."""
    return "" if is_missing(value) else f"{value:g}"


def plain_text(value: Any) -> str:
    """A text of a table; empty where there is none."""
    return "" if is_missing(value) else str(value)

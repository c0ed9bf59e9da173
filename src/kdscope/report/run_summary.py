"""The summary after a run, in a terminal or as JSON: one row a setting over all its training runs, and the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kdscope.report.answer import answer
from kdscope.results.findings import Finding, Setting, Verdict, not_distilled, settings_of_cells
from kdscope.results.formatting import MISSING, p_value, percent
from kdscope.results.labels import CellName
from kdscope.results.methods import SFT
from kdscope.results.table import Table, TableCell, numbers, texts
from kdscope.results.tables import ReportTables, averages, records

_COLUMNS = (
    *texts("model", "how"),
    *numbers("runs", "accuracy %", "vs SFT, points", "adjusted p", "fidelity vs SFT", "inherited errors vs SFT"),
)
_UNITS = ("gain", "fidelity", "inherited")


def run_table(tables: ReportTables, scoring: str) -> Table:
    """The settings of a study, one row each, and one for every domain where there are several.

    Accuracy is the mean over tasks and over the runs that finished. Differences to the SFT control have simultaneous
    95% intervals where there are such. A setting whose runs all failed says so, and so does one that was not distilled.
    """
    rows = []
    known, left_out = _accuracies(tables, scoring), not_distilled(tables)
    failed = set(tables.cells.loc[tables.cells["state"] == "failed", "cell"])
    settings = settings_of_cells(tables)
    for name, cells in _runs_of_settings(tables):
        runs = [cell for cell in cells if cell not in failed]
        accuracies = [known[cell] for cell in runs if cell in known]
        accuracy = percent(float(np.mean(accuracies))) if accuracies else MISSING
        undistilled = bool(runs) and all(cell in left_out for cell in runs)
        how = f"{name.setting} (not distilled)" if undistilled else name.setting
        about = [name.model, how, str(len(runs)), accuracy if runs else "failed"]
        parts = [_differences(domain, setting) for domain, setting in settings.get(cells[0], [])] or [[MISSING] * 4]
        rows += [[*about, *parts[0]], *(["", "", "", "", *part] for part in parts[1:])]
    return Table("run", "Settings", _COLUMNS, tuple(tuple(map(TableCell, row)) for row in rows), names=2)


def run_numbers(tables: ReportTables, scoring: str) -> list[dict[str, Any]]:
    """The same for programs, one entry a cell: accuracy as a share, what the statistics say of its setting in points.

    ``settings`` has one entry a domain. None where nothing was measured.
    """
    known, left_out = _accuracies(tables, scoring), not_distilled(tables)
    states = dict(zip(tables.cells["cell"], tables.cells["state"], strict=True))
    settings = settings_of_cells(tables)
    return [
        {
            "cell": cell,
            "model": name.model,
            "how": name.short,
            "state": states[cell],
            "distilled": cell not in left_out if name.role == "student" and name.method != SFT else None,
            "accuracy": known.get(cell),
            "settings": [_numbers(setting) for _, setting in settings.get(cell, [])],
        }
        for cell, name in tables.names.items()
    ]


def run_answers(tables: ReportTables) -> list[str]:
    """The answer as the page has it: headline first."""
    answered = answer(tables)
    return [answered.headline, *answered.sentences]


def _runs_of_settings(tables: ReportTables) -> list[tuple[CellName, list[str]]]:
    """Every setting of a model, by the name of its first run, with the cells that are its runs."""
    rows: dict[tuple[str, str, str], tuple[CellName, list[str]]] = {}
    for cell, name in tables.names.items():
        rows.setdefault((name.role, name.model, name.setting), (name, []))[1].append(cell)
    return list(rows.values())


def _accuracies(tables: ReportTables, scoring: str) -> dict[str, float]:
    rows = averages(tables, scoring)
    return {str(row["cell"]): float(row["accuracy"]) for row in records(rows[rows["accuracy"].notna()])}


def _differences(domain: str, setting: Setting) -> list[str]:
    gain = setting.gain
    shown = MISSING if gain is None else gain.text
    adjusted = MISSING if gain is None or gain.verdict is Verdict.NO_CLAIM else p_value(gain.p_adjusted)
    others = (MISSING if part is None else part.text for part in (setting.fidelity, setting.inherited))
    return [f"{shown} ({domain})" if domain else shown, adjusted, *others]


def _numbers(setting: Setting) -> dict[str, Any]:
    gain = setting.gain
    row: dict[str, Any] = {
        "domain": setting.key.domain,
        "setting": setting.name,
        "scope": None if gain is None else gain.scope,
        "runs": None if gain is None else gain.runs,
        "control_runs": None if gain is None else gain.control_runs,
        "p_adjusted": None if gain is None else _number(gain.p_adjusted),
    }
    for name, part in zip(_UNITS, (gain, setting.fidelity, setting.inherited), strict=True):
        row |= _limits(name, part)
    return row


def _limits(name: str, finding: Finding | None) -> Mapping[str, float | None]:
    values: Sequence[float | None] = (None,) * 3 if finding is None else (finding.estimate, finding.low, finding.high)
    return {name: _number(values[0]), f"{name}_low": _number(values[1]), f"{name}_high": _number(values[2])}


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)

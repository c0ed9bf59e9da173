"""Cautions of the page: undistilled students, opposite tasks, failures, chance, unreadable answers, single seeds."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

import pandas as pd

from kdscope.figures.run import UNPARSED_LIMIT, answer_rates
from kdscope.results.findings import RUNS, student_findings
from kdscope.results.formatting import is_missing, joined, percent, plural, points
from kdscope.results.labels import CellName
from kdscope.results.measures import AVERAGES, POOLS
from kdscope.results.methods import SFT
from kdscope.results.tables import ReportTables, averages, records, select

_SHOWN = 5
_SHOWN_STUDENTS = 3


def cautions(tables: ReportTables, scoring: str) -> list[str]:
    """What a single number hides, and what makes it doubtful.

    Students that were never distilled come first, then tasks that went opposite ways and students worse than untrained,
    failed cells, results below chance, models whose answers often could not be read, and what one seed hides.
    """
    sentences = [
        _never_distilled(tables),
        _opposite_ways(tables, scoring),
        _below_untrained(tables, scoring),
        _failed(tables.cells),
        _below_chance(tables, scoring),
        _unparsed(tables, scoring),
        _seeds(tables),
    ]
    return [sentence for sentence in sentences if sentence]


def failures(cells: pd.DataFrame) -> list[tuple[str, str]]:
    """Label and cause of every failed cell."""
    failed = cells[cells["state"] == "failed"]
    return [
        (row["cell"], "no cause was recorded" if is_missing(row["cause"]) or not row["cause"] else row["cause"])
        for row in records(failed)
    ]


def never_distilled(tables: ReportTables) -> dict[str, int]:
    """Of runs of before the kept step was told: students left in their warm start, by cell, and the kept step.

    Such runs kept the lowest validation loss, so that it is read from the curves; `not_distilled` has others.
    """
    known = set(tables.cells.loc[tables.cells["distilled"].notna(), "cell"])
    kept_steps = {}
    for cell, steps in tables.training[~tables.training["cell"].isin(known)].groupby("cell", sort=False):
        taught = steps.loc[steps["divergence"].notna(), "step"]
        checked = steps[steps["validation_loss"].notna()].reset_index(drop=True)
        if taught.empty or checked.empty:
            continue
        kept = int(checked["step"].iloc[int(checked["validation_loss"].argmin())])
        if kept < taught.min():
            kept_steps[str(cell)] = kept
    return kept_steps


def _never_distilled(tables: ReportTables) -> str:
    if tables.cells["distilled"].notna().any():
        return ""  # told with the answer
    names = tables.names
    where = [
        f"{names[cell].model}, {names[cell].short} (step {step})" for cell, step in never_distilled(tables).items()
    ]
    if not where:
        return ""
    whose = "one student lies in its" if len(where) == 1 else f"{len(where)} students lies in their"
    return (
        f"The kept checkpoint of {whose} warm start: what was evaluated is fine-tuning up to there and says nothing of "
        f"the method: {joined(where, _SHOWN)}."
    )


def _opposite_ways(tables: ReportTables, scoring: str) -> str:
    """Distilled students with a task whose whole interval is above SFT and one whose is below, the widest apart first.

    What decides are the tasks' own item-level intervals, not adjusted for the number of tasks.
    """
    rows = select(tables.gains, scoring=scoring)
    of_cells: dict[str, list[dict[str, Any]]] = {}
    for row in records(rows[~rows["task"].isin((*AVERAGES, *POOLS))]):
        of_cells.setdefault(row["cell"], []).append(row)
    cases = []
    for cell, name in _distilled(tables).items():
        up = [row for row in of_cells.get(cell, ()) if row["low"] > 0]
        down = [row for row in of_cells.get(cell, ()) if row["high"] < 0]
        if up and down:
            best, worst = max(up, key=itemgetter("gain")), min(down, key=itemgetter("gain"))
            where = (
                f"from {points(worst['gain'])} points on {worst['task']} to {points(best['gain'])} on {best['task']}"
            )
            cases.append((float(best["gain"] - worst["gain"]), name, where))
    students = _likewise(cases, "tasks went opposite ways, {}", "likewise, {}")
    return (
        f"{students}: their mean describes neither (pointwise item-level intervals of single checkpoints)."
        if students
        else ""
    )


def _below_untrained(tables: ReportTables, scoring: str) -> str:
    """Distilled students that are right less often than before any training, the furthest below first."""
    known = _means(tables, scoring)
    untrained = tables.cells[tables.cells["role"] == "base"].drop_duplicates("student").set_index("student")["cell"]
    cases = []
    for cell, name in _distilled(tables).items():
        base = untrained.get(name.model)
        if base in known and cell in known and known[cell] < known[base]:
            numbers = f"({percent(known[cell])}% against {percent(known[base])}%)"
            cases.append((known[base] - known[cell], name, numbers))
    students = _likewise(cases, "below the untrained model {}", "likewise {}")
    return f"{students}." if students else ""


def _distilled(tables: ReportTables) -> dict[str, CellName]:
    """The names of the students that were trained with a method other than the control's."""
    return {cell: name for cell, name in tables.names.items() if name.role == "student" and name.method != SFT}


def _means(tables: ReportTables, scoring: str) -> dict[str, float]:
    """The mean accuracy over tasks of every evaluated cell; a study of one task has no row of means."""
    rows = averages(tables, scoring)
    if rows.empty:
        rows = select(tables.accuracy, scoring=scoring)
        rows = rows if rows["task"].nunique() == 1 else rows.iloc[:0]
    rows = rows[rows["accuracy"].notna()]
    return dict(zip(rows["cell"], rows["accuracy"].astype(float), strict=True))


def _likewise(cases: list[tuple[float, CellName, str]], first: str, others: str) -> str:
    """The students with their words, those with the largest number first."""
    ranked = sorted(cases, key=lambda entry: -entry[0])
    parts = [
        f"{name.model}, {name.short}: {(others if place else first).format(words)}"
        for place, (_, name, words) in enumerate(ranked)
    ]
    return joined(parts, _SHOWN_STUDENTS)


def _seeds(tables: ReportTables) -> str:
    trained = tables.cells[tables.cells["role"] == "student"]
    seeds = trained["seed"].dropna().nunique()
    if trained.empty:
        return ""
    if seeds <= 1:
        if any(gain.scope == RUNS for student in student_findings(tables) for gain in student.gains):
            return (
                "Every setting was trained once: the variation between training runs is estimated from settings that "
                "differ in more than chance, and item-level rows are about single checkpoints."
            )
        return (
            "Every model was trained once, with one seed: intervals cover the sampling of items, not the variation "
            "between training runs. Differences are between these checkpoints, not between methods."
        )
    return (
        f"Item-level rows compare each seed with the control of its own seed ({seeds} seeds); the largest of them is "
        "biased upwards. Claims about methods rest on all seeds together."
    )


def _failed(cells: pd.DataFrame) -> str:
    labels = [label for label, _ in failures(cells)]
    if not labels:
        return ""
    return (
        f"{plural(len(labels), 'cell')} did not finish; what such a cell did not answer is missing from every "
        f"comparison: {joined(labels, _SHOWN)}."
    )


def _below_chance(tables: ReportTables, scoring: str) -> str:
    rows = select(tables.accuracy, scoring=scoring)
    rows = rows[rows["below_chance"].fillna(False).astype(bool) & ~rows["task"].isin(AVERAGES)]
    if rows.empty:
        return ""
    where = [f"{row['cell']} on {row['task']} ({percent(row['accuracy'])}%)" for row in records(rows)]
    return (
        f"{plural(len(rows), 'result')} below chance, the whole 95% interval included, which points to answers "
        f"that lost their format: {joined(where, _SHOWN)}."
    )


def _unparsed(tables: ReportTables, scoring: str) -> str:
    rates = answer_rates(tables, scoring)
    rates = rates[rates["unparsed"] > UNPARSED_LIMIT].sort_values("unparsed", ascending=False, kind="stable")
    if rates.empty:
        return ""
    where = [f"{row['cell']} ({percent(row['unparsed'])}%)" for row in records(rates)]
    limit, many = f"{100 * UNPARSED_LIMIT:g}%", plural(len(rates), "model")
    return f"More than {limit} of the answers could not be read for {many}: {joined(where, _SHOWN)}."

"""What was done and what was reached, in a few sentences: no verdict, which is `answer`'s."""

from __future__ import annotations

import pandas as pd

from kdscope.report.contrasts import contrast_sentences
from kdscope.report.design import design_sentence
from kdscope.report.gains import pooled_gains
from kdscope.results.formatting import percent, plural
from kdscope.results.labels import CellName, students
from kdscope.results.measures import AVERAGES
from kdscope.results.methods import SFT
from kdscope.results.tables import ReportTables, averages, select


def summary_sentences(tables: ReportTables, scoring: str) -> list[str]:
    """What was done, why a student has no gain, what ablations of single checkpoints show, and accuracy levels."""
    names = tables.names
    gains = pooled_gains(tables, scoring, names)
    sentences = [_opening(tables, scoring, names), design_sentence(tables.cells)]
    trained = tables.cells[tables.cells["role"] == "student"]
    compared = {gain.name.model for gain in gains}
    without = [student for student in dict.fromkeys(trained["student"].dropna()) if student not in compared]
    sentences += [f"{student}: {_why_no_gain(trained[trained['student'] == student])}" for student in without]
    sentences += [*contrast_sentences(tables.cells, gains), _levels(tables, scoring, names)]
    return [sentence for sentence in sentences if sentence]


def _opening(tables: ReportTables, scoring: str, names: dict[str, CellName]) -> str:
    cells = tables.cells
    if cells.empty:
        return "The study has no cells, so there is nothing to report."
    trained = cells[cells["role"] == "student"]
    done = int((cells["state"] == "done").sum())
    made = f"{plural(len(students(names)), 'student')}, {plural(trained['method'].nunique(), 'method')}"
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


def _levels(tables: ReportTables, scoring: str, names: dict[str, CellName]) -> str:
    rows = averages(tables, scoring)
    rows = rows[rows["accuracy"].notna()]
    role = rows["cell"].map({cell: name.role for cell, name in names.items()})
    parts = []
    for who, noun in (("teacher", "teacher"), ("student", "trained student cell")):
        values = rows["accuracy"][role == who]
        if len(values):
            parts.append(f"{plural(len(values), noun)} {_span(values)}")
    return f"Accuracy, averaged over tasks: {', '.join(parts)}." if parts else ""


def _span(values: pd.Series) -> str:
    low, high = percent(float(values.min())), percent(float(values.max()))
    return f"{low}%" if low == high else f"{low}% to {high}%"

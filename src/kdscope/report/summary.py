"""The answer first: a few sentences that say what the tables allow, and no more.

The largest of several gains flatters itself, so its interval alone never decides: see `gains.Verdict`.
"""

from __future__ import annotations

import pandas as pd

from kdscope.report.contrasts import contrast_sentences
from kdscope.report.design import design_sentence
from kdscope.report.formatting import fixed, percent, plural, points
from kdscope.report.gains import Gain, Verdict, pooled_gains
from kdscope.report.labels import CellName, name_cells, students
from kdscope.report.panels import averages, pooled, select
from kdscope.report.schema import AVERAGES
from kdscope.report.tables import ReportTables, records


def summary_sentences(tables: ReportTables, scoring: str) -> list[str]:
    """What was done, for every student its best method, what ablations show, then accuracy and fidelity levels."""
    names = name_cells(tables.cells)
    gains = pooled_gains(tables, scoring, names)
    sentences = [_opening(tables, scoring, names), design_sentence(tables.cells)]
    trained = tables.cells[tables.cells["role"] == "student"]
    for student in dict.fromkeys(trained["student"].dropna()):
        own = [gain for gain in gains if gain.name.model == student]
        sentences.append(_about_student(student, own, trained[trained["student"] == student]))
    sentences += [*contrast_sentences(tables.cells, gains), _levels(tables, scoring, names), *_fidelity(tables)]
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


def _about_student(student: str, gains: list[Gain], cells: pd.DataFrame) -> str:
    if not gains:
        return f"{student}: {_why_no_gain(cells)}"
    established = [gain for gain in gains if gain.verdict is Verdict.BETTER]
    best = max(established or gains, key=lambda gain: gain.gain)
    others = "" if len(gains) == 1 else f" shown by an interval, of {len(gains)} comparisons"
    text = {
        Verdict.BETTER: f"{student}: {best.name.short} beat SFT, {best}; the largest gain{others}. "
        "Its interval excludes 0, and the adjusted p-value allows for the number of comparisons.",
        Verdict.ALONE: f"{student}: the largest gain over SFT is {best.name.short}'s, {best}. Its interval alone "
        "excludes 0, but allowing for the number of comparisons it does not establish a difference.",
        Verdict.UNCLEAR: _unclear(student, best, gains),
        Verdict.UNKNOWN: f"{student}: the largest gain over SFT is {best.name.short}'s, {best}, without an interval: "
        "nothing can be concluded from it.",
        Verdict.WORSE: f"{student}: every method was below SFT; the least far is {best.name.short}, {best}, and its "
        "interval excludes 0.",
    }[best.verdict]
    return text + _others_better(best, established) + _losses(best, gains) + _seed_range(best, gains, cells)


def _unclear(student: str, best: Gain, gains: list[Gain]) -> str:
    if all(gain.verdict is Verdict.UNCLEAR for gain in gains):
        return (
            f"{student}: no method's gain over SFT can be told from zero with {plural(best.items, 'item')}; "
            f"the largest is {best.name.short}'s, {best}."
        )
    return (
        f"{student}: no method is shown to beat SFT with {plural(best.items, 'item')}; the largest gain is "
        f"{best.name.short}'s, {best}, and its interval includes 0."
    )


def _others_better(best: Gain, established: list[Gain]) -> str:
    others = sorted((gain for gain in established if gain is not best), key=lambda gain: -gain.gain)
    return f" Also above SFT: {'; '.join(f'{gain.name.short}, {gain}' for gain in others)}." if others else ""


def _losses(best: Gain, gains: list[Gain]) -> str:
    worse = sorted((g for g in gains if g.verdict is Verdict.WORSE and g is not best), key=lambda gain: gain.gain)
    if not worse:
        return ""
    more = f", and {len(worse) - 3} more" if len(worse) > 3 else ""
    return f" Below SFT: {'; '.join(f'{gain.name.short}, {gain}' for gain in worse[:3])}{more}."


def _seed_range(best: Gain, gains: list[Gain], cells: pd.DataFrame) -> str:
    same = ["method", "variant", "teacher", "teacher_condition", "kd_temperature", "kd_weight", "teacher_noise_std"]
    settings = {row["cell"]: tuple(str(row[column]) for column in same) for row in records(cells)}
    alike = [gain.gain for gain in gains if settings[gain.name.cell] == settings[best.name.cell]]
    seeds = {row["seed"] for row in records(cells) if settings[row["cell"]] == settings[best.name.cell]}
    if len(alike) < 2 or len(alike) > len(seeds):
        return ""
    return f" Over its {len(alike)} seeds the gain ran from {points(min(alike))} to {points(max(alike))} points."


def _why_no_gain(cells: pd.DataFrame) -> str:
    control = cells[cells["method"] == "sft"]
    if control.empty:
        return "no gain can be computed, because the study trains no SFT control."
    if not (control["state"] == "done").any():
        return "no gain can be computed, because its SFT control failed."
    distilled = cells[cells["method"] != "sft"]
    if distilled.empty:
        return "only the SFT control was trained, so there is no gain to report."
    if not (distilled["state"] == "done").any():
        return "no gain can be computed, because every distilled student failed."
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


def _fidelity(tables: ReportTables) -> list[str]:
    parts = []
    for measure, title, scale in (
        ("agreement", "Agreement with the teacher", 100),
        ("bleu", "BLEU against its text", 1),
    ):
        pairs = fidelity_pairs(tables, measure) * scale
        if len(pairs):
            higher = int((pairs["cell"] > pairs["control"]).sum())
            unit = "%" if scale == 100 else ""
            parts.append(
                f"{title} was {fixed(pairs['cell'].mean())}{unit} for distilled students and "
                f"{fixed(pairs['control'].mean())}{unit} for their SFT controls "
                f"(higher in {higher} of {plural(len(pairs), 'pair')})"
            )
    told = [f"{'. '.join(parts)}. These are means without an interval: a description, not a test."] if parts else []
    return [*told, *likeness_sentences(tables)]


def likeness_sentences(tables: ReportTables) -> list[str]:
    """Where agreement lies between control and ceiling, and for how many students that is more than nothing."""
    rows = select(pooled(tables.fidelity), measure="agreement")
    rows = rows[rows["normalised"].notna()]
    if rows.empty:
        return []
    low, high = fixed(float(rows["normalised"].min()), 2), fixed(float(rows["normalised"].max()), 2)
    alike = int((rows["normalised_low"] > 0).sum())
    lay = f"was {low}" if low == high else f"lay between {low} and {high}"
    return [
        f"From their SFT control (0) to another run of their teacher (1), the agreement of "
        f"{plural(len(rows), 'distilled cell')} {lay}; for {alike} of them the whole 95% interval is above 0."
    ]


def fidelity_pairs(tables: ReportTables, measure: str) -> pd.DataFrame:
    """Pooled fidelity of each distilled student and of its SFT control to the same teacher.

    Columns cell and control; one row for every (cell, its control, teacher) measured on both sides.
    """
    known = select(pooled(tables.fidelity), measure=measure)
    known = known[known["value"].notna()][["cell", "teacher_cell", "value"]]
    matches = tables.gains[["cell", "control"]].drop_duplicates()
    pairs = matches.merge(known, on="cell").merge(
        known.rename(columns={"cell": "control", "value": "control_value"}), on=["control", "teacher_cell"]
    )
    return pd.DataFrame({"cell": pairs["value"], "control": pairs["control_value"]})

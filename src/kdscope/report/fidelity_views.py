"""Fidelity as tables: the measures that say most, each with what it must be read against; and the probes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kdscope.report.views import Entry, View
from kdscope.results import formatting
from kdscope.results.formatting import MISSING, is_missing, measured, percent, with_interval
from kdscope.results.measures import PAGE_MEASURES, describe_measure
from kdscope.results.tables import ReportTables, pooled, records


def fidelity_view(tables: ReportTables) -> View:
    """One row per student, teacher and measure, over all items."""
    rows = tables.named(pooled(tables.fidelity))
    rows = rows[rows["measure"].isin(PAGE_MEASURES) & rows["value"].notna()]
    return View(
        key="fidelity-table",
        title="Fidelity to the teacher, all items together",
        how_to_read="Shares in percent, BLEU from 0 to 100, divergences in nats. Levels rise with accuracy and with "
        "items of shared difficulty, also for a student that never saw the teacher: what counts is the difference to "
        "the control. Floor: student answers paired with those to other items. SFT: the control of the same student "
        "against the same teacher. Ceiling: another run of the teacher against itself. Normalised: 0 is the control, "
        "1 the ceiling. In brackets pointwise 95% intervals over items, of single checkpoints.",
        csv="fidelity",
        empty="No student has been compared with a teacher.",
        head=("cell", "teacher", "measure", "value", "floor", "SFT", "minus SFT", "ceiling", "normalised"),
        rows=tuple(_row(row) for row in records(rows)),
    )


def probes_view(tables: ReportTables) -> View:
    """One row per model, one column per probe, over all items."""
    rows = tables.named(pooled(tables.probes))
    measures = list(dict.fromkeys(rows["measure"]))
    body = []
    for cell, part in rows.groupby("cell", sort=False):
        by = {row["measure"]: row for row in records(part)}
        body.append((Entry(str(cell)), *(_share(by[name]) if name in by else Entry(MISSING) for name in measures)))
    return View(
        key="probes-table",
        title="Reasoning probed, percent",
        how_to_read="Early answer: how much the final answer depends on the trace (area over the curve of agreement "
        "as more of it is seen). Mistake changed: a wrong number in the trace changed the answer; no mistake is what "
        "changes without it. Finish: the model goes on from its own or its teacher's trace, cut. In brackets 95% "
        "intervals over items.",
        csv="probes",
        empty="No reasoning was probed.",
        head=("cell", *(describe_measure(name).label for name in measures)),
        rows=tuple(body),
    )


def _row(row: Mapping[str, Any]) -> tuple[Entry, ...]:
    measure = str(row["measure"])

    def show(value: float) -> str:
        return measured(measure, value)

    def entry(column: str) -> Entry:
        value = row[column]
        return Entry(MISSING) if is_missing(value) else Entry(show(value), repr(float(value)))

    value, normalised = row["value"], row["normalised"]
    shown = (
        with_interval(show(value), show(row["low"]), show(row["high"])) if not is_missing(row["low"]) else show(value)
    )
    score = Entry(MISSING)
    if not is_missing(normalised):
        limits = (formatting.fixed(row[name], 2) for name in ("normalised", "normalised_low", "normalised_high"))
        score = Entry(with_interval(*limits), repr(float(normalised)))
    name = Entry(describe_measure(measure).label)
    return (
        Entry(row["cell"]),
        Entry(row["teacher_cell"]),
        name,
        Entry(shown, repr(float(value))),
        *(entry(column) for column in ("floor", "control")),
        _over_control(row, show),
        entry("ceiling"),
        score,
    )


def _over_control(row: Mapping[str, Any], show: Callable[[float], str]) -> Entry:
    """The difference to the control, with its interval where it has one."""
    value = row["over_control"]
    if is_missing(value):
        return Entry(MISSING)
    shown = (_signed(row[name], show) for name in ("over_control", "over_control_low", "over_control_high"))
    return Entry(with_interval(*shown), repr(float(value)))


def _signed(value: float, show: Callable[[float], str]) -> str:
    if is_missing(value):
        return MISSING
    text = show(value)
    return f"+{text}" if value > 0 and any(digit in text for digit in "123456789") else text


def _share(row: Mapping[str, Any]) -> Entry:
    return Entry(with_interval(*(percent(row[name]) for name in ("value", "low", "high"))), repr(float(row["value"])))

"""The table of fidelity: each student between its SFT control and another run of its teacher."""

from __future__ import annotations

from typing import Any

from kdscope.report.paper import Column, PaperTable, Value, estimate, numbers, share, text, texts
from kdscope.report.paper_results import of_cells
from kdscope.results.formatting import fixed, is_missing, measured
from kdscope.results.measures import PAPER_MEASURES, describe_measure
from kdscope.results.tables import ReportTables, pooled, records


def fidelity_table(tables: ReportTables) -> PaperTable:
    """One row per distilled student and measure, over all items together; without controls every student's."""
    names = tables.names
    data = of_cells(pooled(tables.fidelity), names)
    data = data[data["value"].notna()].reset_index(drop=True)
    # A measure without a family comes from a table that knows nothing of families: then it is one of few.
    rows = data[data["measure"].isin(PAPER_MEASURES) | data["family"].isna()]
    rows = rows[rows["control"].notna()] if rows["control"].notna().any() else rows
    cells, measures = list(names), [*PAPER_MEASURES]
    order = [
        (cells.index(row["cell"]), measures.index(row["measure"]) if row["measure"] in measures else len(measures))
        for row in records(rows)
    ]
    ordered = [row for _, row in sorted(zip(order, records(rows), strict=True), key=lambda pair: pair[0])]
    return PaperTable(
        key="fidelity",
        title="Fidelity to the teacher, over all items together",
        notes=(
            "Levels rise with accuracy and with items of shared difficulty; what counts is the difference to the "
            "control. Floor: shuffled pairs of answers. SFT: the control of the same student. Ceiling: another run of "
            "the teacher. Normalised: 0 is the control, 1 the ceiling. In brackets 95% intervals. %: in percent.",
        ),
        columns=(*texts("model", "trained with", "measure"), *_NUMBERS),
        rows=tuple(_row(row) for row in ordered),
        names=3,
        data=data,
    )


_NUMBERS: tuple[Column, ...] = numbers("student", "floor", "SFT", "ceiling", "normalised")


def _row(row: dict[str, Any]) -> tuple[Value, ...]:
    measure = str(row["measure"])

    def show(value: Any) -> str:
        return measured(measure, value)

    entry = describe_measure(measure)
    title = (entry.paper or entry.label) + (" (%)" if entry.in_percent else "")
    return (
        *(text(value) for value in (row["model"], row["trained_with"], title)),
        estimate((row["value"], row["low"], row["high"]), show),
        *(Value(show(None if is_missing(row[name]) else row[name])) for name in ("floor", "control", "ceiling")),
        estimate(
            [row[name] for name in ("normalised", "normalised_low", "normalised_high")], lambda value: fixed(value, 2)
        ),
    )


def probes_table(tables: ReportTables) -> PaperTable:
    """What models answer from other traces: one row per model, task and probe."""
    data = of_cells(tables.probes, tables.names)
    body = tuple(
        (
            *(text(value) for value in (row["model"], row["trained_with"], row["task"])),
            text(describe_measure(str(row["measure"])).label),
            text(f"{row['items']:,}"),
            share(row, "value", "low", "high"),
        )
        for row in records(data)
    )
    return PaperTable(
        key="probes",
        title="Probes of reasoning, in percent",
        notes=("In brackets 95% intervals.",),
        columns=(*texts("model", "trained with", "task", "probe"), *numbers("items", "share")),
        rows=body,
        names=4,
        data=data,
    )

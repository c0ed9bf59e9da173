"""Tables of fidelity: every measure with what it must be read against, its parts in points, and the probes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kdscope.results.findings import Finding, findings_of
from kdscope.results.formatting import MISSING, fixed, is_missing, measured, p_value
from kdscope.results.hypotheses import FIDELITY, INHERITED, SHARED_RIGHT, SHARED_WRONG
from kdscope.results.measures import CARD_MEASURES, PAGE_MEASURES, PAPER_MEASURES, describe_measure, is_own
from kdscope.results.table import Row, Table, TableCell, TableColumn, estimate, number, numbers, share, texts
from kdscope.results.tables import ReportTables, pooled, records

_PARTS = (
    (FIDELITY, "beyond accuracy"),
    (SHARED_RIGHT, "of which both right"),
    (SHARED_WRONG, "of which wrong alike"),
    (INHERITED, "inherited errors"),
)


def _measured(value: str, *limits: str, heading: str = "", show: Callable[[str, Any], str] = measured) -> TableColumn:
    """A column of values on the scale of the row's measure, with limits where they are named."""

    def cell(row: Row) -> TableCell:
        three = [row[name] for name in (value, *limits)] if limits else [row[value], None, None]
        return estimate(three, partial(show, str(row["measure"])))

    return TableColumn(heading or value, show=cell)


def _signed(measure: str, value: float) -> str:
    text = measured(measure, value)
    return f"+{text}" if value > 0 and any(digit in text for digit in "123456789") else text


_VALUE = ("value", "low", "high")
_OVER_CONTROL = ("over_control", "over_control_low", "over_control_high")
_NORMALISED = TableColumn(
    "normalised",
    show=lambda row: estimate(
        [row[name] for name in ("normalised", "normalised_low", "normalised_high")], lambda value: fixed(value, 2)
    ),
)
_FLOOR, _CONTROL, _CEILING = _measured("floor"), _measured("control", heading="SFT"), _measured("ceiling")


def fidelity_overview(tables: ReportTables) -> Table:
    """The page's table: one row per student, teacher and measure, over all items."""
    rows = tables.named(pooled(tables.fidelity))
    rows = rows[
        (rows["measure"].isin(PAGE_MEASURES) | rows["measure"].map(is_own).astype(bool)) & rows["value"].notna()
    ]
    columns = (
        *texts("cell", "teacher", teacher="teacher_cell"),
        TableColumn("measure", "text", lambda row: TableCell(_label(row))),
        *(_measured(*_VALUE), _FLOOR, _CONTROL),
        *(_measured(*_OVER_CONTROL, heading="minus SFT", show=_signed), _CEILING, _NORMALISED),
    )
    return Table.of(
        records(rows),
        columns,
        key="fidelity-table",
        title="Fidelity to the teacher, all items together",
        notes=(
            "Shares in percent, BLEU from 0 to 100, divergences in nats. Levels rise with accuracy and with "
            "items of shared difficulty, also for a student that never saw the teacher: what counts is the difference "
            "to the control. Floor: student answers paired with those to other items. SFT: the control of the same "
            "student against the same teacher. Ceiling: another run of the teacher against itself. Normalised: 0 is "
            "the control, 1 the ceiling. In brackets pointwise 95% intervals over items, of single checkpoints.",
        ),
        source="fidelity",
        empty="No student has been compared with a teacher.",
    )


def paper_fidelity(tables: ReportTables) -> Table:
    """One row per distilled student and measure, over all items together; without controls every student's."""
    data = tables.with_names(pooled(tables.fidelity))
    data = data[data["value"].notna()].reset_index(drop=True)
    # A measure without a family comes from a table that knows nothing of families: then it is one of few.
    rows = data[data["measure"].isin(PAPER_MEASURES) | data["measure"].map(is_own).astype(bool) | data["family"].isna()]
    rows = rows[rows["control"].notna()] if rows["control"].notna().any() else rows
    cells, measures = ({name: place for place, name in enumerate(names)} for names in (tables.names, PAPER_MEASURES))
    ordered = sorted(records(rows), key=lambda row: (cells[row["cell"]], measures.get(row["measure"], len(measures))))
    columns = (
        *texts("model", "trained with"),
        TableColumn("measure", "text", lambda row: TableCell(_paper_label(row))),
        *(_measured(*_VALUE, heading="student"), _FLOOR, _CONTROL, _CEILING, _NORMALISED),
    )
    return Table.of(
        ordered,
        columns,
        key="fidelity",
        title="Fidelity to the teacher, over all items together",
        notes=(
            "Levels rise with accuracy and with items of shared difficulty; what counts is the difference to the "
            "control. Floor: shuffled pairs of answers. SFT: the control of the same student. Ceiling: another run of "
            "the teacher. Normalised: 0 is the control, 1 the ceiling. In brackets 95% intervals. %: in percent.",
        ),
        names=3,
        data=data,
    )


def card_fidelity(tables: ReportTables, cell: str, teacher: str) -> tuple[tuple[str, ...], ...]:
    """Rows of text of one student's card: measure, value, floor, control, minus the control's, ceiling, normalised."""
    rows = tables.fidelity[(tables.fidelity["cell"] == cell) & (tables.fidelity["teacher_cell"] == teacher)]
    known = {row["measure"]: row for row in records(pooled(rows)) if not is_missing(row["value"])}
    columns = (_measured(*_VALUE), _FLOOR, _CONTROL, _measured(*_OVER_CONTROL), _CEILING, _NORMALISED)
    return tuple(
        (describe_measure(measure).card, *(column.show(known[measure]).shown for column in columns))
        for measure in CARD_MEASURES
        if measure in known
    )


def fidelity_parts(tables: ReportTables) -> Table:
    """The page's table: one row per setting, fidelity against the control and its parts, and inherited errors."""
    findings = {name: {one.key: one for one in findings_of(tables, name)} for name, _ in _PARTS}
    keys = dict.fromkeys(key for parts in findings.values() for key in parts)
    several = len({key.domain for key in keys}) > 1
    body = []
    for key in keys:
        known = {name: parts[key] for name, parts in findings.items() if key in parts}
        first = next(iter(known.values()))
        about = [key.student, *([key.domain] if several else []), first.setting, key.teacher or MISSING]
        body.append((*map(TableCell, about), *(_difference(known.get(name)) for name, _ in _PARTS)))
    return Table(
        key="fidelity-parts",
        title="Fidelity against the control, points",
        notes=(
            "Beyond accuracy: agreement with the teacher minus what both accuracies give, minus the same of "
            "the SFT control. It is the sum of what both have right and what both have wrong alike. Inherited errors: "
            "share of same wrong answers among items that both have wrong, minus the control's. In brackets 95% "
            "intervals, simultaneous where the p-value is adjusted (p), pointwise where there is none.",
        ),
        columns=(
            *texts("student", *(["domain"] if several else []), "setting", "teacher"),
            *numbers(*(title for _, title in _PARTS)),
        ),
        rows=tuple(body),
        source="statistics",
        empty="No setting has a fidelity against a control.",
    )


def probes_overview(tables: ReportTables) -> Table:
    """The page's table: one row per model, one column per probe, over all items."""
    rows = tables.named(pooled(tables.probes))
    measures = list(dict.fromkeys(rows["measure"]))
    by_cell: dict[str, dict[str, Row]] = {}
    for row in records(rows):
        by_cell.setdefault(row["cell"], {})[row["measure"]] = row
    return Table(
        key="probes-table",
        title="Reasoning probed, percent",
        notes=(
            "Early answer: how much the final answer depends on the trace (area over the curve of agreement "
            "as more of it is seen). Mistake changed: a wrong number in the trace changed the answer; no mistake is "
            "what changes without it. Finish: the model goes on from its own or its teacher's trace, cut. In brackets "
            "95% intervals over items.",
        ),
        columns=(*texts("cell"), *numbers(*(describe_measure(name).label for name in measures))),
        rows=tuple(
            (
                TableCell(cell),
                *(share(by_probe[name], "value") if name in by_probe else TableCell(MISSING) for name in measures),
            )
            for cell, by_probe in by_cell.items()
        ),
        source="probes",
        empty="No reasoning was probed.",
    )


def paper_probes(tables: ReportTables) -> Table:
    """What models answer from other traces: one row per model, task and probe."""
    data = tables.with_names(tables.probes)
    columns = (
        *texts("model", "trained with", "task"),
        TableColumn("probe", "text", lambda row: TableCell(_label(row))),
        TableColumn("items", show=lambda row: number(row["items"])),
        TableColumn("share", show=lambda row: share(row, "value")),
    )
    return Table.of(
        records(data),
        columns,
        key="probes",
        title="Probes of reasoning, in percent",
        notes=("In brackets 95% intervals.",),
        names=4,
        data=data,
    )


def _label(row: Row) -> str:
    return describe_measure(str(row["measure"])).label


def _paper_label(row: Row) -> str:
    measure = describe_measure(str(row["measure"]))
    return (measure.paper or measure.label) + (" (%)" if measure.in_percent else "")


def _difference(finding: Finding | None) -> TableCell:
    if finding is None or is_missing(finding.estimate):
        return TableCell(MISSING)
    adjusted = (
        f" (p {p_value(finding.p_adjusted)})" if finding.simultaneous and not is_missing(finding.p_adjusted) else ""
    )
    return TableCell(finding.text + adjusted, value=finding.estimate)

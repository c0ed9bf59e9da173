"""What a reader must know before believing a number: computed from the tables."""

from __future__ import annotations

import pandas as pd

from kdscope.report.formatting import is_missing, percent, plural
from kdscope.report.panels import select
from kdscope.report.run_figures import UNPARSED_LIMIT, answer_rates
from kdscope.report.schema import AVERAGES
from kdscope.report.tables import ReportTables, records

_SHOWN = 5


def cautions(tables: ReportTables, scoring: str) -> list[str]:
    """Failed cells, results below chance, models whose answers often could not be read, and what one seed hides."""
    found = [_failed(tables.cells), _below_chance(tables, scoring), _unparsed(tables, scoring), _seeds(tables.cells)]
    return [sentence for sentence in found if sentence]


def failures(cells: pd.DataFrame) -> list[tuple[str, str]]:
    """Label and cause of every failed cell."""
    failed = cells[cells["state"] == "failed"]
    return [
        (row["cell"], "no cause was recorded" if is_missing(row["cause"]) or not row["cause"] else row["cause"])
        for row in records(failed)
    ]


def _seeds(cells: pd.DataFrame) -> str:
    trained = cells[cells["role"] == "student"]
    seeds = trained["seed"].dropna().nunique()
    if trained.empty:
        return ""
    if seeds <= 1:
        return (
            "Every model was trained once, with one seed. The intervals cover which items were asked, not how training "
            "could have gone: a gain belongs to these trained models, not yet to their methods."
        )
    return (
        f"Each seed is compared with the control of its own seed ({seeds} seeds), and the best of them flatters its "
        "method: look at the range over seeds."
    )


def _failed(cells: pd.DataFrame) -> str:
    labels = [label for label, _ in failures(cells)]
    if not labels:
        return ""
    return (
        f"{plural(len(labels), 'cell')} did not finish; what such a cell did not answer is missing from every "
        f"comparison: {_listed(labels)}."
    )


def _below_chance(tables: ReportTables, scoring: str) -> str:
    rows = select(tables.accuracy, scoring=scoring)
    rows = rows[rows["below_chance"].fillna(False).astype(bool) & ~rows["task"].isin(AVERAGES)]
    if rows.empty:
        return ""
    where = [f"{row['cell']} on {row['task']} ({percent(row['accuracy'])}%)" for row in records(rows)]
    return (
        f"{plural(len(rows), 'result')} below chance, the whole 95% interval included, which points to answers "
        f"that lost their format: {_listed(where)}."
    )


def _unparsed(tables: ReportTables, scoring: str) -> str:
    rates = answer_rates(tables, scoring)
    rates = rates[rates["unparsed"] > UNPARSED_LIMIT].sort_values("unparsed", ascending=False, kind="stable")
    if rates.empty:
        return ""
    where = [f"{row['cell']} ({percent(row['unparsed'])}%)" for row in records(rates)]
    limit = f"{100 * UNPARSED_LIMIT:g}%"
    return f"More than {limit} of the answers could not be read for {plural(len(rates), 'model')}: {_listed(where)}."


def _listed(parts: list[str]) -> str:
    more = [f"and {len(parts) - _SHOWN} more"] if len(parts) > _SHOWN else []
    return "; ".join([*parts[:_SHOWN], *more])

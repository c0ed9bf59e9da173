"""Tables of the statistics: results in their roles, sentences, what varies, and the tests of the published protocol."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from kdscope.results.column_names import AVERAGE
from kdscope.results.formatting import MISSING, fixed, is_missing
from kdscope.results.hypotheses import CONFIRMATORY, DETAIL, EXPLORATORY, SENSITIVITY, VARIANCE, hypothesis
from kdscope.results.measures import POOLS
from kdscope.results.table import (
    Row,
    Table,
    TableCell,
    TableColumn,
    decimal,
    estimate,
    numbers,
    p_value,
    text,
    texts,
)
from kdscope.results.tables import ReportTables, records, select

_ROLES = (
    ("statistics", "The primary question", (CONFIRMATORY,)),
    (
        "statistics_exploratory",
        "Exploratory questions, and the same with other choices",
        (EXPLORATORY, SENSITIVITY),
    ),
    ("statistics_detail", "The same by method or task: detail", (DETAIL,)),
)


def paper_statistics(tables: ReportTables) -> Iterator[Table]:
    """One table for each role of a result; then the sentences, and the tests of the published protocol."""
    for key, title, roles in _ROLES:
        yield _results(tables.statistics[tables.statistics["role"].isin(roles)], key, title)
    yield _sentences(tables.statistics)
    yield _published_tests(tables)


def _results(rows: pd.DataFrame, key: str, title: str) -> Table:
    tested = [row for row in records(rows) if not is_missing(row["p_value"])]
    # What is the same in every row is said once.
    same = {name: {str(row[name]) for row in tested} for name in ("domain", "task")}
    once = [f"{name}: {next(iter(values))}" for name, values in same.items() if len(values) == 1]
    where = [name for name, values in same.items() if len(values) > 1]
    columns = (
        *texts(*where),
        TableColumn("question", "text", lambda row: text(_question(row))),
        *texts("of", of="group"),
        TableColumn("n", show=lambda row: TableCell(_units(row))),
        TableColumn("estimate", show=_estimate),
        *numbers("p", "adjusted p", show=p_value, p="p_value", adjusted_p="p_adjusted"),
        *numbers("detectable", show=lambda value: TableCell("none" if value > 100 else fixed(value))),
    )
    return Table.of(
        tested,
        columns,
        key=key,
        title="; ".join([f"{title}: estimates in percentage points", *once]),
        notes=(
            "In brackets 95% intervals (90% for two methods alike), simultaneous within the family of the adjusted "
            "p-value where such are known. Adjusted p-values: Holm, within families of questions; Benjamini and "
            "Yekutieli for relations; max-T for single cells. Detectable: the smallest true difference found with "
            "probability .8; none where that is more than 100 points.",
        ),
        names=len(where) + 2,
        data=rows.reset_index(drop=True),
    )


def _question(row: Row) -> str:
    per = f" per {row['per']}" if _per(row) else ""
    return hypothesis(row["hypothesis"]).title + per


def _per(row: Row) -> str:
    return "" if is_missing(row["per"]) else str(row["per"])


def _units(row: Row) -> str:
    unit = "" if is_missing(row["unit"]) else str(row["unit"])
    return MISSING if is_missing(row["n"]) else f"{row['n']:,} {unit}".strip()


def _estimate(row: Row) -> TableCell:
    """With the simultaneous limits beside an adjusted p-value; the pointwise ones where there are no others."""
    limits = ("low_simultaneous", "high_simultaneous")
    limits = ("low", "high") if any(is_missing(row[name]) for name in limits) else limits
    decimals = 2 if _per(row) else 1

    def show(value: Any) -> str:
        return fixed(value, decimals)

    return estimate([row[name] for name in ("estimate", *limits)], show)


def _sentences(statistics: pd.DataFrame) -> Table:
    with_sentence = statistics[statistics["sentence"].notna()]
    rows = with_sentence[with_sentence["role"].isin((CONFIRMATORY, EXPLORATORY))]
    columns = (*texts("role"), TableColumn("result", "prose", lambda row: text(row["sentence"])))
    return Table.of(
        records(rows),
        columns,
        key="conclusions",
        title="What the statistics say, in sentences",
        data=rows[["role", "domain", "hypothesis", "group", "task", "sentence"]].reset_index(drop=True),
    )


def variance_table(tables: ReportTables) -> Table:
    """One row per component of variance: items, training runs of the control and of the others, tasks, methods."""
    rows = records(select(tables.statistics, hypothesis=VARIANCE))
    several = len({row["domain"] for row in rows}) > 1
    columns = (
        *([TableColumn("domain", "text", lambda row: _words(row["domain"]))] if several else []),
        TableColumn("component", "text", lambda row: TableCell(str(row["group"]))),
        TableColumn("SD, points", show=lambda row: decimal(row["estimate"])),
        *numbers("degrees of freedom", degrees_of_freedom="n"),
        TableColumn("note", "text", lambda row: _words(row["note"])),
    )
    return Table.of(
        rows,
        columns,
        key="variance",
        title="What varies",
        notes=(
            "Standard deviation of each component of the differences from SFT, in points. Components that "
            "could not be estimated have a dash.",
        ),
        source="statistics",
        empty="No variance components were estimated.",
    )


def _words(value: Any) -> TableCell:
    return TableCell("" if is_missing(value) else str(value))


def _tests_columns(decimals: int) -> tuple[TableColumn, ...]:
    return (
        *texts("hypothesis", "group", "task", "test"),
        *numbers("statistic", show=lambda value: decimal(value, decimals)),
        *numbers("p", show=p_value, p="p_value"),
        *numbers("n"),
    )


def published_tests_overview(tables: ReportTables) -> Table:
    """The page's table: the published tests over the whole grid."""
    columns = (*texts("protocol"), *_tests_columns(3))
    return Table.of(
        records(tables.tests),
        columns,
        key="tests-table",
        title="Published tests over the grid",
        notes=(
            "The tests of the published analysis, as published: p-values are not adjusted for their number, "
            "and the cells they treat as independent share students, teachers and items.",
        ),
        source="tests",
        empty="The grid is too small for the published tests, or none was run.",
    )


def _published_tests(tables: ReportTables) -> Table:
    """The published tests on the mean over tasks; on every task where there is no such mean."""
    overall = tables.tests[tables.tests["task"].isin((AVERAGE, *POOLS))]
    rows = overall if len(overall) else tables.tests
    columns = _tests_columns(2)
    return Table.of(
        records(rows),
        columns,
        key="published_tests",
        title="Tests of the published protocol, as published",
        notes=(
            "Not adjusted for their number, and cells that share controls count as independent: these p-values are "
            "too small.",
        ),
        names=4,
        data=rows.reset_index(drop=True),
    )

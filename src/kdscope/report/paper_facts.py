"""Tables beside the results: what the statistics say, what training took, what training sets hold of the items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from kdscope.report.paper import Column, PaperTable, Value, estimate, gain, number, numbers, p_value, share, text, texts
from kdscope.report.paper_results import of_cells
from kdscope.results.formatting import MISSING, fixed, is_missing, short_count
from kdscope.results.hypotheses import CONFIRMATORY, DETAIL, EXPLORATORY, SENSITIVITY, hypothesis
from kdscope.results.measures import POOLS
from kdscope.results.methods import BASE
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
_MEASURED = ("trained_parameters", "steps", "target_tokens", "training_seconds", "peak_memory_bytes")


def statistics_tables(tables: ReportTables) -> Iterator[PaperTable]:
    """One table for each role of a result; then the sentences, and the tests of the published protocol."""
    for key, title, roles in _ROLES:
        yield _statistics(tables.statistics[tables.statistics["role"].isin(roles)], key, title)
    yield _sentences(tables.statistics)
    yield published_tests_table(tables)


def _statistics(rows: pd.DataFrame, key: str, title: str) -> PaperTable:
    told = [row for row in records(rows) if not is_missing(row["p_value"])]
    # What is the same in every row is said once.
    same = {name: {str(row[name]) for row in told} for name in ("domain", "task")}
    once = [f"{name}: {next(iter(values))}" for name, values in same.items() if len(values) == 1]
    where = [name for name, values in same.items() if len(values) > 1]
    return PaperTable(
        key=key,
        title="; ".join([f"{title}: estimates in percentage points", *once]),
        notes=(
            "In brackets 95% intervals (90% for two methods alike), simultaneous within the family of the adjusted "
            "p-value where such are known. Adjusted p-values: Holm, within families of questions; Benjamini and "
            "Yekutieli for relations; max-T for single cells. Detectable: the smallest true difference found with "
            "probability .8; none where that is more than 100 points.",
        ),
        columns=(*texts(*where, "question", "of"), *numbers("n", "estimate", "p", "adjusted p", "detectable")),
        rows=tuple((*(text(row[name]) for name in where), *_statistics_row(row)) for row in told),
        names=len(where) + 2,
        data=rows.reset_index(drop=True),
    )


def _statistics_row(row: Mapping[str, Any]) -> tuple[Value, ...]:
    per = "" if is_missing(row["per"]) or not row["per"] else f" per {row['per']}"
    question = hypothesis(row["hypothesis"]).title + per
    decimals = 2 if per else 1

    def show(value: Any) -> str:
        return fixed(value, decimals)

    unit = "" if is_missing(row["unit"]) else str(row["unit"])
    count = MISSING if is_missing(row["n"]) else f"{row['n']:,} {unit}".strip()
    return (
        *(text(value) for value in (question, row["group"])),
        Value(count),
        estimate([row[name] for name in ("estimate", *_limits(row))], show),
        *(p_value(row[name]) for name in ("p_value", "p_adjusted")),
        Value("none" if row["detectable"] > 100 else fixed(row["detectable"])),
    )


def _limits(row: Mapping[str, Any]) -> tuple[str, str]:
    """The simultaneous limits beside an adjusted p-value; the pointwise ones where there are no others."""
    simultaneous = ("low_simultaneous", "high_simultaneous")
    return ("low", "high") if any(is_missing(row[name]) for name in simultaneous) else simultaneous


def _sentences(statistics: pd.DataFrame) -> PaperTable:
    told = select(statistics[statistics["sentence"].notna()])
    rows = told[told["role"].isin((CONFIRMATORY, EXPLORATORY))]
    return PaperTable(
        key="conclusions",
        title="What the statistics say, in sentences",
        notes=(),
        columns=(*texts("role"), Column("result", "prose")),
        rows=tuple((text(row["role"]), text(row["sentence"])) for row in records(rows)),
        names=1,
        data=rows[["role", "domain", "hypothesis", "group", "task", "sentence"]].reset_index(drop=True),
    )


def published_tests_table(tables: ReportTables) -> PaperTable:
    """The published tests on the mean over tasks; on every task where there is no such mean."""
    overall = tables.tests[tables.tests["task"].isin(("Average", *POOLS))]
    rows = overall if len(overall) else tables.tests
    return PaperTable(
        key="published_tests",
        title="Tests of the published protocol, as published",
        notes=(
            "Not adjusted for their number, and cells that share controls count as independent: these p-values are "
            "too small.",
        ),
        columns=(*texts("hypothesis", "group", "task", "test"), *numbers("statistic", "p", "n")),
        rows=tuple(
            (
                *(text(row[name]) for name in ("hypothesis", "group", "task", "test")),
                number(row["statistic"], 2),
                p_value(row["p_value"]),
                number(row["n"]),
            )
            for row in records(rows)
        ),
        names=4,
        data=rows.reset_index(drop=True),
    )


def training_table(tables: ReportTables) -> PaperTable:
    """One row per trained cell: its size, and what training took."""
    names = tables.names
    rows = tables.cells[tables.cells["method"] != BASE]
    rows = rows[rows[list(_MEASURED)].notna().any(axis=1)]
    data = of_cells(rows, names)
    return PaperTable(
        key="training",
        title="What training took",
        notes=(
            "Target tokens are those a loss was taken on. Peak memory is the process's, in gigabytes (10^9 bytes).",
        ),
        columns=(
            *texts("model", "trained with"),
            *numbers("parameters", "trained", "steps", "target tokens", "seconds", "peak memory", "validation loss"),
        ),
        rows=tuple(_training_row(row) for row in records(data)),
        names=2,
        data=data,
    )


def _training_row(row: Mapping[str, Any]) -> tuple[Value, ...]:
    memory = row["peak_memory_bytes"]
    return (
        *(text(row[name]) for name in ("model", "trained_with")),
        *(Value(short_count(row[name])) for name in ("parameters", "trained_parameters")),
        number(row["steps"]),
        Value(short_count(row["target_tokens"])),
        number(row["training_seconds"]),
        number(None if is_missing(memory) else memory / 1e9, 1),
        number(row["validation_loss"], 3),
    )


def contamination_tables(tables: ReportTables, scoring: str) -> Iterator[PaperTable]:
    """What training sets hold of the items, and the results with and without those items."""
    yield PaperTable(
        key="contamination",
        title="Evaluation items in the training sets",
        notes=(
            "Same question: letter case, punctuation and spacing aside. Near: one training example has at least half "
            "of the item's 8-grams of words. Some: it has any.",
        ),
        columns=(*texts("training set", "task"), *numbers("items", "same question", "near", "some")),
        rows=tuple(
            (
                *(text(row[name]) for name in ("training_set", "task")),
                *(number(row[name]) for name in ("items", "exact", "near", "some")),
            )
            for row in records(tables.contamination)
        ),
        names=2,
        data=tables.contamination,
    )
    yield _clean(tables, scoring)


def _clean(tables: ReportTables, scoring: str) -> PaperTable:
    data = of_cells(select(tables.clean, scoring=scoring), tables.names)
    return PaperTable(
        key="clean",
        title="Results with and without the items that training sets hold",
        notes=("Accuracy in percent, gain over SFT in percentage points with its 95% interval.",),
        columns=(
            *texts("model", "trained with", "task"),
            *numbers("items", "accuracy", "gain", "clean items", "accuracy on them", "gain on them"),
        ),
        rows=tuple(
            (
                *(text(row[name]) for name in ("model", "trained_with")),
                text("all items" if row["task"] in POOLS else row["task"]),
                *(value for part in ("all", "clean") for value in _clean_values(row, part)),
            )
            for row in records(data)
        ),
        names=3,
        data=data,
    )


def _clean_values(row: Mapping[str, Any], part: str) -> tuple[Value, Value, Value]:
    return (
        number(row[f"items_{part}"]),
        share(row, f"accuracy_{part}"),
        gain(row, *(f"{name}_{part}" for name in ("gain", "low", "high"))),
    )

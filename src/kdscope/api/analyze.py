"""Statistics of a run, or of a table of results: a published study's, or a person's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pandas as pd

from kdscope.errors import DataError
from kdscope.evaluation.conclusions import NEEDED_COLUMNS, draw_conclusions, load_questions
from kdscope.evaluation.run_records import read_run_records
from kdscope.evaluation.tidy_results import tidy_results
from kdscope.pipeline.files import explained
from kdscope.report.tables import load_tables
from kdscope.statistics.published import PUBLISHED_STUDIES, load_published, published_protocol
from kdscope.statistics.published_claims import compare_with_abstract, published_claims
from kdscope.statistics.rigorous import rigorous_protocol
from kdscope.statistics.table_units import Unit
from kdscope.statistics.tables import read_results_table, results_table

Protocol = Literal["published", "rigorous"]


@dataclass(frozen=True)
class Analysis:
    """What a table of results says.

    Attributes:
        table: The results, tidy, in percent.
        statistics: Every test: protocol, domain, hypothesis, group, task, test, statistic, p_value, n; the rigorous
            protocol adds estimate, low, high, p_adjusted, note, unit, per, role, detectable and margin.
        claims: The numbers behind claims: domain, claim, subject, task, value, low, high, n, definition.
        abstract: A published study's own words beside its tables; None for any other table.
        warnings: What limits conclusions.
        files: What was written.
    """

    table: pd.DataFrame
    statistics: pd.DataFrame
    claims: pd.DataFrame
    abstract: pd.DataFrame | None
    warnings: tuple[str, ...]
    files: tuple[Path, ...] = ()


def analyze_table(
    path: Path | None = None,
    *,
    published: str | None = None,
    protocol: Protocol = "rigorous",
    unit: Unit = "auto",
    temperature: float | None = None,
    margin: float | None = None,
    out: Path | None = None,
) -> Analysis:
    """Statistics of a run or of a table of results.

    Args:
        path: The folder of a run, or a tidy table: CSV, TSV or parquet.
        published: A published study that comes with kdscope, instead of a file.
        protocol: published: the tests of arXiv 2505.15442 as its authors ran them; rigorous: the same questions, asked
            so that the answers can be relied on.
        unit: Unit of the file's values.
        temperature: Of the primary question, chosen before looking; the run's own, or 1, unless told.
        margin: Methods closer than this, in percentage points, count as equal; the run's own, or 1, unless told.
        out: Folder for statistics.csv, claims.csv, table.csv and, for a published study, abstract.csv.

    Raises:
        DataError: The run or the table cannot be used, or neither or both of path and study are given.
        StatisticsError: No published study has that name, or there is nothing to compare.
    """
    if (path is None) == (published is None):
        known = ", ".join(PUBLISHED_STUDIES)
        raise DataError(f"give a run, a table of results or a published study (there is {known})")
    if path is not None and Path(path).is_dir():
        found = _of_run(Path(path), protocol, temperature, margin)
    elif path is not None:
        read = read_results_table(path, unit=unit)
        found = _of_table(read.table, read.warnings, protocol, temperature, margin)
    else:
        found = _of_table(load_published(str(published)), (), protocol, temperature, margin)
        found = replace(found, abstract=compare_with_abstract(found.claims))
    return found if out is None else _written(found, out)


def _of_table(
    table: pd.DataFrame, warnings: Sequence[str], protocol: Protocol, temperature: float | None, margin: float | None
) -> Analysis:
    if protocol == "published":
        statistics = published_protocol(table)
    else:
        given = {"temperature": temperature, "margin": margin}
        statistics = rigorous_protocol(table, **{name: value for name, value in given.items() if value is not None})
    return Analysis(table, statistics, published_claims(table), None, tuple(warnings))


def _of_run(folder: Path, protocol: Protocol, temperature: float | None, margin: float | None) -> Analysis:
    """A run's item records for the rigorous protocol, its accuracies for the published one."""
    questions = load_questions(folder / "tables" / "questions.json")
    given = {"primary_temperature": temperature, "equivalence_margin": margin}
    questions = replace(questions, **{name: value for name, value in given.items() if value is not None})
    tables = load_tables(folder / "tables")
    results = tidy_results(tables.cells, tables.accuracy, tables.fidelity, questions, folder.resolve().name)
    read = results_table(results, file=folder, unit="percent")
    if protocol == "published":
        return _of_table(read.table, read.warnings, protocol, temperature, margin)
    records = read_run_records(folder / "records", NEEDED_COLUMNS, tasks=questions.tasks)
    statistics = draw_conclusions(records, tables.cells, questions)
    return Analysis(read.table, statistics, published_claims(read.table), None, read.warnings)


def _written(found: Analysis, folder: Path) -> Analysis:
    tables = {"statistics": found.statistics, "claims": found.claims, "table": found.table, "abstract": found.abstract}
    files = []
    with explained("write the analysis", folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            if table is not None:
                table.to_csv(folder / f"{name}.csv", index=False)
                files.append(folder / f"{name}.csv")
    return replace(found, files=tuple(files))

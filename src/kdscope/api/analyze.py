"""Statistics of tables of results: a published study's, or a person's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from kdscope.errors import DataError
from kdscope.pipeline.files import explained
from kdscope.statistics.published import PUBLISHED_STUDIES, load_published, published_protocol
from kdscope.statistics.published_claims import compare_with_abstract, published_claims
from kdscope.statistics.rigorous import rigorous_protocol
from kdscope.statistics.table_units import Unit
from kdscope.statistics.tables import read_results_table

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
    out: Path | None = None,
) -> Analysis:
    """Statistics of a table of results.

    Args:
        path: A tidy table: CSV, TSV or parquet.
        published: A published study that comes with kdscope, instead of a file.
        protocol: published: the tests of arXiv 2505.15442 as its authors ran them; rigorous: the same questions, asked
            so that the answers can be relied on.
        unit: Unit of the file's values.
        out: Folder for statistics.csv, claims.csv, table.csv and, for a published study, abstract.csv.

    Raises:
        DataError: The table cannot be used, or neither or both of file and study are given.
        StatisticsError: No published study has that name.
    """
    if (path is None) == (published is None):
        known = ", ".join(PUBLISHED_STUDIES)
        raise DataError(f"give either a table of results or a published study (there is {known})")
    if path is not None:
        read = read_results_table(path, unit=unit)
        table, warnings = read.table, read.warnings
    else:
        table, warnings = load_published(str(published)), ()
    claims = published_claims(table)
    abstract = None if published is None else compare_with_abstract(claims)
    statistics = published_protocol(table) if protocol == "published" else rigorous_protocol(table)
    found = Analysis(table, statistics, claims, abstract, tuple(warnings))
    return found if out is None else _written(found, out)


def _written(found: Analysis, folder: Path) -> Analysis:
    tables = {"statistics": found.statistics, "claims": found.claims, "table": found.table, "abstract": found.abstract}
    files = []
    with explained("write the analysis", folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            if table is not None:
                table.to_csv(folder / f"{name}.csv", index=False)
                files.append(folder / f"{name}.csv")
    return Analysis(found.table, found.statistics, found.claims, found.abstract, found.warnings, tuple(files))

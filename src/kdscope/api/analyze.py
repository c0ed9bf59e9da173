"""Statistics of a run, or of a table of results: a published study's, or a person's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pandas as pd

from kdscope.api.study import planning_noise
from kdscope.core.errors import DataError
from kdscope.core.files import explained
from kdscope.evaluation.analysis_settings import AnalysisSettings, load_analysis_settings
from kdscope.evaluation.conclusions import NEEDED_COLUMNS, draw_conclusions
from kdscope.evaluation.records import read_run_records
from kdscope.evaluation.tidy_results import tidy_results
from kdscope.protocols.published import PUBLISHED_STUDIES, load_published, published_protocol
from kdscope.protocols.published_claims import Claim, compare_with_abstract, published_claims, reanalyse
from kdscope.protocols.results_table import ResultsTable, read_results_table, results_table
from kdscope.protocols.rigorous import rigorous_protocol
from kdscope.protocols.table_checks import Unit
from kdscope.protocols.table_runs import KnownNoise
from kdscope.results.csv_cells import write_csv
from kdscope.results.run_file import check_run_files, edited_tables
from kdscope.results.tables import ReportTables, load_tables
from kdscope.study.fields import Points, Temperature
from kdscope.study.problems import check_argument

_NOTHING = (
    "nothing is concluded: no student that was distilled has a control beside it (one whose kept step lies in its warm "
    "start counts as not distilled)"
)
Protocol = Literal["published", "rigorous"]


@dataclass(frozen=True)
class AnalysisResult:
    """What a table of results says.

    Attributes:
        table: The results, tidy, in percent.
        statistics: Every test: protocol, domain, hypothesis, group, task, test, statistic, p_value, n; the rigorous
            protocol adds estimate, low, high, p_adjusted, note, unit, per, role, detectable and margin.
        claims: The numbers behind claims: domain, claim, subject, task, value, low, high, n, definition.
        abstract: A published study's own words beside its tables; None for any other table.
        verdicts: A published study's claims, each by both protocols (`published_claims.TestedClaim`); None likewise.
        warnings: What limits conclusions.
        files: What was written.
    """

    table: pd.DataFrame
    statistics: pd.DataFrame
    claims: pd.DataFrame
    abstract: pd.DataFrame | None
    warnings: tuple[str, ...]
    files: tuple[Path, ...] = ()
    verdicts: pd.DataFrame | None = None


def analyze_table(
    path: Path | None = None,
    *,
    published: str | None = None,
    protocol: Protocol = "rigorous",
    unit: Unit = "auto",
    temperature: float | None = None,
    margin: float | None = None,
    run_sd: float | None = None,
    discordance: float | None = None,
    pilot: Path | None = None,
    out: Path | None = None,
) -> AnalysisResult:
    """Statistics of a run or of a table of results.

    Args:
        path: The folder of a run, or a tidy table: CSV, TSV or parquet.
        published: A published study that comes with kdscope, instead of a file.
        protocol: published: the tests of arXiv 2505.15442 as its authors ran them; rigorous: the same questions, asked
            so that the answers can be relied on.
        unit: Unit of the file's values.
        temperature: Of the primary question, chosen before looking; the run's own, or 1, unless told.
        margin: Methods closer than this, in percentage points, count as equal; the run's own, or 1, unless told.
        run_sd: Standard deviation between training runs in points, where it is known from elsewhere. It stands in where
            the results themselves do not tell.
        discordance: Share of items on which a distilled student and its control differ; with a column ``items`` it
            gives a table the error from items.
        pilot: The folder of a finished run that both are read from.
        out: Folder for statistics.csv, claims.csv, table.csv and, for a published study, abstract.csv and verdicts.csv.

    Raises:
        DataError: The run or the table cannot be used, or neither or both of path and study are given.
        StudyError: A number is out of its bounds; names the argument.
        StatisticsError: No published study has that name, or there is nothing to compare.
    """
    if (path is None) == (published is None):
        known = ", ".join(PUBLISHED_STUDIES)
        raise DataError(f"give a run, a table of results or a published study (there is {known})")
    check_argument(Temperature, temperature, "temperature")
    check_argument(Points, margin, "margin")
    noise = _known_noise(run_sd, discordance, pilot)
    if path is not None and Path(path).is_dir():
        found = _of_run(Path(path), protocol, temperature, margin, noise)
        found = replace(found, warnings=(*found.warnings, *edited_tables(Path(path))))
    elif path is not None:
        read = read_results_table(path, unit=unit)
        found = _of_table(read.table, read.warnings, protocol, temperature, margin, noise)
    else:
        found = _of_table(load_published(str(published)), (), protocol, temperature, margin, noise)
        found = replace(found, abstract=compare_with_abstract(found.claims))
        if protocol == "rigorous":
            found = replace(found, verdicts=reanalyse(published_protocol(found.table), found.statistics))
    return found if out is None else _written(found, out)


def _known_noise(run_sd: float | None, discordance: float | None, pilot: Path | None) -> KnownNoise:
    found = planning_noise(pilot, run_sd=run_sd, discordance=discordance)
    if pilot is None:
        return KnownNoise(run_sd, discordance=discordance)
    return KnownNoise(max(found.run_sd, found.control_sd or 0.0), found.run_df, found.discordance)


def _of_table(
    table: pd.DataFrame,
    warnings: Sequence[str],
    protocol: Protocol,
    temperature: float | None,
    margin: float | None,
    known: KnownNoise | None = None,
) -> AnalysisResult:
    if protocol == "published":
        statistics = published_protocol(table)
    else:
        _check_temperature(table["temperature"], temperature, "the table")
        asked = 1.0 if temperature is None else temperature
        margin = 1.0 if margin is None else margin
        statistics = rigorous_protocol(table, temperature=asked, margin=margin, known=known)
    return AnalysisResult(table, statistics, published_claims(table), None, tuple(warnings))


def _of_run(
    folder: Path, protocol: Protocol, temperature: float | None, margin: float | None, known: KnownNoise
) -> AnalysisResult:
    """A run's item records for the rigorous protocol, its accuracies for the published one."""
    check_run_files(folder, "tables/*.parquet", "tables/*.json", "records/*.parquet")
    if not (folder / "tables" / "questions.json").is_file():
        raise DataError(
            "not the folder of a finished run: it has no tables/questions.json. `kdscope run STUDY.yaml` makes one, "
            "and makes older ones anew without training anything again",
            file=folder,
        )
    questions = load_analysis_settings(folder / "tables" / "questions.json")
    tables = load_tables(folder / "tables")
    _check_temperature(tables.cells["kd_temperature"], temperature, folder)
    questions = replace(
        questions,
        primary_temperature=questions.primary_temperature if temperature is None else temperature,
        equivalence_margin=questions.equivalence_margin if margin is None else margin,
    )
    if protocol == "published":
        read = _results_of_run(folder, tables, questions)
        return _of_table(read.table, read.warnings, protocol, None, margin)
    answered = set(tables.accuracy["task"])
    asked = [task for task in questions.tasks if task in answered]
    if missing := [task for task in asked if not (folder / "records" / f"{task}.parquet").exists()]:
        raise DataError(
            f"the records of {', '.join(missing)} are missing; `kdscope run STUDY.yaml` writes them again",
            file=folder / "records",
        )
    statistics = draw_conclusions(
        read_run_records(folder / "records", NEEDED_COLUMNS, tasks=asked), tables.cells, questions, known
    )
    nothing = () if len(statistics) else (_NOTHING,)
    try:
        read = _results_of_run(folder, tables, questions)
    except DataError:  # what has no accuracies, or no cells as the published study knows them, has no such claims
        return AnalysisResult(pd.DataFrame(), statistics, pd.DataFrame(columns=list(Claim.__slots__)), None, nothing)
    return AnalysisResult(read.table, statistics, published_claims(read.table), None, (*nothing, *read.warnings))


def _results_of_run(folder: Path, tables: ReportTables, questions: AnalysisSettings) -> ResultsTable:
    statistics = tables.statistics
    results = tidy_results(tables.cells, tables.accuracy, tables.fidelity, questions, folder.resolve().name, statistics)
    return results_table(results, file=folder, unit="percent")


def _check_temperature(known: pd.Series, wanted: float | None, where: Path | str) -> None:
    """A temperature that nothing was distilled at would leave the question to what has none."""
    temperatures = sorted(set(known.dropna()))
    if wanted is not None and wanted not in temperatures:
        told = ", ".join(f"{value:g}" for value in temperatures) or "none at all"
        raise DataError(f"nothing was distilled at temperature {wanted:g}; there is {told}", file=where)


def _written(found: AnalysisResult, folder: Path) -> AnalysisResult:
    tables = {"statistics": found.statistics, "claims": found.claims, "table": found.table, "abstract": found.abstract}
    tables["verdicts"] = found.verdicts
    files = []
    with explained("write the analysis", folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            if table is not None:
                write_csv(table, folder / f"{name}.csv")
                files.append(folder / f"{name}.csv")
    return replace(found, files=tuple(files))

"""Reports and tables for papers: of a finished run, of a published study, of a person's own table of results."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from kdscope.core.characters import plain_line
from kdscope.core.errors import DataError
from kdscope.core.files import explained
from kdscope.protocols.published import PUBLISHED_STUDIES, load_published
from kdscope.protocols.results_table import read_results_table
from kdscope.protocols.table_checks import Unit
from kdscope.report.facts import PageFacts, load_facts, save_facts
from kdscope.report.page import write_page
from kdscope.report.paper import Format, write_exports
from kdscope.report.published import PUBLISHED, About, TableReport, table_reports, with_published_sizes, write_index
from kdscope.results.run_file import check_run_files, note_rewritten
from kdscope.results.tables import ReportTables, load_tables, save_tables

_MAKES = "`kdscope run STUDY.yaml` makes one, runs/NAME"


@dataclass(frozen=True)
class WrittenReport:
    """What was written about a table of results.

    Attributes:
        page: The page to open.
        folders: One for every domain, each with report.html and tables/, like the folder of a run.
        warnings: What limits conclusions.
    """

    page: Path
    folders: tuple[Path, ...]
    warnings: tuple[str, ...]


def write_report(run: Path, out: Path | None = None) -> Path:
    """Write the page of a finished run again, from its tables alone.

    Args:
        run: The folder of a run, runs/NAME.
        out: The page; report.html in that folder unless told. Its links to tables lead to those of the run.

    Returns:
        The page.

    Raises:
        DataError: The folder is not that of a finished run, or a file of it is damaged.
        StoreError: The page cannot be written.
    """
    run = Path(run)
    tables, facts = _read(run)
    page = run / "report.html" if out is None else Path(out)
    if page.is_dir():
        raise DataError("this is a folder; name the page, for example report.html in it", file=page)
    with explained("write the page", page):
        write_page(tables, facts, page, csv_folder=_address(run / "tables", page.parent))
        if out is None:
            note_rewritten(run, page.name)
    return page


def export_tables(run: Path, format: Format, out: Path | None = None) -> tuple[Path, ...]:  # noqa: A002
    """Write every table of a finished run as a paper wants it.

    Numbers are rounded, with their intervals and what is established marked; csv has them as they were computed.

    Args:
        run: The folder of a run, runs/NAME.
        format: latex (booktabs), markdown or csv.
        out: The folder; one of the format's name in the run's unless told.

    Returns:
        The files.

    Raises:
        DataError: The folder is not that of a finished run, a file of it is damaged, there is no such format, or
            nothing was measured.
        StoreError: A file cannot be written.
    """
    run = Path(run)
    tables, facts = _read(run)
    folder = run / str(format) if out is None else Path(out)
    with explained("write the tables", folder):
        return write_exports(tables, facts.scoring, facts.name, format, folder)


def report_table(
    path: Path | None = None, *, published: str | None = None, unit: Unit = "auto", out: Path | None = None
) -> WrittenReport:
    """Show a table of results as a study of one's own would be: the same page, the same tables.

    A table with several domains gets a report for each and a page in front of them. A column ``items`` (the size of
    each task's test set) gives its numbers intervals.

    Args:
        path: A tidy table: CSV, TSV or parquet (`protocols.results_table`).
        published: A published study that comes with kdscope, instead of a file.
        unit: Unit of the file's values.
        out: The folder; runs/NAME unless told.

    Raises:
        DataError: The table cannot be used, or neither or both of path and study are given.
        StatisticsError: No published study has that name.
        StoreError: A file cannot be written.
    """
    if (path is None) == (published is None):
        raise DataError(f"give a table of results or a published study (there is {', '.join(PUBLISHED_STUDIES)})")
    reports, about = _of_file(Path(path), unit) if path is not None else _of_study(str(published))
    folder = Path("runs") / about.name if out is None else Path(out)
    folders = tuple(folder / report.folder for report in reports) if len(reports) > 1 else (folder,)
    with explained("write the report", folder):
        for report, place in zip(reports, folders, strict=True):
            save_tables(report.tables, place / "tables")
            save_facts(report.facts, place / "tables" / "facts.json")
            write_page(report.tables, report.facts, place / "report.html")
        if len(reports) > 1:
            write_index(reports, about, folder / "report.html")
    warnings = dict.fromkeys(warning for report in reports for warning in report.facts.warnings)
    return WrittenReport(folder / "report.html", folders, tuple(warnings))


def _of_study(name: str) -> tuple[tuple[TableReport, ...], About]:
    table = with_published_sizes(load_published(name))
    return table_reports(table, PUBLISHED[name]), PUBLISHED[name]


def _of_file(path: Path, unit: Unit) -> tuple[tuple[TableReport, ...], About]:
    read = read_results_table(path, unit=unit)
    studies = list(dict.fromkeys(read.table["study"]))
    if len(studies) > 1:
        raise DataError(f"one study at a time; the table has {', '.join(map(str, studies))}", file=path)
    name = plain_line(path.name)
    about = About(plain_line(path.stem), f"The results in {name}.", {"source": name}, read.warnings)
    return table_reports(read.table, about), about


def _read(run: Path) -> tuple[ReportTables, PageFacts]:
    """The tables and facts of a run; what a folder lacks that is none."""
    tables = run / "tables"
    if not run.is_dir():
        found = "a file" if run.exists() else "no such folder"
        raise DataError(f"{found}; wanted is the folder of a run: {_MAKES}", file=run)
    check_run_files(run, "tables/*.parquet", "tables/*.json")
    if not (tables / "cells.parquet").is_file():
        raise DataError(f"not the folder of a finished run: it has no tables/cells.parquet; {_MAKES}", file=run)
    if not (tables / "facts.json").is_file():
        raise DataError(
            "this run was made before runs kept what their page says (tables/facts.json); run its study again, which "
            "repeats nothing that is done",
            file=run,
        )
    return load_tables(tables), load_facts(tables / "facts.json")


def _address(folder: Path, start: Path) -> str:
    """Where a folder is, for a link in a page that lies in another."""
    relative = Path(os.path.relpath(folder.resolve(), start.resolve())).as_posix()
    return f"{quote(relative)}/"

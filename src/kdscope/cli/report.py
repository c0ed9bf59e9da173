"""The page of a run again, and its tables for a paper."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from kdscope.cli.application import app, one_of


@app.command()
def report(
    run: Annotated[Path | None, typer.Argument(help="The folder of a finished run: runs/NAME.")] = None,
    tables: Annotated[
        str | None,
        typer.Option(
            "--tables",
            help="Write the tables for a paper instead of the page: latex (booktabs), markdown, or csv (not rounded).",
        ),
    ] = None,
    published: Annotated[
        str | None, typer.Option("--published", help="A published study instead: ramesh2025 (arXiv 2505.15442).")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option("--table", help="A tidy table of results instead (CSV, TSV or parquet), as `analyze` reads it."),
    ] = None,
    unit: Annotated[
        str, typer.Option("--unit", help="Unit of that table's values: auto, percent or fraction.")
    ] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The page of a run; the folder of anything else. Default: in the run's folder."
        ),
    ] = None,
) -> None:
    """Write the page of a finished run again, or its tables for a paper; or show a table of results as a run.

    `kdscope report runs/NAME --tables latex` writes one file per table: accuracy with intervals, gains with adjusted
    p-values, fidelity, statistics, ablations, cost, contamination. `kdscope report --published ramesh2025` shows the
    paper's own numbers on the same page.
    """
    from kdscope import api
    from kdscope.core.errors import DataError

    if sum(given is not None for given in (run, published, table)) != 1:
        raise DataError("give the folder of a run, --published NAME or --table FILE: one of them")
    form: Any = tables if tables is None else one_of("--tables", tables, ("latex", "markdown", "csv"))
    if run is not None:
        files = (api.write_report(run, out),) if form is None else api.export_tables(run, form, out)
        _warn_of_missing(run / "tables")
        _print_written(files)
        return
    measure: Any = one_of("--unit", unit, ("auto", "percent", "fraction"))
    made = api.report_table(table, published=published, unit=measure, out=out)
    for warning in made.warnings:
        print(f"warning: {warning}")
    _print_written((made.page,))
    if form is not None:
        _print_written(tuple(file for folder in made.folders for file in api.export_tables(folder, form)))


def _warn_of_missing(tables: Path) -> None:
    from kdscope.results.tables import WRITTEN_AGAIN, missing_tables

    for file in missing_tables(tables):
        print(f"warning: {file} is missing, and with it the primary question; {WRITTEN_AGAIN}", file=sys.stderr)


def _print_written(files: tuple[Path, ...]) -> None:
    for file in files:
        print(f"written: {file}")

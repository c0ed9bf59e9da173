"""Commands on a finished run: its page and tables, its models, what its models wrote."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdscope.cli.application import ExtensionsOption, JsonOption, TrustOption, app, one_of

if TYPE_CHECKING:
    from kdscope.api import Exported


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
    extensions: ExtensionsOption = None,
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
    from kdscope.core.extensions import load_extensions

    load_extensions(extensions or ())
    if sum(given is not None for given in (run, published, table)) != 1:
        raise DataError("give the folder of a run, --published NAME or --table FILE: one of them")
    form: Any = tables if tables is None else one_of("--tables", tables, ("latex", "markdown", "csv"))
    if run is not None:
        files = (api.write_report(run, out),) if form is None else api.export_tables(run, form, out)
        _warn_of_tables(run)
        _print_written(files)
        return
    measure: Any = one_of("--unit", unit, ("auto", "percent", "fraction"))
    made = api.report_table(table, published=published, unit=measure, out=out)
    for warning in made.warnings:
        print(f"warning: {warning}")
    _print_written((made.page,))
    if form is not None:
        _print_written(tuple(file for folder in made.folders for file in api.export_tables(folder, form)))


def _warn_of_tables(run: Path) -> None:
    from kdscope.results.run_file import WRITTEN_AGAIN, edited_tables
    from kdscope.results.tables import missing_tables

    for file in missing_tables(run / "tables"):
        print(f"warning: {file} is missing, and with it the primary question; {WRITTEN_AGAIN}", file=sys.stderr)
    for sentence in edited_tables(run):
        print(f"warning: {sentence}", file=sys.stderr)


def _print_written(files: tuple[Path, ...]) -> None:
    for file in files:
        print(f"written: {file}")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run, such as runs/my-study.")],
    cell: Annotated[
        str | None, typer.Argument(help="Which model: its name in the run's tables, or a part only it has.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All models that the run trained, instead of one.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The model's folder; with --all, the folder for all. Default: RUN/models."),
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Put an adapter into its base, so that the folder holds a whole model.")
    ] = False,
    trust_remote_code: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Copy a trained model out of a run into an ordinary Hugging Face folder, with a model card.

    The card says what the model is, how good and how like its teacher it is beside its control, and how to load it. A
    folder that holds anything but an earlier export is left alone.

    Exit code: 0 done, 2 bad input.
    """
    from kdscope import api
    from kdscope.core.errors import DataError

    if cell is None and not every:
        cells = ", ".join(name for name, place in api.read_run(run).models.items() if place is not None)
        raise DataError(f"say which model, or --all; this run trained {cells}", file=run)
    if cell is not None and every:
        raise DataError(f"give either a cell or --all, not {cell} and --all")
    found = api.export_models(run, cell, every=every, out=out, merge=merge, trust_remote_code=trust_remote_code)
    if as_json:
        print(json.dumps([exported_json(model) for model in found], indent=1))
        return
    for number, model in enumerate(found):
        print(end="\n" if number else "")
        print_exported(model, code=len(found) == 1)


def print_exported(model: Exported, *, code: bool) -> None:
    """The files and the results of an exported model, and how to load it."""
    print(f"{model.cell}\n{model.folder}/")
    width = max(map(len, model.files))
    for name, size in model.files.items():
        print(f"  {name.ljust(width)}  {size:>13,} bytes")
    for sentence in model.headline:
        print(sentence)
    for sentence in model.warnings:
        print(f"warning: {sentence}")
    if code:
        print(f"\nLoad it (the model card, {model.card}, says this and more):\n\n{model.loading}")


def exported_json(model: Exported) -> dict[str, Any]:
    """An exported model for programs."""
    return {
        "cell": model.cell,
        "folder": str(model.folder),
        "card": str(model.card),
        "files": dict(model.files),
        "headline": list(model.headline),
        "warnings": list(model.warnings),
        "loading": model.loading,
    }


@app.command()
def view(
    run: Annotated[Path, typer.Argument(help="The folder of a run: runs/NAME.")],
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="Port of the page. Default: 8471, or a free one if it is taken."),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
) -> None:
    """Browse what the models of a run wrote: prompt, answers side by side, right or wrong, differences marked.

    Shows a page on this machine only (127.0.0.1) until Ctrl-C, and writes nothing. Every view has an address that can
    be kept. Over ssh, forward the port: `ssh -L 8471:localhost:8471 HOST`.
    """
    from kdscope import api

    api.view_run(run, port, browser, say=partial(print, flush=True))

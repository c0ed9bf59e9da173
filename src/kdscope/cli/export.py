"""The command that takes trained models out of a finished run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdscope.cli.application import JsonOption, app

if TYPE_CHECKING:
    from kdscope.api import Exported


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
    found = api.export_models(run, cell, every=every, out=out, merge=merge)
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

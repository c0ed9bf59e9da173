"""A look at what models wrote."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from kdscope.cli.application import app


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

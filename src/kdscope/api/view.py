"""The trace browser: a run's completions side by side in the local browser."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from kdscope.view.server import make_server


def view_run(
    run: Path, port: int | None = None, open_browser: bool = True, *, say: Callable[[str], None] = print
) -> None:
    """Show what the models of a run wrote, until Ctrl-C. Nothing is written, and only this machine can look.

    Args:
        run: The folder of a run, runs/NAME.
        port: Which port; None for 8471, or a free one where that is taken.
        open_browser: Open the page in the browser.
        say: Told the page's address.

    Raises:
        DataError: The folder is not that of a run that can be shown, or its records are damaged.
        MachineError: The port is taken.
    """
    server = make_server(Path(run), port)
    with server, suppress(KeyboardInterrupt):
        say(f"{server.url}  (Ctrl-C ends it)")
        if open_browser:
            webbrowser.open(server.url)
        server.serve_forever()

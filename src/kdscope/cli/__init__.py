"""The command line: parse, call `kdscope.api`, print. Exit codes: 0 done, 1 a cell failed, 2 bad input."""

from __future__ import annotations

import sys

# Importing them registers their commands.
from kdscope.cli import analyze, data, distill, models, outputs, study  # noqa: F401
from kdscope.cli.application import app

__all__ = ["app", "main"]


def main() -> None:
    """Entry point: errors meant for people become one message and exit code 2."""
    from kdscope.core.errors import KdscopeError

    try:
        app()
    except KdscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped; the same command continues from here", file=sys.stderr)
        sys.exit(130)

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
    from kdscope.core.files import DISK_TROUBLE

    try:
        app()
    except KdscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        # A path that the system refuses: too long a name, no permission, a file where a folder is wanted.
        if error.filename is None:
            raise
        print(f"error: {str(error.filename)!r:.200}: {error.strerror}", file=sys.stderr)
        sys.exit(1 if error.errno in DISK_TROUBLE else 2)
    except KeyboardInterrupt:
        print("stopped; the same command continues from here", file=sys.stderr)
        sys.exit(130)

"""The command line: parse, call `kdscope.api`, print. Exit codes: 0 done, 1 a cell failed, 2 bad input."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Sequence

# Importing them registers their commands.
from kdscope.cli import analyze, data, distill, models, outputs, study  # noqa: F401
from kdscope.cli.application import app

__all__ = ["app", "main"]


def main() -> None:
    """Entry point: errors meant for people become one message and exit code 2; nothing printed commands a terminal."""
    from kdscope.core.terminal import clean_streams

    with clean_streams():
        try:
            _run(sys.argv[1:])
        except Exception as error:  # within the block, so that what the error quotes is cleaned too
            from kdscope.core.errors import first_line, lacks_memory

            if not lacks_memory(error):
                traceback.print_exc()
                sys.exit(1)
            print(f"error: too little memory ({first_line(error)}); what was completed is kept", file=sys.stderr)
            sys.exit(2)


def _run(arguments: Sequence[str]) -> None:
    from kdscope.core.errors import KdscopeError
    from kdscope.core.files import DISK_TROUBLE

    try:
        _check_arguments(arguments)
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


def _check_arguments(arguments: Sequence[str]) -> None:
    """Refuse control characters but tab and line break: errors on usage quote arguments, names of files among them."""
    from kdscope.core.errors import DataError

    for number, argument in enumerate(arguments, start=1):
        if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", argument):
            raise DataError(f"argument {number} holds a control character: {argument}")

"""The last door to the terminal: what data, models and libraries bring cannot command it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast

from kdscope.core.characters import plain


class CleanStream:
    """A stream that shows control characters by name, and what its encoding lacks by number.

    A line break and a tab are themselves. What begins with a carriage return, as bars of libraries do, begins a line.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def rich_proxied_file(self) -> TextIO:
        """What `rich` writes to in its stead: its own control sequences are meant. Texts for it are cleaned before."""
        return raw(self._stream)

    def write(self, text: str) -> int:
        """Write a text, cleaned; gives back its own length."""
        lines = text.replace("\r\n", "\n")
        clean = plain("\n" + lines.lstrip("\r") if lines.startswith("\r") else lines)
        try:
            self._stream.write(clean)
        except UnicodeEncodeError as error:
            self._stream.write(clean.encode(error.encoding, "backslashreplace").decode(error.encoding))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts one after another."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def raw(stream: TextIO) -> TextIO:
    """The stream behind those that clean or redirect."""
    while (inner := getattr(stream, "rich_proxied_file", None)) is not None:
        stream = inner
    return stream


@contextmanager
def clean_streams() -> Iterator[None]:
    """Within the block all that is printed is cleaned: by print, warnings, logging, tracebacks, in any thread."""
    out, errors = (cast("TextIO", CleanStream(stream)) for stream in (sys.stdout, sys.stderr))
    with redirect_stdout(out), redirect_stderr(errors):
        yield

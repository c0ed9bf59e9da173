"""Calling a command as a shell does."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from kdscope.cli import main

Call = Callable[..., tuple[int, str, str]]


def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `kdscope ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["kdscope", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err

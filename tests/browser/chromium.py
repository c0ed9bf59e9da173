"""A real browser for the pages: Chromium without a window, and a record of what it complains about or asks for.

The fixtures are registered once, in tests/conftest.py: a process can drive one playwright at a time.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@dataclass
class OpenPage:
    """A page in the browser (`page` is playwright's), with what it complained about and what it asked for elsewhere.

    `errors` has console errors and uncaught exceptions; `strangers` every request to another place than its own: any
    other file for a page from disk, any other origin for a page from a server.
    """

    page: Any
    address: str
    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A running browser; skips where playwright or a Chromium is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next((path for path in map(shutil.which, _NAMES) if path), None)
    if found is None:
        pytest.skip("no Chromium on the PATH")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def page_of(chromium: Any) -> Iterator[Callable[..., OpenPage]]:
    """`page_of(file or address, **options of a browser context)` opens it and waits until it is loaded."""
    contexts = []

    def opened(place: Path | str, **options: Any) -> OpenPage:
        address = place.resolve().as_uri() if isinstance(place, Path) else place
        context = chromium.new_context(
            **{"accept_downloads": True, "viewport": {"width": 1400, "height": 900}} | options
        )
        contexts.append(context)
        found = OpenPage(context.new_page(), address)
        _record(found)
        found.page.goto(address, wait_until="load")
        return found

    yield opened
    for context in contexts:
        context.close()


def _record(found: OpenPage) -> None:
    found.page.on("console", lambda line: found.errors.append(line.text) if line.type == "error" else None)
    found.page.on("pageerror", lambda error: found.errors.append(str(error)))
    found.page.on(
        "request", lambda asked: None if _is_own(asked.url, found.address) else found.strangers.append(asked.url)
    )


def _is_own(asked: str, address: str) -> bool:
    """Addresses that hold their data themselves are nobody's."""
    if asked.startswith(("data:", "blob:")):
        return True
    ours, theirs = urlsplit(address), urlsplit(asked)
    same = (ours.scheme, ours.netloc) == (theirs.scheme, theirs.netloc)
    return same and (ours.scheme != "file" or ours.path == theirs.path)

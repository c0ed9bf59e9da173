"""Shared fixtures: real data where the machine has it, small things made on the spot everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.chromium import chromium, page_of  # noqa: F401 - fixtures, for every room

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real task files and published tables, beside the checkout; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("no real data beside this checkout")
    return SHARED

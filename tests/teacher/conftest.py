"""A recording for several tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.teacher.recordings import SMALL_PART, layout_of, record, some_sequences, some_values


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Twenty examples in several parts."""
    sequences = some_sequences(20)
    record(tmp_path / "recording", sequences, some_values(sequences, layout_of()), layout_of(), SMALL_PART)
    assert len(list((tmp_path / "recording").glob("part-*"))) > 3
    return tmp_path / "recording"

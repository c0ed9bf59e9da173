"""A small model on disk, shared by all tests of this room; nothing writes to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import make_model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of three layers with a byte-level tokenizer."""
    return make_model(tmp_path_factory.mktemp("model") / "llama", spread=0.3)

"""The benchmark programs as modules, and settings so small that an arm takes a second."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
TINY = ROOT / "src" / "kdscope" / "models" / "tiny" / "tiny-s"

Load = Callable[[str], Any]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Imports a module of the benchmarks, which find each other as programs do."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module


@pytest.fixture
def tiny(load: Load) -> Any:
    """Settings: a model of three layers, a student of two, four sequences a step."""
    return load("settings").Settings(
        model=str(TINY), student_layers=2, steps=2, warmup_steps=1, batch_size=4, max_length=200,
        dtype="float32", device="cpu", threads=1, learning_rate=1e-2,
    )  # fmt: skip


@pytest.fixture
def make_task(load: Load, tiny: Any, tmp_path: Path) -> Callable[[], Any]:
    """What an arm is given; the tasks of one test share a folder, as the arms of a round do."""
    common, sequences = load("common"), load("workload").make_sequences(tiny)

    def make() -> Any:
        return common.Task(tiny, sequences, tmp_path, common.Clock("cpu"))

    return make

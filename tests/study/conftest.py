"""A folder with everything that the studies of these tests name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.builders import HOLLOW_WEIGHTS


def make_model(folder: Path, layers: int = 3) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "num_hidden_layers": layers}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(HOLLOW_WEIGHTS)
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    make_model(tmp_path / "teacher", layers=6)
    make_model(tmp_path / "student", layers=3)
    (tmp_path / "train.jsonl").write_text('{"instruction": "1+1?", "output": "2"}\n')
    for task in ("gsm8k", "SVAMP", "boolq"):
        (tmp_path / "tasks" / task).mkdir(parents=True)
        (tmp_path / "tasks" / task / "test.json").write_text("[]")
    return tmp_path


@pytest.fixture(params=["minimal", "full", "published", "generated"])
def example(request: pytest.FixtureRequest, workspace: Path) -> Path:
    """Each example study in turn, beside the files it names."""
    text = (Path(__file__).parent / "examples" / f"{request.param}.yaml").read_text(encoding="utf-8")
    (workspace / "study.yaml").write_text(text, encoding="utf-8")
    return workspace / "study.yaml"

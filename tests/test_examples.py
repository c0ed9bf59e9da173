"""The examples: their studies load, and their scripts make what the studies name."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from kdscope.study.load import read_study

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("study", sorted(EXAMPLES.glob("*/study.yaml")), ids=lambda path: path.parent.name)
def test_every_example_is_a_valid_study(study: Path) -> None:
    loaded = read_study(study).study
    assert {"sft", "seqkd", "forward_kl", "reverse_kl", "gkd"} == {method.name for method in loaded.methods}


def test_gsm8k_rows_become_training_rows() -> None:
    row = script(EXAMPLES / "smollm2_math/prepare.py").training_row
    made = row({"question": "How many?", "answer": "3 + 4 = <<3+4=7>>7 pens.\nTwice: <<7*2=1,014>>1,014.\n#### 1,014"})
    assert made["output"] == "3 + 4 = 7 pens.\nTwice: 1,014.\nThe answer is 1,014."
    assert (made["instruction"], made["input"], made["answer"]) == ("How many?", "", "1014")


def test_the_conversion_has_the_form_of_the_rows_that_were_used(shared_data: Path) -> None:
    rows = json.loads((shared_data / "tasks/gsm8k/train.json").read_text())
    for row in rows:
        *_, last = row["output"].split("\n")
        assert last.replace(",", "") == f"The answer is {row['answer']}."
        assert "<<" not in row["output"]

"""A pair's table and its items, and what the analysis keeps of them for whoever asks the run again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from kdscope.evaluation.analysis_settings import ITEM_FIDELITY, load_analysis_settings
from kdscope.evaluation.records import write_records
from kdscope.stages.compare_pair import run
from tests.evaluation.by_hand import record
from tests.stages.test_analyse_study import analyse, arm

SAID = {"student": ["a b c d", "a b"], "teacher": ["a b c d", "e f"]}
ARMS = [
    arm("t", "teacher", "adapt", teacher="t", teacher_condition="adapted"),
    arm("s/sft", "student", "sft"),
    arm("s/gkd", "student", "gkd", teacher="t", teacher_condition="adapted"),
]


def compare(folder: Path, sides: dict[str, list[str]]) -> Path:
    """Runs the stage on what each side wrote for gsm8k; returns its folder."""
    inputs = {f"{side}/gsm8k": folder / side for side in sides}
    for side, texts in sides.items():
        (folder / side).mkdir(parents=True)
        answers = [record("gsm8k", number, completion=text) for number, text in enumerate(texts)]
        write_records(answers, folder / side / "records.parquet")
    output = folder / "output"
    output.mkdir()
    stage = SimpleNamespace(parameters={"tasks": ["gsm8k", "SVAMP"], "scoring": "robust", "seed": 0})
    run(SimpleNamespace(stage=stage, inputs=inputs, output=output))  # type: ignore[arg-type]
    return output


def test_the_items_are_those_of_the_table(tmp_path: Path) -> None:
    made = compare(tmp_path, SAID)
    items = pd.read_parquet(made / "items.parquet")
    assert items.to_dict("list") == {
        "task": ["gsm8k", "gsm8k"],
        "item_id": ["gsm8k/0", "gsm8k/1"],
        "sentence_bleu": pytest.approx([1.0, 0.0]),
    }
    rows = pd.read_parquet(made / "fidelity.parquet").set_index("measure")
    assert rows.loc["sentence_bleu", "value"] == pytest.approx(100 * items["sentence_bleu"].mean())


def test_two_that_share_no_task_have_no_items(tmp_path: Path) -> None:
    made = compare(tmp_path, {"student": ["a b"]})
    assert pq.read_table(made / "items.parquet").num_rows == 0
    assert pd.read_parquet(made / "fidelity.parquet").empty


def test_the_analysis_keeps_the_items_of_distilled_students(tmp_path: Path) -> None:
    pairs: dict[str, Any] = {
        "pair/1/0": compare(tmp_path / "control", {"student": ["a b", "a b"], "teacher": ["a b", "a b"]}),
        "pair/2/0": compare(tmp_path / "distilled", SAID),
    }
    analyse(tmp_path, ARMS, {0: {}, 1: {}, 2: {}}, {0, 1, 2}, more=pairs)
    kept = load_analysis_settings(tmp_path / "output" / "questions.json").likeness
    assert kept is not None
    assert kept.to_pydict() == {
        "cell": ["s/gkd", "s/gkd"],
        "task": ["gsm8k", "gsm8k"],
        "item_id": ["gsm8k/0", "gsm8k/1"],
        "sentence_bleu": pytest.approx([1.0, 0.0]),
    }


def test_without_a_distilled_student_nothing_is_kept(tmp_path: Path) -> None:
    analyse(tmp_path, ARMS[:2], {0: {}, 1: {}}, {0, 1})
    assert not (tmp_path / "output" / ITEM_FIDELITY).exists()

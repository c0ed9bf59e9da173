"""What the page tells of how the models were trained."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from kdscope.pipeline.stage import identify
from kdscope.stages.analyse_study import ArmFacts, collect_notes


@pytest.fixture
def context(tmp_path: Path) -> Any:
    """A stage context with two trained models whose manifests a test can fill."""

    def make(*facts: dict[str, Any], cut_mass: float = 0.0) -> tuple[Any, list[ArmFacts]]:
        inputs = {}
        for number, own in enumerate(facts):
            folder = tmp_path / str(number)
            folder.mkdir()
            pd.DataFrame({"cut_mass": [0.0, cut_mass]}).to_parquet(folder / "training.parquet")
            manifest = json.loads(MANIFEST) | {"facts": own}
            (folder / "manifest.json").write_text(json.dumps(manifest))
            inputs[f"trained/{number}"] = folder
        return SimpleNamespace(inputs=inputs), [
            ArmFacts(label=f"m{number}", role="student", method="gkd") for number in range(len(facts) + 1)
        ]

    return make


MANIFEST = json.dumps(
    {
        "kind": "distil_student", "label": "x", "version": 1, "identity": identify("distil_student", 1, {}, {}),
        "parameters": {}, "inputs": {},
        "files": {}, "started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:00:01+00:00", "seconds": 1.0,
        "software": {}, "facts": {},
    }
)  # fmt: skip


def test_nothing_to_say(context: Any) -> None:
    assert collect_notes(*context({"examples": 9, "examples_cut": 0, "software": "a"}, {"software": "a"})) == []


def test_equal_notes_are_told_once(context: Any) -> None:
    facts = {"examples": 9, "examples_cut": 2, "software": "a"}
    assert collect_notes(*context(facts, facts)) == ["2 of 9 training examples cut at max_length_tokens: m0, m1"]


def test_every_loss_of_data_is_told(context: Any) -> None:
    notes = collect_notes(*context({"examples_left_out": 3, "responses_unfinished": 4, "software": "a"}, cut_mass=0.25))
    assert [note.split(":")[0] for note in notes] == [
        "3 training examples left out, no room for a response",
        "4 of the teacher's responses cut at its max_new_tokens",
        "up to 0.25 of the teacher's probability lay on ids the student lacks",
    ]


def test_mixed_machines_are_told(context: Any) -> None:
    (note,) = collect_notes(*context({"software": "cpu, torch 1"}, {"software": "cuda, torch 2"}))
    assert "cpu, torch 1 (m0)" in note
    assert "cuda, torch 2 (m1)" in note


def test_a_condensed_teacher_was_cut_before_training(context: Any) -> None:
    (note,) = collect_notes(*context({"teacher_cut_mass": 0.125, "software": "a"}))
    assert note == "up to 0.12 of the teacher's probability lay on ids the student lacks: m0"

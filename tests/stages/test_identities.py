"""Identities of every stage of varied studies, frozen: a finished stage of an earlier version must be found again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from kdscope.api import plan_study
from kdscope.pipeline.stage import in_order
from tests.builders import made_up_study, make_data, make_hollow_model, study_values

GOLDEN = Path(__file__).parent / "identities.json"
LORA = {"name": "cut", "path": "teacher", "keep_layers": 2}
OWN_TASK = "name: capitals\nanswer: letter\nlabels: [A, B]\nfile: capitals.json\n"
EVERY_METHOD: list[Any] = [
    "sft", "seqkd", {"name": "forward_kl", "kd_temperature": [1, 2], "teacher_noise_std": [0, 0.5], "kd_weight": 0.9},
    {"name": "reverse_kl", "teacher_condition": ["adapted", "base"], "prompt_in_loss": True}, "jsd", "gkd",
    {"name": "gkd", "on_policy_probability": 1.0, "warm_start_steps": 2, "warm_start": "forward_kl"},
    {"name": "adaptive_kl", "head_mass": 0.4}, "total_variation", {"name": "skew_kl", "skew": 0.2},
    {"name": "forward_kl", "probability_epsilon": 0.001, "reduction": "sequence", "t2_scale": False},
]  # fmt: skip


def _studies(folder: Path) -> dict[str, dict[str, Any]]:
    """Changes to the small study, by name."""
    two_teachers = [
        {"name": "big", "path": "teacher", "condition": ["adapted", "base"]},
        {"name": "other", "path": "teacher", "tuning": "full"},
    ]
    swept = {"kind": "full", "learning_rate": [0.004, 0.001, 0.002]}
    hub = {"name": "hub", "hub": "org/model", "revision": "0123456789abcdef0123456789abcdef01234567"}
    return {
        "small": {},
        "every method": {"students": [LORA], "methods": EVERY_METHOD, "seeds": [0, 3]},
        "made up rows": made_up_study(folder),
        "two teachers, two seeds": {"teachers": two_teachers, "seeds": [0, 1], "fidelity": {"probe_items": 2}},
        "swept": {
            "students": [{"name": "whole", "path": "teacher", "tuning": swept}],
            "methods": ["sft", "forward_kl"],
            "teacher_training": {"max_steps": 6, "keep": "best_accuracy"},
        },
        "sampled with vllm": {
            "methods": ["sft", "seqkd", "gkd"],
            "evaluation": {"backend": "vllm", "sampling_temperature": 0.5, "decoding_seeds": [3, 5], "top_p": 0.9},
            "teacher_generation": {"sampling_temperature": 0.7},
            "template": "published",
            "fidelity": {"ceiling": "resampled", "distribution_items": 3},
        },
        "own task": {
            "tasks": {"folder": "tasks", "definitions": "own", "names": ["capitals", "AddSub"]},
            "teacher_signal": "live",
            "template": "plain",
            "fidelity": {"ceiling": "identity", "probe_items": 1},
        },
        "clean, with hub and base models": {
            "students": [{**LORA, "keep_layers": [0, 2]}, {**hub, "trust_remote_code": True}],
            "tasks": {"folder": "tasks", "names": ["AddSub"], "exclude_contaminated": True, "limit": 4},
            "evaluation": {"base_models": True, "stop_texts": []},
            "teacher_signal": "replay",
            "scoring": "published",
            "fidelity": {"ceiling": "none", "distribution_items": 0},
            "analysis": {"primary_temperature": 2.0},
        },
    }  # fmt: skip


def _identities(folder: Path, changes: dict[str, Any]) -> dict[str, str]:
    runtime = {"device": "cpu", "dtype": "float32"}
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(study_values(folder, **{"runtime": runtime, **changes}), sort_keys=False))
    plan, _ = plan_study(file, folder / "store")
    return {f"{stage.kind} | {stage.label}": stage.identity[:16] for stage in in_order([plan.report])}


@pytest.fixture
def world(tmp_path: Path) -> Path:
    make_data(tmp_path)
    make_hollow_model(tmp_path / "teacher")
    questions = [f"Capital {n}? (A) Rome (B) Oslo" for n in (1, 2)]
    rows = [{"instruction": question, "input": "", "output": "", "answer": "A"} for question in questions]
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "capitals.json").write_text(json.dumps(rows))
    (tmp_path / "own" / "capitals.yaml").write_text(OWN_TASK)
    return tmp_path


@pytest.mark.parametrize("name", _studies(Path()))
def test_stage_identities_match_golden(world: Path, name: str) -> None:
    """A change here makes every user's finished stages run again: raise a stage's version instead, and say so in the
    changelog. The file holds what the code of 0.1.0 gave."""
    found = _identities(world, _studies(world)[name])
    assert found == json.loads(GOLDEN.read_text())[name]
    assert list(found) == list(json.loads(GOLDEN.read_text())[name]), "the order in which stages run"

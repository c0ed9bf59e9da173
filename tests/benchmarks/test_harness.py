"""Measuring: rounds alternate, a failure is a result, ratios stay within a round, memory is what was allocated."""

from __future__ import annotations

import doctest
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.conftest import BENCHMARKS, TINY, Load

_PROGRAM = """
import argparse, pathlib, sys, time
sys.path.insert(0, {benchmarks!r})
from common import Outcome, run_arm

def steps(seconds):
    def arm(task):
        for _ in range(task.settings.all_steps):
            time.sleep(seconds)
            task.clock.tick()
        return Outcome([1.0] * task.settings.all_steps, facts={{"seen": [f.name for f in task.folder.glob("*.seen")]}})
    return arm

def leave(task):
    (task.folder / "a.seen").touch()
    return Outcome(one_off_seconds=2.5)

def fail(task):
    print("some output", file=sys.stderr)
    raise RuntimeError("no such kernel")

parser = argparse.ArgumentParser()
parser.add_argument("--arm")
parser.add_argument("--task", type=pathlib.Path)
run_arm(parser.parse_args(), {{"leave": leave, "slow": steps(0.06), "fail": fail}})
"""


@pytest.fixture
def runs(load: Load, tiny: Any, tmp_path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM.format(benchmarks=str(BENCHMARKS)))
    said: list[str] = []
    names = ["leave", "slow", "fail"]
    return load("common").run_rounds(program, names, tiny, 2, said.append, []), said


def test_rounds_alternate_and_a_failure_is_told(runs: tuple[list[dict[str, Any]], list[str]]) -> None:
    measured, said = runs
    order = [(run["round"], run["arm"]) for run in measured]
    assert order == [(number, arm) for number in (0, 1) for arm in ("leave", "slow", "fail")]
    recorded, timed, failed = measured[:3]
    assert recorded["step_seconds"] == []
    assert recorded["one_off_seconds"] == 2.5
    assert len(timed["step_seconds"]) == 2, "the step that warms up is not timed"
    assert all(0.05 < seconds < 2 for seconds in timed["step_seconds"])
    assert timed["examples"] == 8
    assert timed["seen"] == ["a.seen"], "arms of one round share a folder"
    assert failed["error"] == "RuntimeError: no such kernel"
    assert "some output" in failed["output"]
    assert "no such kernel" in said[2]
    assert len(said) == 6


def test_ratios_are_taken_within_a_round(load: Load) -> None:
    results = load("results")
    runs = [
        {"arm": arm, "round": number, "examples": 10, "step_seconds": [seconds / 2, seconds / 2]}
        for number, (ours, theirs) in enumerate([(1.0, 4.0), (10.0, 20.0), (2.0, 6.0)])
        for arm, seconds in (("ours", ours), ("theirs", theirs))
    ]
    runs += [{"arm": "theirs", "round": 3, "error": "killed"}, {**runs[0], "round": 3}]
    found = results.ratio(runs, "ours", "theirs", results.examples_per_second)
    assert found.values == pytest.approx((4.0, 2.0, 3.0))
    assert found.middle == pytest.approx(3.0)
    assert results.ratio(runs, "ours", "absent", results.examples_per_second) is None
    assert results.middle(runs, "theirs", results.examples_per_second) == pytest.approx(10 / 6)


def test_a_recording_is_paid_by_three_epochs(load: Load) -> None:
    bench = load("bench_distill")
    runs = [
        {"arm": "kdscope_record", "round": 0, "one_off_seconds": 4.0, "one_off_examples": 20},
        {"arm": "kdscope_expect", "round": 0, "one_off_seconds": 2.0, "one_off_examples": 20},
    ]
    assert bench.recording_seconds(runs, "kdscope_expectation_forward_kl") == pytest.approx(0.3)
    assert bench.recording_seconds(runs, "kdscope_replay_jsd") == pytest.approx(0.2)
    assert bench.recording_seconds(runs, "kdscope_live_jsd") == 0.0
    assert bench.recording_seconds(runs[:1], "kdscope_expectation_forward_kl") is None
    chosen = ["trl_gkd_jsd", "kdscope_replay_jsd"]
    assert bench.with_recordings(chosen) == ["kdscope_record", "kdscope_replay_jsd", "trl_gkd_jsd"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the mark of most memory is Linux's")
def test_peak_memory_is_what_was_touched(load: Load) -> None:
    import torch

    alone, size = load("objectives_alone"), 96 * 2**20

    def touch() -> None:
        torch.ones(size // 4)

    assert alone.added_memory("cpu", touch) == pytest.approx(size, rel=0.15)
    assert alone.added_memory("cpu", lambda: None) < 0.05 * size
    before = load("common").peak_memory_bytes("cpu")
    kept = torch.ones((before + size) // 4)
    assert load("common").peak_memory_bytes("cpu") >= kept.nbytes


def test_every_way_computes_the_same_objective(load: Load, tiny: Any) -> None:
    """scipy's Jensen-Shannon distance is the square root of the divergence at beta 0.5."""
    import torch
    from scipy.spatial.distance import jensenshannon

    alone = load("objectives_alone")
    inputs = alone.make_inputs(tiny, vocabulary=50, tokens=7, width=16)
    teacher = (inputs.teacher.double() @ inputs.teacher_head.double().T).softmax(-1)
    student = (inputs.student.detach().double() @ inputs.student_head.double().T).softmax(-1)
    expected = float((jensenshannon(teacher.numpy(), student.numpy(), axis=1) ** 2).mean())
    ways = {name: alone.WAYS[name] for name in ("kdscope_jsd", "dense_jsd")}
    if load("bench_objective")._can_run("trl_chunked_jsd", tiny):
        ways["trl_chunked_jsd"] = alone.WAYS["trl_chunked_jsd"]
    gradients = []
    for name, way in ways.items():
        inputs.student.grad = None
        loss = way(inputs)
        loss.backward()
        assert loss.item() == pytest.approx(expected, rel=1e-5), name
        gradients.append(inputs.student.grad.clone())
    for gradient in gradients[1:]:
        assert torch.allclose(gradient, gradients[0], atol=1e-6, rtol=1e-4)
    made = alone.prepare_expectation(inputs)
    assert made(inputs).item() == pytest.approx(alone.WAYS["kdscope_forward_kl"](inputs).item(), rel=1e-5)


def test_generated_examples_are_as_long_as_real_ones(load: Load, tiny: Any, shared_data: Path) -> None:
    workload = load("workload")
    tokenizer = load("students").make_tokenizer(tiny)
    real = workload.read_rows(shared_data / "tasks" / "gsm8k" / "train.json", 300)
    made = workload.generated_rows(300)

    def mean_length(rows: list[dict[str, str]]) -> float:
        return sum(len(workload.prompt_text(row)) + len(row["output"]) for row in rows) / len(rows)

    assert mean_length(made) == pytest.approx(mean_length(real), rel=0.2)
    assert workload.generated_rows(300) == made
    assert len({row["instruction"] for row in made}) == 300
    assert len(workload.encode_rows(made[:3], tokenizer, 4000)) == 3


def test_too_little_data_is_said_before_anything_runs(load: Load, tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "few.json").write_text(json.dumps([{"instruction": "1 + 1?", "output": "2"}] * 5))
    settings = replace(tiny, data=str(tmp_path / "few.json"))
    with pytest.raises(SystemExit, match="need 12 examples"):
        load("workload").make_sequences(settings)


def test_options_become_settings(load: Load) -> None:
    settings = load("settings")
    parser = settings.make_parser("", steps=4)
    parsed = parser.parse_args(["--model", str(TINY), "--lora-rank", "2", "--dtype", "float32", "--huge-pages"])
    made = settings.settings_of(parsed, new_tokens=5)
    assert (made.steps, made.lora_rank, made.dtype, made.huge_pages) == (4, 2, "float32", True)
    assert made.extra == {"new_tokens": 5}
    assert made.threads >= 1
    with pytest.raises(SystemExit, match="at least 1"):
        settings.settings_of(parser.parse_args(["--model", str(TINY), "--warmup-steps", "0"]))


@pytest.mark.parametrize("module", ["settings", "tables"])
def test_examples_in_docstrings(load: Load, module: str) -> None:
    found = doctest.testmod(load(module))
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("program", ["bench_distill", "bench_on_policy", "bench_study", "bench_objective"])
def test_help_names_every_arm(load: Load, capsys: pytest.CaptureFixture[str], program: str) -> None:
    bench: Any = load(program)
    with pytest.raises(SystemExit):
        bench.main(["--help"])
    text = capsys.readouterr().out
    assert f"python benchmarks/{program}.py" in text
    for arm in getattr(bench, "ARMS", None) or bench._WAYS:
        assert arm in text or any(f"{arm[:end]}*" in text for end in range(len(arm))), arm


def test_a_whole_program_measures_prints_and_writes(
    load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS.parent / "src"))
    out = tmp_path / "results.json"
    load("bench_objective").main(
        ["--arms", "kdscope_jsd,dense_jsd", "--width", "16", "--vocabularies", "300", "--tokens", "20", "--rounds", "1",
         "--at-tokens", "20", "--at-vocabulary", "300", "--repeats", "2", "--threads", "1", "--device", "cpu",
         "--dtype", "float32", "--out", str(out)]
    )  # fmt: skip
    text, document = capsys.readouterr().out, json.loads(out.read_text())
    assert [run["arm"] for run in document["runs"]] == ["kdscope_jsd@300x20", "dense_jsd@300x20"]
    values = [run["value"] for run in document["runs"]]
    assert values[0] == pytest.approx(values[1], rel=1e-4)
    assert all(len(run["repeats"]) == 2 and run["added_bytes"] >= 0 for run in document["runs"])
    assert document["machine"]["versions"]["torch"]
    assert document["settings"]["seed"] == 0
    assert "dense_jsd" in text

"""The evaluation benchmark: every arm answers the same items, and what it says of the answers is true."""

from __future__ import annotations

import doctest
import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.conftest import BENCHMARKS, TINY, Load
from tests.builders import make_rows

ITEMS = 6


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    file = tmp_path / "data" / "SVAMP" / "test.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(make_rows(ITEMS)))
    return tmp_path / "data"


def measure(load: Load, data_dir: Path, out: Path, arms: str, **more: object) -> dict[str, Any]:
    options = {"items": ITEMS, "new_tokens": 24, "batch_size": 4, "large_batch_size": 6, "authors_items": 2} | more
    listed = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    load("bench_evaluate").main(
        ["--data-dir", str(data_dir), "--model", str(TINY), "--arms", arms, "--threads", "1", "--device", "cpu",
         "--out", str(out), *listed]
    )  # fmt: skip
    document: dict[str, Any] = json.loads(out.read_text())
    return document


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> str:
    """The arms that can run here."""
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS.parent / "src"))
    harness = ",lm_eval" if find_spec("lm_eval") else ""
    return f"kdscope,authors,kdscope_large{harness}"


@pytest.mark.slow
def test_all_arms_answer_the_same(
    load: Load, data_dir: Path, tmp_path: Path, installed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    document = measure(load, data_dir, tmp_path / "out.json", installed)
    runs = {run["arm"]: run for run in document["runs"]}
    assert set(runs) == set(installed.split(","))
    assert not [run["error"] for run in document["runs"] if "error" in run]
    own = runs["kdscope"]
    assert own["answers"].keys() == {str(item) for item in range(ITEMS)}
    by_length = sorted(range(ITEMS), key=lambda item: own["answers"][str(item)]["tokens"])
    assert runs["authors"]["answers"].keys() == {str(by_length[1]), str(by_length[4])}
    for run in runs.values():
        assert run["answers"].items() <= own["answers"].items(), "texts, reasons and lengths, in float32"
        assert run["examples"] == len(run["answers"])
        assert run["tokens"] == sum(answer["tokens"] for answer in run["answers"].values())
        assert len(run["step_seconds"]) == 1
    compared = {(one["arm"], one["against"], one["quantity"]): one["median"] for one in document["ratios"]}
    seconds = runs["authors"]["step_seconds"][0] / 2 / (own["step_seconds"][0] / ITEMS)
    assert compared["kdscope", "authors", "examples_per_second"] == pytest.approx(seconds)
    printed = capsys.readouterr().out
    assert f"{ITEMS} of {ITEMS}" in printed
    assert "2 of 2" in printed


def test_scores_are_those_of_the_task(load: Load, data_dir: Path, tiny: Any) -> None:
    answers = load("answers")
    settings = replace(tiny, extra={"data_dir": str(data_dir), "task": "SVAMP", "items": ITEMS})
    gold = [row["answer"] for row in answers.read_items(settings)]
    texts = [f"The answer is {value}." for value in (gold[0], int(gold[1]) + 1)]
    written = {str(n): {"text": text, "finish_reason": "stop", "tokens": 5} for n, text in enumerate(texts)}
    run = {"answers": written, "scores": answers.scores(settings, {"answers": written})}
    assert [run["scores"][item]["correct_robust"] for item in "01"] == [True, False]
    assert answers.accuracy(run, "robust") == answers.accuracy(run, "published") == 0.5
    other = {"answers": {"1": {"text": f"It is {int(gold[1]) + 1}"}}, "scores": {"1": run["scores"]["1"]}}
    assert answers.agree(run, other) == ["0 of 1", "1 of 1", "1 of 1"]
    assert all(
        row["instruction"] in prompt
        for row, prompt in zip(answers.read_items(settings), answers.prompts_of(settings), strict=True)
    )


def test_why_an_answer_ended_is_seen_in_its_tokens(load: Load, tiny: Any) -> None:
    peers = load("peers_evaluate")
    settings = replace(tiny, extra={"new_tokens": 4, "stop_texts": ["#"]})
    for row, reason, tokens in (
        ([7, 2, 35, 0], "stop", 2),
        ([7, 7, 7, 7], "length", 4),
        ([7, 35, 7], "run_on", 3),
        ([7, 35, 2, 0], "run_on", 3),
    ):
        found = peers._answer("t", row, lambda ids: "".join(map(chr, ids)), {2}, settings)
        assert found == {"text": "t", "finish_reason": reason, "tokens": tokens}
    assert peers._before("a # b #", ["b", "#"]) == "a "
    assert peers._before("a", ["#"]) == "a"


def test_what_is_missing_is_said_before_anything_runs(load: Load, data_dir: Path) -> None:
    bench = load("bench_evaluate")
    for options, message in (
        (["--data-dir", str(data_dir), "--items", "7"], "has 6"),
        (["--data-dir", str(data_dir / "none")], "there is no"),
        ([], "--data-dir is needed"),
    ):
        with pytest.raises(SystemExit, match=message):
            bench.main(["--model", str(TINY), *options])


def test_help_names_every_arm(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    bench = load("bench_evaluate")
    with pytest.raises(SystemExit):
        bench.main(["--help"])
    text = capsys.readouterr().out
    assert "python benchmarks/bench_evaluate.py" in text
    assert all(arm in text for arm in bench.ARMS)


def test_examples_in_docstrings(load: Load) -> None:
    found = doctest.testmod(load("answers"))
    assert found.attempted > 0
    assert found.failed == 0

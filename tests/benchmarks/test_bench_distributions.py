"""The benchmark of the distribution pass: every arm reads the same texts and finds the same likelihood."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.conftest import BENCHMARKS, TINY, Load


@pytest.mark.slow
def test_all_arms_read_the_same(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS.parent / "src"))
    bench = load("bench_distributions")
    bench.main(
        ["--model", str(TINY), "--student-layers", "2", "--steps", "2", "--batch-size", "3", "--rounds", "1",
         "--threads", "1", "--dtype", "float32", "--device", "cpu", "--out", str(tmp_path / "out.json")]
    )  # fmt: skip
    document = json.loads((tmp_path / "out.json").read_text())
    assert [run["arm"] for run in document["runs"]] == list(bench.ARMS)
    assert not [run["error"] for run in document["runs"] if "error" in run]
    told = [run["nll"] for run in document["runs"]]
    assert told[0] > 0
    assert told == pytest.approx([told[0]] * 3, rel=1e-4)
    assert {run["examples"] for run in document["runs"]} == {6}
    assert {one["against"] for one in document["ratios"]} == {"plain_forward", "response_logits"}
    assert "kdscope_pass" in capsys.readouterr().out


def test_the_page_of_the_program_names_its_arms(load: Load) -> None:
    bench = load("bench_distributions")
    assert all(arm in str(bench.__doc__) for arm in bench.ARMS)

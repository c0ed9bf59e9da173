"""The benchmark of the trace browser, so small that it takes a second."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from kdscope.view.index import RunIndex

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.parametrize("option", [[], ["--one-row-group"]])
def test_it_measures_every_kind_of_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: list[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    out = tmp_path / "out.json"
    sizes = ["--records", "600", "--models", "3", "--rounds", "2", "--opens", "2"]
    import_module("bench_view").main([*sizes, *option, "--out", str(out)])
    seconds = json.loads(out.read_text())["seconds"]
    assert list(seconds) == ["open", "page", "filter", "search", "deep link", "long text"]
    assert all(len(own) == 2 and min(own)[0] > 0 for own in seconds.values())
    assert "| search |" in capsys.readouterr().out


def test_its_run_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    bench = import_module("bench_view")
    records = RunIndex(bench.make_run(tmp_path, 900, 3)).task(bench.TASK)
    assert (records.index.units, len(records.index.cells)) == (300, 3)
    shares = records.index.right["robust"].mean()
    assert 0.5 < shares < 0.7
    assert len(records.texts.column([7], "completion")[0]) > 90_000

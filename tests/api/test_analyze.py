"""The published protocol on the tables that come with kdscope, and on a person's own."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from kdscope.api import analyze_table
from kdscope.core.errors import DataError, StatisticsError
from tests.cli.command import call

OWN = """student,method,temperature,task,value
Qwen-0.5B,sft,,sums,40
Qwen-0.5B,forward_kl,1,sums,44
Qwen-0.5B,forward_kl,2,sums,47
Qwen-0.5B,gkd,1,sums,41
Qwen-3B,sft,,sums,60
Qwen-3B,forward_kl,1,sums,61
Qwen-3B,forward_kl,2,sums,59
Qwen-3B,gkd,1,sums,63
"""


def test_the_published_study(tmp_path: Path) -> None:
    found = analyze_table(published="ramesh2025", protocol="published", out=tmp_path)
    h1 = found.statistics.set_index(["domain", "hypothesis", "group", "task"]).loc["math", "H1", "all", "Average"]
    # As the paper's mathematics notebook prints it.
    assert (round(h1["statistic"], 3), h1["n"]) == (8.465, 33)
    assert found.abstract is not None
    assert found.abstract.loc[found.abstract["agrees"], "value"].round(2).tolist() == [10.37, 9.77, 22.33, 1.24]
    written = pd.read_csv(tmp_path / "statistics.csv")
    pd.testing.assert_frame_equal(written, found.statistics, check_dtype=False)
    assert [file.name for file in found.files] == ["statistics.csv", "claims.csv", "table.csv", "abstract.csv"]


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(OWN)
    found = analyze_table(tmp_path / "mine.csv", protocol="published", out=tmp_path / "out")
    h1 = found.statistics.set_index(["hypothesis", "group", "task"]).loc["H1"]
    assert h1.loc[("SeqKD", "sums"), "n"] == 2  # the better temperature of each student: 47 - 40 and 61 - 60
    gains = pd.Series([7.0, 1.0])
    t = gains.mean() / (gains.std() / 2**0.5)
    assert h1.loc[("SeqKD", "sums"), "statistic"] == pytest.approx(t)
    assert found.abstract is None
    assert not (tmp_path / "out" / "abstract.csv").exists()


def test_what_cannot_be_analysed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give a run, a table of results or a published study"):
        analyze_table()
    with pytest.raises(StatisticsError, match="no published study is called ramesh2026"):
        analyze_table(published="ramesh2026")
    (tmp_path / "mine.csv").write_text(OWN.replace(",sums,44", ",sums,much"))
    with pytest.raises(DataError, match=r"mine\.csv, row 3: value"):
        analyze_table(tmp_path / "mine.csv")


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    published = ("analyze", "--published", "ramesh2025", "--protocol", "published")
    code, out, _ = call(monkeypatch, capsys, *published, "--out", tmp_path)
    assert code == 0
    assert "a peak task-specific gain of 22%" in out
    assert f"written: {tmp_path / 'statistics.csv'}" in out
    code, out, _ = call(monkeypatch, capsys, *published, "--json")
    assert len(json.loads(out)["statistics"]) == 167 + 185
    (tmp_path / "mine.csv").write_text(OWN)
    code, _, err = call(monkeypatch, capsys, "analyze", tmp_path / "mine.csv", "--unit", "points")
    assert code == 2
    assert "--unit is auto, percent or fraction" in err
    code, _, err = call(monkeypatch, capsys, "analyze", tmp_path / "mine.csv", "--protocol", "strict")
    assert code == 2
    assert "--protocol is rigorous or published" in err


def test_rigorous_is_the_default_and_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, _ = call(monkeypatch, capsys, "analyze", "--published", "ramesh2025", "--out", tmp_path)
    assert code == 0
    primary = out.split("The primary question")[1].split("Exploratory")[0]
    assert "Distillation: +6.6 points over SFT on Qwen2.5-0.5B (math), 95% CI 2.4 to 10.8, without a test." in primary
    assert "the luck of the SFT run is unknown" in primary
    statistics = pd.read_csv(tmp_path / "statistics.csv")
    first = ["protocol", "domain", "hypothesis", "group", "task", "test", "statistic", "p_value", "n"]
    assert list(statistics.columns[:9]) == first
    assert set(statistics["domain"]) == {"math", "commonsense"}
    # One question is asked for an answer, of each student in each domain.
    assert set(statistics.loc[statistics["role"] == "confirmatory", "hypothesis"]) == {"H1-student"}

"""`kdscope report` as a person types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.test_report import OWN, finished
from tests.cli.command import call


def test_the_page_again(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    finished(tmp_path / "run")
    code, out, _ = call(monkeypatch, capsys, "report", tmp_path / "run", "--out", tmp_path / "mine.html")
    assert (code, out) == (0, f"written: {tmp_path / 'mine.html'}\n")
    assert (tmp_path / "mine.html").is_file()
    assert not (tmp_path / "run" / "report.html").exists()


def test_tables(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    finished(tmp_path)
    code, out, _ = call(monkeypatch, capsys, "report", tmp_path, "--tables", "markdown")
    assert code == 0
    files = sorted(tmp_path.joinpath("markdown").iterdir())
    assert sorted(out.splitlines()) == [f"written: {file}" for file in files]
    assert "gains.md" in {file.name for file in files}
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("more", [(), ("--tables", "csv")])
def test_an_older_run_is_read_and_what_it_lacks_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, more: tuple[str, ...]
) -> None:
    finished(tmp_path)
    assert call(monkeypatch, capsys, "report", tmp_path, *more)[2] == ""
    (tmp_path / "tables" / "statistics.parquet").unlink()
    code, out, err = call(monkeypatch, capsys, "report", tmp_path, *more)
    assert code == 0
    assert out.startswith("written: ")
    assert err.startswith(f"warning: {tmp_path / 'tables' / 'statistics.parquet'} is missing")
    assert err.endswith("`kdscope run STUDY.yaml` writes it again; nothing is trained twice\n")
    (tmp_path / "tables" / "gains.parquet").unlink()
    code, _, err = call(monkeypatch, capsys, "report", tmp_path, *more)
    assert code == 2
    assert "gains.parquet" in err
    assert "this table is missing; `kdscope run STUDY.yaml` writes it again; nothing is trained twice" in err


def test_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(OWN)
    given = ("report", "--table", tmp_path / "mine.csv", "--tables", "csv", "--out", tmp_path / "out")
    code, out, _ = call(monkeypatch, capsys, *given)
    assert code == 0
    assert "warning: all: small-0.5B is the only distilled student" in out
    assert f"written: {tmp_path / 'out' / 'report.html'}" in out
    assert f"written: {tmp_path / 'out' / 'csv' / 'gains.csv'}" in out


def test_bad_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def error(*arguments: object) -> str:
        code, _, err = call(monkeypatch, capsys, "report", *arguments)
        assert code == 2
        return err

    assert "one of them" in error()
    assert "one of them" in error(tmp_path, "--published", "ramesh2025")
    assert "it has no tables/cells.parquet" in error(tmp_path)
    assert "--tables is latex, markdown or csv, not 'word'" in error(tmp_path, "--tables", "word")
    assert "--unit is auto, percent or fraction" in error("--table", tmp_path / "x.csv", "--unit", "points")
    assert "no published study is called it" in error("--published", "it", "--out", tmp_path)

"""The commands on a finished run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.api.test_report import OWN, finished
from tests.cli.command import call
from tests.view.runs import school


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


Capture = pytest.CaptureFixture[str]


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent another way there")
def test_a_run_is_served_until_ctrl_c(tmp_path: Path) -> None:
    run = school(tmp_path / "run", items=3)
    command = [sys.executable, "-m", "kdscope", "view", str(run), "--port", "0", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"(http://127\.0\.0\.1:\d+/)  \(Ctrl-C ends it\)\n", line)
        assert found is not None, line
        with urlopen(found[1], timeout=30) as page:
            assert b"my study" in page.read()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(("option", "opened"), [([], 1), (["--no-browser"], 0)])
def test_the_browser_is_opened_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, option: list[str], opened: int
) -> None:
    pages: list[str] = []
    monkeypatch.setattr("webbrowser.open", pages.append)

    def stopped(_: object, poll_interval: float = 0.5) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kdscope.view.server.ViewServer.serve_forever", stopped)
    code, out, err = call(monkeypatch, capsys, "view", school(tmp_path / "run", items=2), "--port", 0, *option)
    assert (code, err) == (0, "")
    assert len(pages) == opened
    assert all(page in out for page in pages)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("", "there is no such folder"),
        ("tables", "it has no tables/cells.parquet"),
        ("records", "nothing is trained again"),
    ],
)
def test_what_is_no_run_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, part: str, said: str
) -> None:
    run = school(tmp_path / "run", items=2)
    (run / part).rename(tmp_path / "away")
    code, out, err = call(monkeypatch, capsys, "view", run, "--no-browser")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith(f"error: {run}")
    assert said in err


def test_help_names_it_between_report_and_export(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    code, out, _ = call(monkeypatch, capsys, "--help")
    assert code == 0
    assert "Browse what the models of a run wrote" in out

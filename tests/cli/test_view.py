from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.cli.command import call
from tests.view.runs import school

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

"""The campaign of attacks: it sees what is wrong, and in a short form finds nothing."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
FAMILIES = {"kills", "corruptions", "faults", "inputs"}


@pytest.fixture
def attacks(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from attacks import commands, kills, result, world

    return SimpleNamespace(commands=commands, kills=kills, result=result, world=world)


@pytest.mark.parametrize(
    ("code", "out", "err", "late", "words"),
    [
        (0, "fine\n", "", False, ""),
        (2, "", "error: study.yaml:3: no\n", False, ""),
        (0, "", "", True, "did not end"),
        (-6, "", "", False, "signal 6"),
        (1, "", "Traceback (most recent call last):\nKeyError: 'x'\n", False, "KeyError"),
        (0, "\x1b[2J", "", False, "0x1b"),
        (0, "\x9b2J", "", False, "0x9b"),
        (2, "", "", False, "without a word"),
        (70, "", "", False, "exit code 70"),
    ],
)
def test_complaint_names_hang_signal_traceback_control_character_and_silence(attacks, code, out, err, late, words):
    found = attacks.commands.complaint(attacks.commands.Outcome(code, out, err, 0.1, late))
    assert (words in found) if words else found == ""


def test_difference_sees_a_changed_byte_a_missing_file_and_another_page(attacks, tmp_path):
    def make(name: str, page: str) -> Any:
        world = attacks.world.new_world(tmp_path / name)
        (world.delivered / "tables").mkdir(parents=True)
        (world.delivered / "tables" / "gains.csv").write_text("a\n")
        (world.delivered / "report.html").write_text(page)
        stage = world.store / "stages" / "write_report" / "0"
        stage.mkdir(parents=True)
        facts = {"report.html": {"sha256": hashlib.sha256(b"page").hexdigest()}}
        (stage / "manifest.json").write_text(json.dumps({"files": facts}))
        return world

    reference, world = make("reference", "page"), make("world", "page")
    assert "report.html" in attacks.world.difference(make("other", "another page"), reference)
    assert attacks.world.difference(world, reference) == ""
    (world.delivered / "tables" / "gains.csv").write_text("b\n")
    assert attacks.world.difference(world, reference) == "runs/target/tables/gains.csv differs"
    (world.delivered / "tables" / "gains.csv").unlink()
    assert attacks.world.difference(world, reference) == "runs/target/tables/gains.csv is missing"


def test_a_run_that_fails_though_nobody_killed_it_is_a_failure_of_its_kills(attacks, monkeypatch, tmp_path):
    over = attacks.commands.Outcome(1, "", "error: it is broken\n", 0.1)
    call = SimpleNamespace(pid=2**30, kill=lambda: None, wait=lambda seconds: over)  # there is no such process
    monkeypatch.setattr(attacks.kills, "start", lambda *_: call)
    monkeypatch.setattr(attacks.kills, "_MEAN_SECONDS", 1e-3)
    [found] = attacks.kills.kill_until_done(None, tmp_path / "try", random.Random(0))
    assert "exit code 1" in found.problem
    assert "it is broken" in found.problem


def test_table_counts_tries_by_family_and_lists_failures(attacks):
    results = [attacks.result.Result("kills", "the run"), attacks.result.Result("kills", "a worker", "x differs")]
    text = attacks.result.table(results)
    assert "| kills | 2 | 1 | 1 |" in text
    assert text.endswith("kills: a worker: x differs")


def test_short_campaign_finds_nothing(tmp_path):
    """Six seconds for each family, at least one try."""
    log = tmp_path / "log.jsonl"
    command = [sys.executable, str(SCRIPTS / "campaign.py"), "--minutes", "0.4", "--tries", "16", "--log", str(log)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {json.loads(line)["family"] for line in log.read_text().splitlines()} == FAMILIES

"""A study with two workers: the same tables, whatever happens to the processes, and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kdscope import api
from kdscope.pipeline.executors.processes import ProcessPool
from kdscope.pipeline.stage import in_order
from kdscope.study.load import load_study
from tests.builders import make_data, make_hollow_model, make_model, table_bytes, write_study

TRAINED = ["train cut/forward_kl-T1/big/s0", "train cut/sft/s0"]


def rewrite(folder: Path, **runtime: Any) -> Path:
    """A study of 19 stages, most of which can run beside another one."""
    fidelity = {"ceiling": "none", "distribution_items": 0}
    return write_study(folder, methods=["sft", "forward_kl"], fidelity=fidelity, runtime={"device": "cpu", **runtime})


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_data(folder)
    make_model(folder / "teacher")
    return folder


@pytest.fixture
def world(models: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "world"
    shutil.copytree(models, folder)
    (folder / "random.py").write_text("raise SystemExit('not what anybody meant by random')")
    rewrite(folder, threads=1, workers=2)
    return folder


@pytest.fixture(scope="module")
def alone(models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tables that one process makes."""
    folder = tmp_path_factory.mktemp("alone") / "world"
    shutil.copytree(models, folder)
    rewrite(folder, threads=1)
    with start(folder) as process:
        assert count(read(process)) == {"executed": 19, "reused": 0, "failed": 0, "blocked": 0}
    return tables(folder)


@contextmanager
def start(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The study on the command line, in a session of its own as if in a terminal of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-P", "-m", "kdscope", "run", "study.yaml", "--json"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=folder, env=environment, text=True, start_new_session=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def read(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    return [json.loads(line) for line in out.splitlines()]


def read_until(process: subprocess.Popen[str], event: str, label: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        told = json.loads(line)
        if (told["event"], told.get("label")) == (event, label):
            return
    raise AssertionError(f"{label} never {event}")


def count(events: list[dict[str, Any]]) -> dict[str, int]:
    return {name: events[-1][name] for name in ("executed", "reused", "failed", "blocked")}


def told(events: list[dict[str, Any]], name: str) -> list[str]:
    return [event["label"] for event in events if event["event"] == name]


def tables(folder: Path) -> dict[str, bytes]:
    return table_bytes(folder / "runs/small/tables")


def children(pid: int) -> list[int]:
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listing.splitlines()]
    return [int(row[0]) for row in rows if int(row[1]) == pid and not row[2].startswith("Z")]


def alive(pids: list[int]) -> list[int]:
    listing = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True, check=True).stdout
    return [int(r[0]) for line in listing.splitlines() if int((r := line.split())[0]) in pids and r[1][0] != "Z"]


def gone_within(seconds: float, pids: list[int]) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pids)


def test_two_workers_make_the_same_tables_and_the_second_run_starts_none(
    world: Path, alone: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with start(world) as process:
        events = read(process)
    assert tables(world) == alone
    assert count(events) == {"executed": 19, "reused": 0, "failed": 0, "blocked": 0}
    assert len(set(told(events, "finished"))) == len(told(events, "finished")) == 19
    assert told(events, "reused") == told(events, "waiting") == []
    order = [(event["event"], event["label"]) for event in events if event["event"] in ("started", "finished")]
    at_work = [sum(1 if name == "started" else -1 for name, _ in order[:end]) for end in range(len(order))]
    assert max(at_work) == 2
    monkeypatch.chdir(world)
    monkeypatch.setattr(ProcessPool, "submit", None)
    began = time.monotonic()
    result = api.run_study(Path("study.yaml"))
    assert (result.run.executed, len(result.run.reused)) == ([], 19)
    assert time.monotonic() - began < 5


def test_a_killed_worker_changes_no_table(world: Path, alone: dict[str, bytes]) -> None:
    with start(world) as process:
        read_until(process, "started", TRAINED[0])
        workers = children(process.pid)
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        events = read(process)
    assert tables(world) == alone
    [warning] = [event["message"] for event in events if event["event"] == "warning"]
    assert "signal 9" in warning
    assert count(events)["failed"] == 0


@pytest.mark.parametrize("end", ["kill", "Ctrl-C"])
def test_workers_end_with_the_command(world: Path, end: str) -> None:
    with start(world) as process:
        read_until(process, "progress", TRAINED[1])
        workers = children(process.pid)
        assert len(workers) == 2
        if end == "kill":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGINT)
        assert gone_within(2, [process.pid, *workers])
        _, error = process.communicate()
    if end == "Ctrl-C":
        assert process.returncode == 130
        assert "Traceback" not in error
    assert not list((world / ".kdscope/failures").glob("*"))


@pytest.mark.parametrize(
    ("runtime", "cores", "threads"),
    [
        ({"workers": 2}, 2, 1),
        ({"workers": 2}, 9, 4),
        ({"workers": 4}, 2, 1),
        ({"workers": 2, "threads": 3}, 8, 3),
        ({"workers": 1}, 8, None),
        ({"workers": 1, "threads": 5}, 8, 5),
    ],
)
def test_workers_share_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: dict[str, int], cores: int, threads: int | None
) -> None:
    make_data(tmp_path)
    make_hollow_model(tmp_path / "teacher")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    plan, _ = api.plan_study(rewrite(tmp_path, **runtime), tmp_path / "store")
    computing = [stage for stage in in_order([plan.report]) if "threads" in stage.context]
    assert {stage.kind for stage in computing} == {"adapt_teacher", "record_states", "distil_student", "evaluate_model"}
    assert {stage.context["threads"] for stage in computing} == {threads}


def test_the_number_of_workers_changes_no_identity(tmp_path: Path) -> None:
    make_data(tmp_path)
    make_hollow_model(tmp_path / "teacher")
    one, two = (load_study(rewrite(tmp_path, workers=workers)) for workers in (1, 2))
    identities = [api.plan_study(study, tmp_path / "store")[0].report.identity for study in (one, two)]
    assert identities[0] == identities[1]

"""Real processes, really killed; and several at once on one store."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import kdscope.pipeline
from kdscope.pipeline.manifest import read_manifest

SCRIPT = Path(__file__).with_name("toy_study.py")
SOURCE = str(Path(kdscope.pipeline.__file__).parents[2])
LABELS = ["data", "teacher", "student0", "mark0", "student1", "mark1", "report"]
STEP_SECONDS = 0.012


def start(store: Path, log: Path, *more: str, seconds: float = STEP_SECONDS) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), str(store), str(log), str(seconds), *more]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": SOURCE}, **pipes)


def finish(process: subprocess.Popen[str]) -> list[str]:
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    return json.loads(out)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def completed(store: Path) -> set[str]:
    return {read_manifest(path).label for path in store.glob("stages/*/*/manifest.json")}


def outputs(store: Path) -> dict[str, bytes]:
    files = (path for path in sorted(store.glob("stages/**/*")) if path.is_file() and path.name != "manifest.json")
    return {str(path.relative_to(store)): path.read_bytes() for path in files}


def events(log: Path, name: str) -> list[str]:
    lines = log.read_text().splitlines() if log.exists() else []
    return [line.removeprefix(name + " ") for line in lines if line.startswith(name + " ")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[dict[str, bytes], float]:
    """What the study comes to when nobody disturbs it, and how long that takes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    assert finish(start(folder / "store", folder / "log")) == LABELS
    return outputs(folder / "store"), time.monotonic() - began


def assert_clean(store: Path, expected: dict[str, bytes]) -> None:
    assert outputs(store) == expected
    assert [path for name in ("building", "scratch", "damaged", "failures") for path in store.glob(f"{name}/*")] == []


@pytest.mark.parametrize("seed", range(8))
def test_killed_at_a_random_instant_it_goes_on_where_it_was(tmp_path, undisturbed, seed):
    expected, seconds = undisturbed
    store, log = tmp_path / "store", tmp_path / "log"
    process = start(store, log)
    time.sleep(random.Random(seed).uniform(0.15, 0.95) * seconds)
    kill(process)
    complete = completed(store)
    executed = finish(start(store, log))
    assert set(executed) == set(LABELS) - complete
    assert_clean(store, expected)
    # At most the one step that had no checkpoint yet was taken twice.
    steps = Counter(events(log, "step"))
    assert len(steps) == 3 * len(LABELS)
    assert sum(steps.values()) - len(steps) <= 1


def test_killed_again_and_again_it_still_arrives(tmp_path, undisturbed):
    expected, seconds = undisturbed
    store, log = tmp_path / "store", tmp_path / "log"
    for i in range(4):
        process = start(store, log)
        time.sleep((0.3 + 0.05 * i) * seconds)
        kill(process)
    finish(start(store, log))
    assert_clean(store, expected)
    assert max(Counter(events(log, "end")).values()) <= 2  # only a kill between end and manifest runs it again


def test_killed_at_every_single_call_to_the_file_system(tmp_path):
    process = start(tmp_path / "stores", tmp_path / "log", "every-call", seconds=0)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    cases = [json.loads(line) for line in out.splitlines()]
    assert len(cases) > 50
    assert [case["status"] for case in cases] == [9] * (len(cases) - 1) + [0]
    seen = {}
    for number, case in enumerate(cases, 1):
        todo = {"absent absent": ["data", "teacher"], "done absent": ["teacher"], "done done": []}
        assert case["executed"] == todo[" ".join(case["before"])], number
        assert case["left"] == [], number
        seen[len(case["executed"])] = case["value"]
    assert sorted(seen) == [0, 1, 2]
    assert len(set(seen.values())) == 1


def test_processes_at_once_share_the_work_and_do_nothing_twice(tmp_path, undisturbed):
    store, log = tmp_path / "store", tmp_path / "log"
    processes = [start(store, log) for _ in range(3)]
    executed = [label for process in processes for label in finish(process)]
    assert sorted(executed) == sorted(LABELS)
    assert sorted(events(log, "start")) == sorted(LABELS)
    assert_clean(store, undisturbed[0])
    assert events(log, "warning") == []


def test_a_waiting_process_takes_over_from_a_killed_one(tmp_path, undisturbed):
    store, log = tmp_path / "store", tmp_path / "log"
    first = start(store, log, seconds=5)
    wait_for(lambda: events(log, "start") == ["data"])
    second = start(store, log)
    wait_for(lambda: events(log, "waiting") == ["data"])
    kill(first)
    assert finish(second) == LABELS
    assert_clean(store, undisturbed[0])


def wait_for(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)

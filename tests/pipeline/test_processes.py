"""A run that is shared with worker processes: what it comes to, and what becomes of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kdscope.pipeline
from kdscope.core.errors import MachineError, StoreError
from kdscope.pipeline.executors.processes import ProcessPool
from kdscope.pipeline.run import run_plan
from kdscope.pipeline.stage import stage_from_line, stage_to_line
from kdscope.pipeline.store import Store
from tests.pipeline import toy_worker
from tests.pipeline.toy_worker import process_pool, toy

SOURCE = Path(kdscope.pipeline.__file__).parents[2]


def labels(stages):
    return [stage.label for stage in stages]


def pids(store, label):
    """The processes that began the stage, in order."""
    return [int(line) for line in (store.root / "notes" / label).read_text().split()]


def is_gone(pid):
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip()[:1] in ("", "Z")


def within(seconds, condition):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.fixture
def run(store, events):
    """Run stages with two workers; afterwards these must be gone."""

    def run(targets, size=2):
        with process_pool(store, events, size) as pool:
            result = run_plan(targets, store, toy_worker.execute, events=events, executor=pool, poll_seconds=0.01)
        workers = {pid for file in store.root.glob("notes/*") for pid in pids(store, file.name)} - {os.getpid()}
        assert all(map(is_gone, workers))
        return result

    return run


def value(result, stage):
    return (result.path(stage) / "value").read_text()


# Sharing


def test_stages_that_can_run_at_once_do(run, store, events):
    data = toy("data")
    one, two = toy("one", {"d": data}, do="meet", other="two"), toy("two", {"d": data}, do="meet", other="one")
    report = toy("report", {"one": one, "two": two})
    result = run([report])
    assert value(result, report) == "report(one=one(d=data()),two=two(d=data()))"
    assert sorted(labels(result.executed)) == ["data", "one", "report", "two"]
    assert result.reused == result.failed == result.blocked == []
    assert pids(store, "one") != pids(store, "two")
    assert os.getpid() not in pids(store, "one") + pids(store, "two") + pids(store, "report")
    assert events.of("working") == [2]
    assert sorted(events.of("progress")) == [(name, 1, 2, "steps", "met") for name in ("one", "two")]
    assert sorted(events.of("started")) == sorted(events.of("finished")) == ["data", "one", "report", "two"]
    assert events.of("waiting") == events.of("warning") == events.of("reused") == []


@pytest.mark.parametrize("length", [0, 1, 3])
def test_a_chain_needs_no_worker(store, events, length):
    stages = []
    for number in range(length):
        stages.append(toy(f"link{number}", {"before": stages[-1]} if stages else {}))
    with ProcessPool(("/nowhere/python",), 2, events) as pool:
        result = run_plan(stages, store, toy_worker.execute, events=events, executor=pool)
        assert not pool.started
    assert labels(result.executed) == labels(stages)
    assert events.of("working") == []


def test_the_second_run_starts_no_worker(run, store, events):
    stages = [toy("one"), toy("two")]
    run(stages)
    with ProcessPool(("/nowhere/python",), 2, events) as pool:
        result = run_plan(stages, store, toy_worker.execute, executor=pool)
    assert labels(result.reused) == ["one", "two"]
    assert result.executed == []


def test_no_more_workers_start_than_have_something_to_do(run, store):
    one, two = toy("one", do="meet", other="two"), toy("two", do="meet", other="one")
    result = run([toy("report", {"one": one, "two": two})], size=5)
    assert len(result.executed) == 3
    assert len({pid for name in ("one", "two", "report") for pid in pids(store, name)}) == 2


def test_what_most_hangs_on_comes_first(run, store, events):
    """In plan order the three evaluations of the first model would come before the second model's training."""
    first = toy("first")
    marks = {f"m{i}": toy(f"mark{i}", {"model": first}) for i in range(3)}
    second = toy("second", {"first": first})
    last = toy("last", {"model": second})
    run([toy("report", {**marks, "last": last})], size=1)
    assert events.of("started") == ["first", "second", "mark0", "mark1", "mark2", "last", "report"]


def test_a_worker_finds_the_modules_that_this_process_finds(run, monkeypatch, tmp_path):
    (tmp_path / "only_here.py").write_text("")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    stages = [toy(name, do="import", module="only_here") for name in ("one", "two")]
    assert run(stages).messages == {}


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Iterator[tuple[Store, ProcessPool]]:
    from tests.pipeline.conftest import Recorder

    store = Store(tmp_path_factory.mktemp("shared") / "store")
    with process_pool(store, Recorder(), 3) as pool:
        yield store, pool


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(study=st.lists(st.tuples(st.sets(st.integers(0, 5), max_size=3), st.booleans(), st.integers(0, 4)), max_size=7))
def test_any_graph_comes_to_the_same_as_without_help(study, shared, tmp_path_factory):
    stages, number = [], uuid4()
    for i, (parents, tolerant, luck) in enumerate(study):
        inputs = {f"r{p}": stages[p] for p in sorted(parents) if p < i}
        stages.append(toy(f"s{i}-{number}", inputs, do="" if luck else "fail", tolerates_missing=tolerant))
    store, pool = shared
    alone = run_plan(stages, Store(tmp_path_factory.mktemp("alone") / "store"), toy_worker.execute)
    result = run_plan(stages, store, toy_worker.execute, executor=pool, poll_seconds=0.01)
    for name in ("executed", "reused", "failed", "blocked"):
        assert sorted(labels(getattr(result, name))) == sorted(labels(getattr(alone, name)))
    assert result.messages == alone.messages
    for stage in stages:
        assert (result.final(stage) is None) == (alone.final(stage) is None)
        if alone.final(stage) is not None:
            assert value(result, stage) == value(alone, stage)


# Trouble


def test_a_failure_is_told_once_and_not_repeated(run, store, events):
    data = toy("data")
    bad, good = toy("bad", {"d": data}, do="fail"), toy("good", {"d": data})
    report = toy("report", {"bad": bad, "good": good}, tolerates_missing=True)
    result = run([report])
    assert events.of("failed") == [("bad", "toy.jsonl, row 3: cannot be used")]
    assert result.messages == {bad.identity: "toy.jsonl, row 3: cannot be used"}
    assert len(pids(store, "bad")) == 1
    assert value(result, report) == "report(good=good(d=data()))"
    assert "DataError: toy.jsonl, row 3" in next(store.root.glob("failures/*.json")).read_text()


def test_a_killed_worker_costs_one_attempt(run, store, events):
    stages = [toy("unlucky", do="die_once"), *(toy(f"other{i}", do="sleep", seconds=0.1) for i in range(4))]
    result = run(stages)
    assert sorted(labels(result.executed)) == sorted(labels(stages))
    assert len(set(pids(store, "unlucky"))) == 2
    [warning] = events.of("warning")
    assert warning.startswith("unlucky: its process died (killed by signal 9")
    assert "memory" in warning
    assert events.of("working") == [2, 1]
    assert events.of("failed") == []


def test_what_workers_die_of_fails_and_the_rest_goes_on_here(run, store, events):
    bad, other = toy("bad", do="crash"), toy("other", do="sleep", seconds=0.3)
    report = toy("report", {"bad": bad, "other": other, "last": toy("last")}, tolerates_missing=True)
    result = run([report])
    [(label, message)] = events.of("failed")
    assert (label, len(pids(store, "bad"))) == ("bad", 2)
    assert message == ("its process died, and so did the one that tried again (exit code 3: the library says goodbye)")
    assert store.last_failure(bad) == message
    assert sorted(labels(result.executed)) == ["last", "other", "report"]
    assert pids(store, "report") == [os.getpid()]
    assert events.of("working") == [2, 1]
    assert value(result, report) == "report(last=last(),other=other())"


def test_a_worker_that_dies_idle_is_told_of(store, events, tmp_path):
    gate = tmp_path / "gate"
    long = toy("long", do="wait", file=str(gate))
    stages = [toy("short"), toy("after", {"long": long})]

    def kill_the_idle_one(stage, _):
        if stage.label == "short":
            [pid] = pids(store, "short")
            os.kill(pid, signal.SIGTERM)
            assert within(5, lambda: is_gone(pid))
            gate.touch()

    events.finished = kill_the_idle_one
    with process_pool(store, events) as pool:
        result = run_plan(stages, store, toy_worker.execute, events=events, executor=pool)
    assert len(result.executed) == 3
    [warning] = events.of("warning")
    assert warning.startswith("an idle process died (killed by signal 15")


def test_what_libraries_print_or_ask_disturbs_nothing(run, store, events):
    result = run([toy("loud", do="chatter"), toy("quiet")])
    assert sorted(labels(result.executed)) == ["loud", "quiet"]
    assert events.of("progress") == [("loud", 0.5, 2, "items", "line\nbreak \u2028 \udcff")]


def test_a_worker_that_cannot_start_stops_the_run(store, events):
    with ProcessPool(("/nowhere/python",), 2, events) as pool, pytest.raises(MachineError, match="nowhere"):
        run_plan([toy("one"), toy("two")], store, toy_worker.execute, executor=pool)


def test_workers_that_die_at_once_leave_the_work_here(store, events):
    with ProcessPool((sys.executable, "-c", "raise SystemExit('no such module')"), 2, events) as pool:
        result = run_plan([toy(f"s{i}") for i in range(4)], store, toy_worker.execute, events=events, executor=pool)
    assert len(result.executed) == 4
    assert all("exit code 1: no such module" in warning for warning in events.of("warning"))
    assert pids(store, "s3") == [os.getpid()]


def test_a_store_that_workers_cannot_write_is_an_error(store, events):
    store.root.mkdir()
    (store.root / "locks").write_text("in the way")
    with process_pool(store, events) as pool, pytest.raises(StoreError, match="locks"):
        run_plan([toy("one"), toy("two")], store, toy_worker.execute, events=events, executor=pool)


def test_a_damaged_input_is_told_of_by_the_worker(run, store, events):
    stages = [toy("one"), toy("two")]
    result = run(stages)
    (result.path(stages[0]) / "value").write_text("")
    (result.path(stages[1]) / "value").unlink()
    assert len(run(stages).executed) == 2
    assert sorted(warning.split(":")[0] for warning in events.of("warning")) == ["one", "two"]


# Beside other runs


def test_what_another_run_is_at_is_left_to_it(store, events, tmp_path):
    gate = tmp_path / "gate"
    busy, long = toy("busy"), toy("long", do="wait", file=str(gate))
    after = toy("after", {"busy": busy})
    elsewhere = Store(store.root)
    lock = elsewhere.try_lock(busy)
    lock.__enter__()

    def complete_elsewhere(_):
        with elsewhere.build(busy) as work:
            (work.output / "value").write_text("from elsewhere")
        lock.__exit__(None, None, None)

    events.finished = lambda stage, _: gate.touch() if stage.label == "other" else None
    events.waiting = lambda stages: (events.seen.append(("waiting", labels(stages))), complete_elsewhere(stages))
    with process_pool(store, events) as pool:
        stages = [after, toy("other"), long]
        result = run_plan(stages, store, toy_worker.execute, events=events, executor=pool, poll_seconds=0.01)
    assert events.of("waiting") == [["busy"]], "only when no worker has anything to do"
    assert labels(result.reused) == ["busy"]
    assert sorted(labels(result.executed)) == ["after", "long", "other"]
    assert value(result, after) == "after(busy=from elsewhere)"


def test_an_idle_worker_takes_over_while_the_other_one_works(store, events, tmp_path):
    gate = tmp_path / "gate"
    lock = Store(store.root).try_lock(toy("busy"))
    lock.__enter__()
    told = []

    def let_go(stage, *_):
        told.append(stage.label)
        if len(told) == 20:  # long after the one that waits was told to look elsewhere
            lock.__exit__(None, None, None)

    events.progress = let_go
    events.finished = lambda stage, _: gate.touch() if stage.label == "busy" else None
    timer = threading.Timer(10, gate.touch)  # the order of the two tells if this was what ended it
    timer.start()
    with process_pool(store, events) as pool:
        stages = [toy("busy"), toy("long", do="wait", file=str(gate))]
        result = run_plan(stages, store, toy_worker.execute, events=events, executor=pool, poll_seconds=0.1)
    timer.cancel()
    assert labels(result.executed) == ["busy", "long"]
    assert events.of("waiting") == []


# The end


@contextmanager
def endless(store: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A run in a session of its own whose two stages never end, and the processes that are at them."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(SOURCE), str(SOURCE.parent)))}
    command = [sys.executable, toy_worker.__file__, "run", str(store)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        notes = [store / "notes" / name for name in ("one", "two")]
        try:
            assert within(30, lambda: all(note.exists() and note.read_text() for note in notes))
            yield process, [int(note.read_text()) for note in notes]
        finally:
            process.kill()


ENDS: dict[str, Callable[[int], None]] = {
    "killed": lambda pid: os.kill(pid, signal.SIGKILL),
    "terminated": lambda pid: os.kill(pid, signal.SIGTERM),
    "interrupted": lambda pid: os.kill(pid, signal.SIGINT),
    "interrupted with its terminal": lambda pid: os.killpg(pid, signal.SIGINT),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_workers_do_not_outlive_their_run(tmp_path, end):
    with endless(tmp_path / "store") as (process, workers):
        assert not any(map(is_gone, workers))
        end(process.pid)
        process.wait(2)
        assert within(2, lambda: all(map(is_gone, workers)))
        assert process.stderr.read().count("Traceback") <= 1, "a worker printed one too"


def test_an_interrupt_is_for_the_one_in_charge(run, events):
    assert len(run([toy("one", do="interrupt"), toy("two", do="interrupt")]).executed) == 2
    assert events.of("warning") == []


def test_an_interrupt_leaves_nothing_half_written(store, events):
    begun = []

    def interrupt(stage, *_):
        begun.append(stage.label)
        if len(begun) == 2:
            raise KeyboardInterrupt

    events.progress = interrupt
    with pytest.raises(KeyboardInterrupt), process_pool(store, events) as pool:
        run_plan(
            [toy("one", do="hang"), toy("two", do="hang")], store, toy_worker.execute, events=events, executor=pool
        )
    assert sorted(begun) == ["one", "two"]
    assert all(is_gone(pid) for name in begun for pid in pids(store, name))
    assert not list(store.root.glob("stages/*/*"))
    assert not list(store.root.glob("failures/*"))


# Stages as lines


def test_a_stage_survives_the_way_to_another_process():
    data = toy("data", do="sleep", seconds=0.25)
    teacher = toy("teacher \u2028 \n[x]", {"data": data})
    student = toy("student", {"teacher": teacher, "data": data})
    line = stage_to_line(student)
    assert "\n" not in line
    back = stage_from_line(line)
    assert back.identity == student.identity
    assert (back.label, back.context, back.inputs) == (student.label, student.context, student.inputs)
    assert back.inputs["teacher"].inputs["data"].context == {"do": "sleep", "seconds": 0.25}


def test_processes_that_disagree_about_a_stage_do_not_work_together():
    values = json.loads(stage_to_line(toy("one")))
    values[0]["version"] = 2
    with pytest.raises(ValueError, match="one: its identity is"):
        stage_from_line(json.dumps(values))

from __future__ import annotations

import errno
import itertools
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdscope.core.errors import StoreError
from kdscope.pipeline.run import Resources, run_plan
from kdscope.pipeline.store import Store


def labels(stages):
    return [stage.label for stage in stages]


def value(result, stage):
    return (result.path(stage) / "value.txt").read_text()


def test_runs_inputs_first_and_tells(run, chain, events):
    result = run(chain[-1:])
    assert labels(result.executed) == ["data", "teacher", "student", "report"]
    assert result.reused == result.failed == result.blocked == []
    assert value(result, chain[1]) == "toy{'name': 'teacher'}(source=toy{'name': 'data'}())"
    assert events.seen[:3] == [("plan", labels(chain)), ("started", "data"), ("finished", "data")]


def test_the_second_run_executes_nothing(run, chain, toy, store):
    run(chain)
    toy.calls.clear()
    before = sorted(store.root.rglob("*"))
    result = run(chain)
    assert toy.calls == result.executed == []
    assert labels(result.reused) == labels(chain)
    assert sorted(store.root.rglob("*")) == before


def test_a_change_reruns_only_what_depends_on_it(run, chain, stage, toy):
    run(chain)
    toy.calls.clear()
    student = stage("student", {"source": chain[1]}, parameters={"temperature": 4})
    result = run([stage("report", {"source": student})])
    assert toy.calls == ["student", "report"]
    assert labels(result.reused) == ["data", "teacher"]


def test_inputs_of_a_complete_stage_need_not_exist(run, chain, store, toy):
    run(chain)
    for stage in chain[:2]:
        store.path(stage).rename(store.root / stage.identity)
    toy.calls.clear()
    result = run(chain[-1:])
    assert toy.calls == []
    assert labels(result.reused) == ["student", "report"]


def damage_truncate(path):
    (path / "value.txt").write_text("")


def damage_flip(path):
    content = bytearray((path / "inner" / "data.bin").read_bytes())
    content[50] ^= 1
    (path / "inner" / "data.bin").write_bytes(content)


def damage_manifest(path):
    (path / "manifest.json").unlink()


@pytest.mark.parametrize("damage", [damage_truncate, damage_flip, damage_manifest])
def test_a_damaged_input_is_moved_aside_and_rerun_alone(run, chain, store, toy, events, damage, stage):
    first = value(run(chain), chain[1])
    damage(store.path(chain[1]))
    toy.calls.clear()
    other = stage("other", {"source": chain[1]})
    result = run([*chain[3:], other])
    assert toy.calls == ["teacher", "other"]
    assert value(result, chain[1]) == first
    assert labels(result.reused) == ["data", "student", "report"]
    assert len(list((store.root / "damaged").iterdir())) == 1
    [warning] = events.of("warning")
    assert warning.startswith("teacher: ")
    assert "damaged" in warning


def test_a_damaged_target_reruns(run, chain, store, toy):
    run(chain)
    (store.path(chain[-1]) / "value.txt").unlink()
    toy.calls.clear()
    assert labels(run(chain[-1:]).executed) == ["report"]


def test_inputs_are_verified_once_per_run(run, stage, monkeypatch):
    data = stage("data")
    run([data])
    from kdscope.pipeline import fingerprint

    read = []
    original = fingerprint.sha256_of
    monkeypatch.setattr(fingerprint, "sha256_of", lambda path: read.append(path) or original(path))
    store = run.keywords["store"]
    run([stage(f"cell{i}", {"data": data}) for i in range(4)])
    assert sum(store.path(data) in path.parents for path in read) == 2  # two files, each once


def test_what_a_run_has_made_is_not_read_by_the_next_if_it_is_large(run, chain, store, monkeypatch):
    from kdscope.pipeline import fingerprint
    from kdscope.pipeline import store as module

    monkeypatch.setattr(module, "_LEAST_BYTES", 0)  # as if it were large
    monkeypatch.setattr(fingerprint.time, "time_ns", lambda: 2**62)  # long after it was written
    run(chain)
    monkeypatch.setattr(fingerprint, "sha256_of", None)
    again = run_plan(chain, Store(store.root), None)
    assert again.executed == []
    assert labels(again.reused) == labels(chain)


def grid(stage, tolerant=True):
    """Three cells on one data set, each evaluated; one analysis over all, one report on it."""
    data = stage("data")
    cells = [stage(f"cell{i}", {"data": data}) for i in range(3)]
    marks = [stage(f"mark{i}", {"model": cell}) for i, cell in enumerate(cells)]
    analysis = stage("analysis", {f"c{i}": mark for i, mark in enumerate(marks)}, tolerates_missing=tolerant)
    return cells, marks, analysis, stage("report", {"analysis": analysis})


def test_a_failure_stays_alone_and_the_rest_goes_on(run, stage, toy, events, store):
    cells, marks, analysis, report = grid(stage)
    toy.broken = {"cell1"}
    result = run([report])
    assert labels(result.executed) == ["data", "cell0", "mark0", "cell2", "mark2", "analysis", "report"]
    assert labels(result.failed) == ["cell1"]
    assert labels(result.blocked) == ["mark1"]
    assert result.messages == {cells[1].identity: "toy.jsonl, row 3: cannot be used"}
    assert events.of("failed") == [("cell1", "toy.jsonl, row 3: cannot be used")]
    assert events.of("blocked") == [("mark1", ["cell1"])]
    assert events.of("plan")[1] == ["analysis", "report"]
    assert result.final(analysis) == analysis.without(["c1"]) != analysis
    assert result.final(report).inputs["analysis"] == analysis.without(["c1"])
    assert "c0=" in value(result, report)
    assert "c1=" not in value(result, report)
    record = json.loads((store.root / "failures" / f"{cells[1].identity}.json").read_text())
    assert "DataError: toy.jsonl, row 3" in record["traceback"]
    with pytest.raises(StoreError, match="mark1: there is no output"):
        result.path(marks[1])


def test_after_a_failure_only_the_failed_and_what_hangs_on_it_runs_again(run, stage, toy):
    *_, report = grid(stage)
    toy.broken = {"cell1"}
    run([report])
    toy.calls.clear()
    result = run([report])
    assert toy.calls == ["cell1"]
    assert "report" in labels(result.reused)
    assert result.final(report) != report
    toy.broken = set()
    toy.calls.clear()
    result = run([report])
    assert toy.calls == ["cell1", "mark1", "analysis", "report"]
    assert result.final(report) == report


def test_damaged_targets_are_made_again_beside_a_failure(run, stage, toy, store):
    """Of what stands for the planned stages, and of what nobody reads any more, if it is a target."""
    cells, marks, analysis, report = grid(stage)
    targets = [report, analysis, *marks, cells[0]]
    toy.broken = {"cell1"}
    result = run(targets)
    wanted = value(result, report)
    for one in (result.final(report), result.final(analysis), marks[2], cells[0]):
        content = store.path(one) / "value.txt"
        content.write_text(content.read_text().swapcase())
    toy.calls.clear()
    result = run(targets)
    assert sorted(toy.calls) == ["analysis", "cell0", "cell1", "mark2", "report"]
    assert value(result, report) == wanted
    assert store.inspect(cells[0], full=True).state == "done"


def test_what_tolerates_nothing_is_blocked(run, stage, toy, events):
    *_, report = grid(stage, tolerant=False)
    toy.broken = {"cell1"}
    result = run([report])
    assert labels(result.blocked) == ["mark1", "analysis", "report"]
    assert result.final(report) is None
    assert ("report", ["analysis"]) in events.of("blocked")


def test_with_nothing_left_even_the_tolerant_are_blocked(run, stage, toy):
    *_, report = grid(stage)
    toy.broken = {"data"}
    result = run([report])
    assert labels(result.failed) == ["data"]
    assert "analysis" in labels(result.blocked)
    assert result.executed == []


def test_a_rewired_stage_may_fail_in_turn(run, stage, toy):
    *_, report = grid(stage)
    toy.broken = {"cell1", "analysis"}
    result = run([report])
    assert labels(result.failed) == ["cell1", "analysis"]
    assert labels(result.blocked) == ["mark1", "report"]


def test_a_failure_behind_a_complete_stage_is_nobodys_business(run, chain, stage, toy, store):
    run(chain)
    for one in chain[:2]:
        store.path(one).rename(store.root / one.identity)
    toy.broken = {"data"}
    result = run([chain[2], stage("other", {"source": chain[0]})])
    assert labels(result.failed) == ["data"]
    assert labels(result.blocked) == ["other"]
    assert result.final(chain[2]) == chain[2]


def test_any_exception_is_a_failure_of_its_stage_only(stage, store):
    def execute(one, context):
        if one.label == "bad":
            raise ZeroDivisionError("oh")
        context.progress.update(1, 2, "items", "half")

    result = run_plan([stage("bad"), stage("good")], store, execute)
    assert list(result.messages.values()) == ["ZeroDivisionError: oh"]
    assert labels(result.executed) == ["good"]


def test_a_function_that_ends_the_program_fails_its_stage_only(stage, store):
    def execute(one, context):
        if one.label == "bad":
            raise SystemExit("enough")

    bad = stage("bad")
    result = run_plan([bad, stage("good")], store, execute)
    assert list(result.messages.values()) == ["SystemExit: enough"]
    assert labels(result.executed) == ["good"]
    assert store.last_failure(bad) is not None


def test_an_interrupt_stops_at_once_and_leaves_nothing_half_written(chain, store, toy):
    def execute(one, context):
        toy(one, context)
        if one.label == "student":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_plan(chain, store, execute)
    assert [store.inspect(one).state for one in chain] == ["done", "done", "absent", "absent"]
    assert not list((store.root / "building").iterdir())
    assert store.last_failure(chain[2]) is None


def test_a_full_disk_fails_the_stage_and_frees_what_it_took(stage, store, toy):
    def execute(one, context):
        (context.output / "big").write_text("x" * 1000)
        if one.label == "large":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(context.output / "big"))

    result = run_plan([stage("large"), stage("small")], store, execute)
    assert labels(result.executed) == ["small"]
    [message] = result.messages.values()
    assert "big: cannot write the output of large: No space left on device" in message
    assert not list((store.root / "building").iterdir())


def test_a_failure_that_cannot_be_recorded_is_told_anyway(run, stage, toy, events, store, monkeypatch):
    toy.broken = {"bad"}

    def refuse(*_):
        raise StoreError("failures: cannot record a failure: No space left on device")

    monkeypatch.setattr(store, "record_failure", refuse)
    assert labels(run([stage("bad"), stage("good")]).executed) == ["good"]
    assert events.of("warning") == ["failures: cannot record a failure: No space left on device"]


def test_while_another_process_is_at_it_other_work_is_done_first(chain, stage, store, toy, events, monkeypatch):
    other, elsewhere = stage("other"), Store(store.root)
    lock = elsewhere.try_lock(chain[0])
    lock.__enter__()

    def finish_elsewhere(_):
        with elsewhere.build(chain[0]) as work:
            (work.output / "value.txt").write_text("from elsewhere")
        lock.__exit__(None, None, None)

    monkeypatch.setattr("kdscope.pipeline.run.time.sleep", finish_elsewhere)
    result = run_plan([chain[1], other], store, toy, events=events)
    assert toy.calls == ["other", "teacher"]
    assert labels(result.reused) == ["data"]
    assert value(result, chain[1]) == "toy{'name': 'teacher'}(source=from elsewhere)"
    assert events.of("waiting") == [["data"]]


def test_if_the_other_process_gives_up_we_do_it(chain, store, toy, monkeypatch):
    lock = Store(store.root).try_lock(chain[0])
    lock.__enter__()
    naps = itertools.count()
    monkeypatch.setattr(
        "kdscope.pipeline.run.time.sleep", lambda _: lock.__exit__(None, None, None) if next(naps) == 2 else None
    )
    assert labels(run_plan(chain[:1], store, toy).executed) == ["data"]


def test_scratch_and_progress_reach_the_stage(stage, store, events):
    def execute(one, context):
        seen = (context.scratch / "step").exists()
        (context.scratch / "step").write_text("1")
        context.progress.update(3, 10, "tokens")
        context.facts["resumed"] = seen
        if not seen:
            raise RuntimeError("stop")

    one = stage("one")
    assert run_plan([one], store, execute, events=events).failed == [one]
    assert run_plan([one], store, execute).executed == [one]
    assert store.inspect(one).manifest.facts == {"resumed": True}
    assert events.of("progress") == [("one", 3, 10, "tokens", "")]


def test_the_slot_keeps_the_last_thing_only_and_frees_it_first():
    alive = []

    class Model:
        def __init__(self, name):
            assert not alive, "two models at once"
            alive.append(name)

        def __del__(self):
            alive.clear()

    resources = Resources()
    first = id(resources.get("a", lambda: Model("a")))
    assert id(resources.get("a", lambda: Model("never"))) == first
    assert alive == ["a"]
    resources.get("b", lambda: Model("b"))
    assert alive == ["b"]
    resources.clear()
    assert alive == []


def test_a_failure_lets_go_of_what_was_loaded(stage, store):
    made = []

    def execute(one, context):
        context.resources.get("model", lambda: made.append(one.label) or object())
        if one.label == "bad":
            raise MemoryError

    run_plan([stage("good"), stage("bad"), stage("next"), stage("last")], store, execute)
    assert made == ["good", "next"]


def test_what_failed_here_counts_as_failed_even_if_another_process_manages(chain, store, toy, events, monkeypatch):
    def complete_elsewhere(one, message):
        with store.build(one) as work:
            (work.output / "value.txt").write_text("late")

    toy.broken = {"data"}
    monkeypatch.setattr(events, "failed", complete_elsewhere)
    result = run_plan(chain[:2], store, toy, events=events)
    assert labels(result.failed) == ["data"]
    assert labels(result.blocked) == ["teacher"]
    toy.calls.clear()
    assert labels(run_plan(chain[:2], store, toy).executed) == ["teacher"]


@st.composite
def studies(draw):
    """Small random graphs, each stage: which earlier ones it reads, whether it tolerates, whether it breaks."""
    size = draw(st.integers(1, 6))
    return [
        (
            draw(st.sets(st.integers(0, i - 1), max_size=3)) if i else set(),
            draw(st.booleans()),
            draw(st.integers(0, 3)) == 0,
        )
        for i in range(size)
    ]


def expected_values(study):
    """What each stage should come to, by the rules and without an engine; None where there is nothing."""
    values = []
    for i, (parents, tolerant, broken) in enumerate(study):
        present = [p for p in sorted(parents) if values[p] is not None]
        runs = len(present) == len(parents) or (tolerant and present)
        parts = ",".join(f"r{p}={values[p]}" for p in present)
        values.append(f"toy{{'name': 's{i}'}}({parts})" if runs and not broken else None)
    return values


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(study=studies(), keep=st.sets(st.integers(0, 5)))
def test_any_graph_with_any_failures_comes_to_what_the_rules_say(
    study, keep, stage, toy, tmp_path_factory, monkeypatch
):
    monkeypatch.setattr("kdscope.core.files.os.fsync", lambda _: None)
    store = Store(tmp_path_factory.mktemp("store"))
    stages = []
    for i, (parents, tolerant, _) in enumerate(study):
        stages.append(stage(f"s{i}", {f"r{p}": stages[p] for p in sorted(parents)}, tolerates_missing=tolerant))
    toy.broken, toy.calls = {f"s{i}" for i, (_, _, broken) in enumerate(study) if broken}, []

    # First a part of it, as if an earlier run had been about less; then all; then all again.
    run_plan([one for i, one in enumerate(stages) if i in keep], store, toy)
    toy.calls.clear()
    result = run_plan(stages, store, toy)
    expected = expected_values(study)
    assert [value(result, one) if result.final(one) else None for one in stages] == expected
    assert len(toy.calls) == len(set(toy.calls)), "something ran twice"
    assert {one.label for one in result.failed} <= toy.broken
    assert {one.label for one in result.blocked} | {one.label for one in result.failed} == {
        f"s{i}" for i, one in enumerate(expected) if one is None
    }
    assert run_plan(stages, store, toy).executed == []

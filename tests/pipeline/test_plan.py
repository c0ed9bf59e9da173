from __future__ import annotations

import pytest

from kdscope.pipeline.plan import plan_states, total_cost
from kdscope.pipeline.stage import Cost


def states(targets, store):
    return [(item.stage.label, item.state) for item in plan_states(targets, store)]


def test_states_follow_the_store_and_nothing_is_touched(run, chain, store):
    assert states(chain[-1:], store) == [(one.label, "will run") for one in chain]
    assert not store.root.exists()
    run(chain[:2])
    assert states(iter(chain[-1:]), store) == [
        ("data", "done"), ("teacher", "done"), ("student", "will run"), ("report", "will run"),
    ]  # fmt: skip
    (store.path(chain[1]) / "value.txt").unlink()
    assert states(chain[-1:], store)[1] == ("teacher", "damaged")
    assert plan_states(chain[-1:], store)[1].problem == "file value.txt is missing"
    assert not (store.root / "damaged").exists()


def test_what_a_complete_stage_was_made_from_is_not_needed(run, chain, store):
    run(chain)
    (store.path(chain[0]) / "manifest.json").unlink()
    store.path(chain[1]).rename(store.root / "elsewhere")
    assert states(chain[-1:], store) == [
        ("data", "not needed"), ("teacher", "not needed"), ("student", "done"), ("report", "done"),
    ]  # fmt: skip


def test_the_plan_is_what_the_run_then_does(run, chain, stage, store, toy):
    run(chain[:2])
    (store.path(chain[0]) / "value.txt").write_text("")
    targets = [chain[-1], stage("other", {"source": chain[0]})]
    planned = [item.stage.label for item in plan_states(targets, store) if item.state in ("will run", "damaged")]
    toy.calls.clear()
    run(targets)
    assert toy.calls == planned == ["data", "student", "report", "other"]


@pytest.mark.parametrize(("unknown", "seconds"), [(False, 5.0), (True, None)])
def test_totals_count_only_what_will_run(run, stage, store, unknown, seconds):
    done = stage("done", cost=Cost(100, 100.0, 100, None))
    run([done])
    first = stage("first", {"source": done}, cost=Cost(1, 2.0, 3, 2.0))
    second = stage("second", {"source": first}, cost=Cost(10, 20.0, 30, None if unknown else 3.0))
    assert total_cost(plan_states([second], store)) == Cost(11, 22.0, 33, seconds)
    assert total_cost(plan_states([done], store)) == Cost(seconds=0.0)

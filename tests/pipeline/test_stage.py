from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace

import pytest

from kdscope.core.errors import IdentityError
from kdscope.pipeline.stage import Cost, Stage, in_order


def example() -> Stage:
    data = Stage("prepare_data", "data", 1, {"files": ["train.json"], "seed": 0}, {})
    return Stage("distil_student", "student", 2, {"temperature": 2.0, "method": "forward_kl"}, {"data": data})


def test_golden_identities():
    # From `sha256sum` over the JSON written by hand; a change here makes every store in the world rerun.
    student = example()
    assert student.inputs["data"].identity == "1d435c11abde3963fd96a38271b55a5e06801f1f0d70532135a6fb2e03288cb1"
    assert student.identity == "beb0f772110edc0e98c3b3076364f47f7826baf7d6493fd15f67b6a73338e02b"
    assert student.directory_name == f"distil_student-{student.identity[:16]}"


def test_names_costs_and_places_are_not_identity():
    stage = example()
    moved = replace(stage, label="other", cost=Cost(tokens=5), context={"device": "cuda"}, tolerates_missing=True)
    assert moved == stage
    assert hash(moved) == hash(stage)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "distil_other"},
        {"version": 3},
        {"parameters": {"temperature": 2, "method": "forward_kl"}},
        {"parameters": {"temperature": 2.0, "method": "forward_kl", "more": None}},
        {"inputs": {}},
        {"inputs": {"training": example().inputs["data"]}},
        {"inputs": {"data": example()}},
    ],
)
def test_everything_else_is(change):
    assert replace(example(), **change) != example()


def test_a_change_far_upstream_changes_the_identity():
    data = replace(example().inputs["data"], parameters={"files": ["train.json"], "seed": 1})
    assert example().with_inputs({"data": data}) != example()


def test_later_changes_by_the_caller_do_not_reach_in():
    parameters, inputs = {"layers": [1, 2]}, {}
    stage = Stage("train", "s", 1, parameters, inputs)
    parameters["layers"].append(3)
    inputs["data"] = stage
    assert stage == Stage("train", "s", 1, {"layers": [1, 2]}, {})
    assert stage.parameters == {"layers": [1, 2]}
    assert not stage.inputs
    with pytest.raises(FrozenInstanceError):
        stage.version = 2


def test_without_drops_inputs_and_is_another_stage():
    assert example().without(["data"]) == example().with_inputs({})
    assert example().without(["data"]) != example()
    assert example().without(["other"]) == example()


@pytest.mark.parametrize("kind", ["", "Train", "../etc", "a/b", "a-b", "a\n", "_a", "1a"])
def test_a_kind_that_could_be_a_path_is_refused(kind):
    with pytest.raises(IdentityError, match="stage kind"):
        Stage(kind, "s", 1, {}, {})


def test_a_bad_parameter_is_named():
    with pytest.raises(IdentityError, match=r"^train\.parameters\.rate: nan"):
        Stage("train", "s", 1, {"rate": float("nan")}, {})


def test_survives_the_way_to_another_process():
    again = pickle.loads(pickle.dumps(example()))
    assert again == example()
    assert again.inputs["data"] == example().inputs["data"]


def test_order_is_inputs_first_and_each_identity_once(stage):
    data = stage("data")
    cells = [stage(f"cell{i}", {"data": replace(data, label="the same data")}) for i in range(3)]
    evaluations = [stage(f"evaluation{i}", {"model": cell}) for i, cell in enumerate(cells)]
    report = stage("report", {str(i): one for i, one in enumerate(evaluations)})
    ordered = [one.label for one in in_order([report, data, cells[2]])]
    assert ordered == [
        "the same data", "cell0", "evaluation0", "cell1", "evaluation1", "cell2", "evaluation2", "report",
    ]  # fmt: skip


def test_costs_add_and_unknown_time_stays_unknown():
    assert Cost(1, 2.0, 3, 4.0) + Cost(10, 20.0, 30, 40.0) == Cost(11, 22.0, 33, 44.0)
    assert (Cost(seconds=1.0) + Cost()).seconds is None

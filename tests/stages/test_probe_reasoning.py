"""The probes as a stage: rows of the models of the study, the same however often it is run or killed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from kdscope.evaluation.probes import ProbeRow, probe_measures
from kdscope.evaluation.records import read_records, read_row_file
from kdscope.generation import huggingface
from kdscope.generation.huggingface import HuggingFaceGenerator
from kdscope.pipeline.stage import Stage
from kdscope.pipeline.store import Store
from tests.stages.pairs_world import TASKS, World, make_pair_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_pair_world(tmp_path_factory.mktemp("probes"))


def rows_of(world: World, stage: Stage) -> list[ProbeRow]:
    result = world.run(stage)
    assert not result.failed, result.messages
    return read_row_file(ProbeRow, world.store.path(stage) / "probes.parquet")


def test_the_rows_of_a_student_and_of_a_teacher_by_itself(world: World) -> None:
    student, teacher = rows_of(world, world.probe()), rows_of(world, world.probe("teacher", teacher=False))
    assert {row.task for row in student} == {row.task for row in teacher} == set(TASKS)
    names = {"early_answer", "finish_own", "finish_teacher"}
    assert names <= {row.probe for row in student} <= names | {"mistake", "no_mistake"}
    assert not {row.probe for row in teacher} & {"finish_own", "finish_teacher"}
    assert {row.item_id for row in student} == {row.item_id for row in teacher}
    assert len({row.item_id for row in student}) == 6
    for row in student:
        record = {
            record.item_id: record
            for record in read_records(world.store.path(world.arm("student").evaluations[row.task]) / "records.parquet")
        }[row.item_id]
        assert row.final == record.robust_value
        assert (row.same_as_final is None) == (record.robust_value is None)
    frame = pd.read_parquet(world.store.path(world.probe()) / "probes.parquet")
    assert frame["fraction"].between(0, 1).all()
    assert {measure.measure for measure in probe_measures(student)} >= {"finish_teacher_accuracy"}


def test_a_killed_run_ends_with_the_same_rows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, stage = rows_of(world, world.probe()), world.probe()
    copy = replace(world, store=Store(world.folder / "second"))
    calls: list[int] = []
    original = HuggingFaceGenerator.generate

    def dying(self: Any, prompts: Any, decoding: Any, *, call: int = 0) -> Any:
        calls.append(call)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, prompts, decoding, call=call)

    assert not copy.run(*stage.inputs.values()).failed
    monkeypatch.setattr(HuggingFaceGenerator, "generate", dying)
    with pytest.raises(KeyboardInterrupt):
        copy.run(stage)
    assert rows_of(copy, stage) == whole
    assert calls[:4] == [0, 1, 2, 2], "two batches were kept"


def test_the_model_of_the_last_evaluation_is_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, load = [], huggingface.load_model

    def counted(*places: Any) -> Any:
        loaded.append(places)
        return load(*places)

    monkeypatch.setattr(huggingface, "load_model", counted)
    copy = replace(world, store=Store(world.folder / "third"))
    assert rows_of(copy, world.probe("teacher", teacher=False))
    assert len(loaded) == 1, "once for two tasks and the probes"


def test_items_are_chosen_by_the_seed_alone(world: World) -> None:
    chosen = [
        {row.item_id for row in rows_of(world, world.probe(seed=seed, items=2, teacher=False))} for seed in range(3)
    ]
    assert all(len(items) == 4 for items in chosen)
    assert len({frozenset(items) for items in chosen}) > 1

"""The distribution pass as a stage: its tables are of the models of the study, on the items it may look at."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import kdscope.evaluation.distribution_fidelity
import kdscope.evaluation.distributions
import kdscope.stages.models
from kdscope.evaluation.records import read_records
from kdscope.models.load import load_model
from kdscope.models.source import ModelPlace
from kdscope.pipeline.stage import Stage
from kdscope.pipeline.store import Store
from kdscope.stages.rows import read_prepared_items
from tests.builders import make_model, make_tokenizer
from tests.evaluation.test_distributions import MEASURES, by_hand
from tests.stages.pairs_world import ITEMS, TASKS, World, make_pair_world, run_any

TOKENIZER = make_tokenizer()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_pair_world(tmp_path_factory.mktemp("pairs"))


def tables(world: World, stage: Stage) -> tuple[pd.DataFrame, pd.DataFrame]:
    result = world.run(stage)
    assert not result.failed, result.messages
    folder = world.store.path(stage)
    return pd.read_parquet(folder / "distributions.parquet"), pd.read_parquet(folder / "confidence.parquet")


def test_the_tables_of_a_pair(world: World) -> None:
    distributions, confidence = tables(world, world.compare())
    assert set(distributions["task"]) == set(confidence["task"]) == set(TASKS)
    assert len(distributions) <= 2 * 4 * 3
    assert distributions.groupby("item_id")["prefix"].nunique().max() == 3
    assert distributions["item_id"].nunique() == 8
    assert (distributions["forward_kl"] > 0).all()
    assert len(confidence) == 2 * 2 * 4
    assert confidence.groupby("task")["method"].unique().map(list).to_dict() == {
        "AddSub": ["completion"],
        "mini-choose": ["labels"],
    }
    labels = confidence[confidence["method"] == "labels"]
    assert labels["confidence"].between(0.5, 1.0).all(), "of two labels"
    facts = json.loads((world.store.path(world.compare()) / "manifest.json").read_text())["facts"]
    assert facts["items"] == 8


@torch.no_grad()
def test_numbers_are_those_of_both_models_own_forward_passes(world: World) -> None:
    distributions, _ = tables(world, world.compare())
    trained = world.store.path(world.arm("student").evaluations["AddSub"].inputs["model"]) / "model"
    places = {"teacher": world.folder / "teacher", "student": trained}
    models: dict[str, Any] = {s: load_model(ModelPlace(str(p)), "float32", "cpu").double() for s, p in places.items()}
    prompts = {}
    texts: dict[tuple[str, str], str] = {}
    for side in models:
        stage = world.arm(side).evaluations["AddSub"]
        for record in read_records(world.store.path(stage) / "records.parquet"):
            prompts[record.item_id] = record.prompt
            texts[record.item_id, side] = record.completion + "<end>" * (record.finish_reason == "stop")
    items = read_prepared_items(world.store.path(world.arm("student").evaluations["AddSub"].inputs["items"]))
    texts |= {(item.item_id, "gold"): f"The answer is {int(float(item.gold))}.<end>" for item in items}
    rows = distributions[distributions["task"] == "AddSub"]
    assert set(rows["prefix"]) == {"gold", "teacher", "student"}
    for row in rows.to_dict("records"):
        prompt = TOKENIZER(prompts[row["item_id"]]).input_ids
        response = TOKENIZER(texts[row["item_id"], row["prefix"]]).input_ids
        ids = torch.tensor([[*prompt, *response]])
        logits = [models[side](input_ids=ids).logits[0, len(prompt) - 1 : -1] for side in ("teacher", "student")]
        expected = by_hand(*logits, torch.tensor(response)).mean(0)
        assert row["tokens"] == len(response)
        np.testing.assert_allclose([row[name] for name in MEASURES], expected, rtol=1e-3, atol=1e-4)


def test_a_model_beside_itself(world: World) -> None:
    distributions, confidence = tables(world, world.compare("teacher"))
    assert (distributions[["forward_kl", "reverse_kl", "total_variation"]] == 0).all(axis=None)
    assert (distributions[["top1_agreement", "top5_overlap"]] == 1).all(axis=None)
    sides = [part.drop(columns="model").reset_index(drop=True) for _, part in confidence.groupby("model")]
    pd.testing.assert_frame_equal(*sides)


def test_contaminated_items_are_left_out_and_all_others_can_be_asked_for(world: World) -> None:
    everything, _ = tables(world, world.compare(items=None))
    clean, _ = tables(world, world.compare(items=None, audit=True))
    assert everything["item_id"].nunique() == 2 * ITEMS
    assert set(everything["item_id"]) - set(clean["item_id"]) == {"AddSub/0"}


def test_models_without_a_common_vocabulary_are_not_compared_and_why_is_told(world: World, tmp_path: Path) -> None:
    make_model(tmp_path / "other", spread=0.3, extra_rows=2)
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["<more>"])
    tokenizer.save_pretrained(tmp_path / "other")
    stage = world.compare(seed=9, context={"teacher_base": {"location": str(tmp_path / "other")}})
    distributions, confidence = tables(world, stage)
    assert len(distributions) == len(confidence) == 0
    assert {"forward_kl", "tokens"} < set(distributions.columns)
    told = json.loads((world.store.path(stage) / "manifest.json").read_text())["facts"]["left_out"]
    assert "cannot be compared token by token" in told
    assert "different vocabularies" in told


def test_a_killed_pass_goes_on_with_the_next_task(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, stage = tables(world, world.compare()), world.compare()
    copy = replace(world, store=Store(world.folder / "second"))
    read: list[str] = []
    original = kdscope.evaluation.distribution_fidelity.read_pair

    def dying(pair: Any, task: Any, *more: Any) -> Any:
        read.append(task.name)
        if len(read) == 2:
            raise KeyboardInterrupt
        return original(pair, task, *more)

    monkeypatch.setattr(kdscope.evaluation.distribution_fidelity, "read_pair", dying)
    with pytest.raises(KeyboardInterrupt):
        copy.run(stage)
    for found, expected in zip(tables(copy, stage), whole, strict=True):
        pd.testing.assert_frame_equal(found, expected)
    assert read == ["AddSub", "mini-choose", "mini-choose"]


def test_progress_is_told_in_items_and_the_teacher_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[float, float | None]] = []
    loaded: list[str] = []
    original = kdscope.stages.models.load_frozen

    def counted(place: ModelPlace, dtype: str, device: str) -> Any:
        loaded.append(place.location)
        return original(place, dtype, device)

    def run(stage: Stage, context: Any) -> None:
        class Progress:
            def update(self, done: float, total: float | None = None, unit: str = "", note: str = "") -> None:
                told.append((done, total))

        run_any(stage, replace(context, progress=Progress()))

    monkeypatch.setattr(kdscope.stages.models, "load_frozen", counted)
    monkeypatch.setattr(kdscope.evaluation.distributions, "_BATCH_TOKENS", 600)
    result = world.run(world.compare(seed=5), world.compare(seed=6), run=run)
    assert not result.failed, result.messages
    assert told[-1] == (8, 8)
    assert any(done != int(done) for done, _ in told)
    assert [Path(place).name for place in loaded] == ["teacher", "model", "model"]

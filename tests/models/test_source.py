"""Sizes read from headers are those of the loaded model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from kdscope.core.errors import ModelError
from kdscope.models.load import load_model, prune_depth
from kdscope.models.source import ModelPlace, ModelShape, read_shape, resolve_revision, spaced_layers
from tests.builders import make_model
from tests.models.architectures import tiny


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma2", "opt", "gpt2"])
@pytest.mark.parametrize("tied", [True, False])
def test_parameters_are_counted_like_torch_does(kind: str, tied: bool, tmp_path: Path) -> None:
    model = tiny(kind, tie_word_embeddings=tied)
    model.save_pretrained(tmp_path)
    shape = read_shape(tmp_path)
    assert shape.parameters == model.num_parameters()
    assert shape.weight_bytes == (tmp_path / "model.safetensors").stat().st_size


def test_tied_weights_are_counted_once_even_if_stored_twice(tmp_path: Path) -> None:
    model = tiny("llama", tie_word_embeddings=True)
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    twice = weights | {"lm_head.weight": weights["model.embed_tokens.weight"].clone()}
    save_file(twice, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert read_shape(tmp_path).parameters == model.num_parameters()


def test_shards_are_counted_and_other_formats_beside_them_are_not(tmp_path: Path) -> None:
    model = tiny("llama")
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    save_file({"model.layers.0.x": torch.zeros(1000)}, tmp_path / "consolidated.safetensors")
    assert read_shape(tmp_path).parameters == model.num_parameters()


@pytest.mark.parametrize("keep", [1, 2, 3, 5])
def test_keeping_layers_is_what_pruning_leaves(keep: int, tmp_path: Path) -> None:
    model = tiny("llama")
    model.save_pretrained(tmp_path)
    whole = read_shape(tmp_path)
    kept = whole.keeping(keep)
    assert (whole.layers, kept.layers) == (5, keep)
    assert kept.parameters == prune_depth(model, keep).num_parameters()
    assert kept.layer_parameters * 5 == whole.layer_parameters * keep


def test_layers_named_without_a_prefix_count(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"num_hidden_layers": 2}')
    weights = {"layers.0.w": torch.zeros(3), "layers.1.w": torch.zeros(3), "layers_norm.w": torch.zeros(5)}
    save_file(weights, tmp_path / "model.safetensors")
    size = (tmp_path / "model.safetensors").stat().st_size
    assert read_shape(tmp_path) == ModelShape(parameters=11, layers=2, layer_parameters=6, weight_bytes=size)


def test_a_shape_in_bfloat16_is_the_same_but_half_as_big(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    load_model(ModelPlace(str(folder)), "bfloat16", "cpu").save_pretrained(tmp_path / "half")
    full, half = read_shape(folder), read_shape(tmp_path / "half")
    assert (half.parameters, half.layer_parameters) == (full.parameters, full.layer_parameters)
    assert half.weight_bytes == pytest.approx(full.weight_bytes / 2, rel=0.1)


@pytest.mark.parametrize(
    "content", [b"", b"1234567", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", b"\0" * 8]
)
def test_a_file_that_is_not_safetensors_is_refused(content: bytes, model_folder: Path, tmp_path: Path) -> None:
    shutil.copy(model_folder / "config.json", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.safetensors is not a safetensors file"):
        read_shape(tmp_path)


def test_a_folder_without_safetensors_is_refused(model_folder: Path, tmp_path: Path) -> None:
    shutil.copy(model_folder / "config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(ModelError, match=r"has no model\.safetensors"):
        read_shape(tmp_path)


def test_an_index_without_its_shards_is_an_error(model_folder: Path, tmp_path: Path) -> None:
    shutil.copy(model_folder / "config.json", tmp_path)
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"model-00001-of-00002\.safetensors cannot be read: No such file"):
        read_shape(tmp_path)


@settings(deadline=None)
@given(st.integers(2, 100), st.data())
def test_spaced_layers_are_evenly_spaced(total: int, data: st.DataObject) -> None:
    keep = data.draw(st.integers(2, total))
    kept = np.array(spaced_layers(total, keep))
    assert kept[0] == 0
    assert kept[-1] == total - 1
    assert len(set(kept)) == keep
    assert np.abs(kept - np.linspace(0, total - 1, keep)).max() <= 0.5 + 1e-9


COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Answers:
    def __init__(self, sha: Any) -> None:
        self.sha, self.asked = sha, []

    def model_info(self, repo_id: str, *, revision: str | None = None) -> Any:
        self.asked.append((repo_id, revision))
        if isinstance(self.sha, Exception):
            raise self.sha
        return SimpleNamespace(sha=self.sha)


def test_a_branch_becomes_its_commit() -> None:
    hub = Answers(COMMIT)
    assert resolve_revision("a/b", "main", hub) == COMMIT
    assert resolve_revision("a/b", None, hub) == COMMIT
    assert hub.asked == [("a/b", "main"), ("a/b", None)]


def test_a_commit_needs_no_hub() -> None:
    assert resolve_revision("a/b", COMMIT, Answers(ConnectionError("no network"))) == COMMIT


@pytest.mark.parametrize("answer", [ConnectionError("no network\nand more"), ValueError("bad name"), None, "main"])
def test_what_the_hub_does_not_know_is_told(answer: Any) -> None:
    with pytest.raises(ModelError, match=r"(no network|bad name)$|names no commit of a/b"):
        resolve_revision("a/b", None, Answers(answer))

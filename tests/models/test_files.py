"""Of a model's files all that are read are known, and none that could run code or lies elsewhere is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kdscope.core.errors import ModelError
from kdscope.models.files import check_adapter, check_model, files_read
from kdscope.models.load import load_model, load_tokenizer
from kdscope.models.source import ModelPlace
from kdscope.pipeline.fingerprint import hash_tree


@pytest.fixture
def copied(model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the model that a test may damage."""
    return Path(shutil.copytree(model_folder, tmp_path / "copied"))


def name_weights(folder: Path, name: str) -> None:
    """Have an index name this file for all weights."""
    keys = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "moved.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(keys, name)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


class Pickled:
    """Leaves a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "adapter_model.bin", "model.pt", "x.safetensors.bin"])
@pytest.mark.parametrize("named_by", ["index", "transformers_weights"])
def test_no_pickle_is_read_whatever_names_it(copied: Path, tmp_path: Path, name: str, named_by: str) -> None:
    torch.save(Pickled(tmp_path / "ran"), copied / name)
    if named_by == "index":
        name_weights(copied, name)
    else:
        config = json.loads((copied / "config.json").read_text())
        (copied / "config.json").write_text(json.dumps(config | {"transformers_weights": name}))
    for read in (check_model, files_read, lambda folder: load_model(ModelPlace(str(folder)), "float32", "cpu")):
        with pytest.raises(ModelError, match=rf"{name}.*safetensors"):
            read(copied)
    assert not (tmp_path / "ran").exists()


def test_pickles_beside_the_weights_are_not_read(copied: Path, tmp_path: Path) -> None:
    for name in ("training_args.bin", "pytorch_model.bin", "optimizer.pt"):
        torch.save(Pickled(tmp_path / "ran"), copied / name)
    load_model(ModelPlace(str(copied)), "float32", "cpu")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name",
    ["../moved.safetensors", "/tmp/moved.safetensors", "a/../../x.safetensors", "a\\x.safetensors", "C:x.safetensors"],
)
def test_weights_outside_the_folder_are_refused(copied: Path, name: str) -> None:
    name_weights(copied, name)
    for read in (check_model, files_read, lambda folder: load_model(ModelPlace(str(folder)), "float32", "cpu")):
        with pytest.raises(ModelError, match=r"index\.json names .*which is not in the folder of the model"):
            read(copied)


def test_weights_that_a_link_in_the_folder_leads_to_are_read_and_in_the_identity(copied: Path, tmp_path: Path) -> None:
    """Weights lie on another disk, or in the hub's cache, to whose blobs older downloads link from any folder."""
    name_weights(copied, "link.safetensors")
    elsewhere = tmp_path / "models--a--b" / "blobs" / "c0ffee"
    elsewhere.parent.mkdir(parents=True)
    shutil.move(copied / "moved.safetensors", elsewhere)
    (copied / "link.safetensors").symlink_to(elsewhere)
    check_model(copied)
    model = load_model(ModelPlace(str(copied)), "float32", "cpu")
    before = hash_tree(copied, files_read(copied))
    save_file({key: weight + 1 for key, weight in load_file(elsewhere).items()}, elsewhere, {"format": "pt"})
    after = hash_tree(copied, files_read(copied))
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} == {"link.safetensors"}
    changed = load_model(ModelPlace(str(copied)), "float32", "cpu")
    assert not torch.equal(model.lm_head.weight, changed.lm_head.weight)


def test_the_hub_cache_links_to_its_blobs(copied: Path, tmp_path: Path) -> None:
    name_weights(copied, "one.safetensors")
    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "c0ffee", tmp_path / "models--a--b" / "blobs"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (copied / "moved.safetensors").rename(copied / "one.safetensors")
    for file in copied.iterdir():
        shutil.move(file, blobs / file.name)
        (snapshot / file.name).symlink_to(Path("../../blobs") / file.name)
    check_model(snapshot)
    load_model(ModelPlace(str(snapshot)), "float32", "cpu")


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (None, r"index\.json names 'weights\.bin'"),
        ("other.safetensors.index.json", r"other\.safetensors\.index\.json names 'weights\.bin'"),
        ("adapter_model.bin", r"transformers_weights is 'adapter_model\.bin'"),
    ],
)
def test_a_hub_repository_is_looked_at_before_it_is_loaded(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None, words: str
) -> None:
    commit = "a" * 40
    snapshot = tmp_path / "cache" / "models--owner--name" / "snapshots" / commit
    snapshot.parent.mkdir(parents=True)
    torch.save(Pickled(tmp_path / "ran"), copied / "weights.bin")
    name_weights(copied, "weights.bin")
    if named is not None:
        config = json.loads((copied / "config.json").read_text()) | {"transformers_weights": named}
        (copied / "config.json").write_text(json.dumps(config))
        shutil.move(copied / "model.safetensors.index.json", copied / named)
    shutil.move(copied, snapshot)
    for module in ("huggingface_hub.constants", "transformers.utils.hub"):
        monkeypatch.setattr(f"{module}.HF_HUB_CACHE", str(tmp_path / "cache"), raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"), raising=False)
    with pytest.raises(ModelError, match=words):
        load_model(ModelPlace("owner/name", commit), "float32", "cpu")
    assert not (tmp_path / "ran").exists()


def test_a_model_with_an_adapter_in_one_folder_is_refused(copied: Path) -> None:
    (copied / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"holds a model and an adapter \(adapter_config\.json\)"):
        check_model(copied)


def test_parts_of_a_distributed_checkpoint_are_refused(copied: Path) -> None:
    shutil.copy(copied / "model.safetensors", copied / "shard-00000-model-00001-of-00001.safetensors")
    with pytest.raises(ModelError, match="part of a distributed checkpoint"):
        check_model(copied)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_trusted_code_of_another_repository_is_refused(copied: Path, file: str) -> None:
    told = json.loads((copied / file).read_text()) | {"auto_map": {"AutoModelForCausalLM": "who/ever--modeling.Model"}}
    (copied / file).write_text(json.dumps(told))
    words = rf"{file}: auto_map takes code from another repository \('who/ever--"
    trusting = ModelPlace(str(copied), trust_remote_code=True)
    for read in (lambda: check_model(copied, trusted=True), lambda: load_tokenizer(trusting)):
        with pytest.raises(ModelError, match=words):
            read()
    check_model(copied)


def test_a_tokenizer_outside_the_folder_is_refused(copied: Path) -> None:
    told = json.loads((copied / "tokenizer_config.json").read_text()) | {
        "fast_tokenizer_files": ["../tokenizer.5.json"]
    }
    (copied / "tokenizer_config.json").write_text(json.dumps(told))
    with pytest.raises(ModelError, match=r"fast_tokenizer_files names '\.\./tokenizer\.5\.json'"):
        check_model(copied)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"r": 10_000_000}, r"'r' is 10000000; it is a number from -1 to 65536"),
        ({"rank_pattern": {"q_proj": 10**9}}, r"'rank' is 1000000000"),
        ({"lora_alpha": float("nan")}, r"'lora_alpha' is nan; it is a finite number"),
        ({"rank_pattern": {"(a*)*b": 4}}, r"rank_pattern has '\(a\*\)\*b'"),
        ({"modules_to_save": ["(.*)+x"]}, r"modules_to_save has '\(\.\*\)\+x'"),
        ({"megatron_config": {"a": 1}}, "megatron_config is not supported"),
        ({"layer_replication": [[0, 9]]}, "layer_replication is not supported"),
        ({"target_modules": [1]}, "target_modules takes names of modules"),
    ],
)
def test_settings_of_an_adapter_have_bounds(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 8} | changes))
    save_file({"x": torch.zeros(1)}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=rf"adapter_config\.json: .*{words}"):
        check_adapter(tmp_path)

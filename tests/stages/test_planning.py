"""A source model is its content, wherever it lies."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from kdscope.core.errors import ModelError, StoreError
from kdscope.models.source import ModelPlace
from kdscope.pipeline.fingerprint import HashCache
from kdscope.pipeline.stage import Stage
from kdscope.stages.planning import ModelIdentity, model_source_place, source_identity
from kdscope.stages.prepare_data import PrepareDataParams
from kdscope.study.arms import Student, Teacher
from tests.builders import make_model


@pytest.fixture
def cache(tmp_path: Path) -> HashCache:
    return HashCache(tmp_path / "hashes.json", settle_seconds=0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("identity") / "model")


def test_a_copy_is_the_same_model(folder: Path, cache: HashCache, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    (copied / "README.md").write_text("words change nothing")
    first, second = (source_identity(Teacher(name="t", path=path), cache) for path in (folder, copied))
    assert first == second
    assert first == source_identity(Student(name="s", path=folder, keep_layers=2), cache)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors", "modeling_own.py"])
def test_another_content_is_another_model(name: str, folder: Path, cache: HashCache, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(folder, tmp_path / "changed"))
    before = source_identity(Teacher(name="t", path=changed), cache)
    file = changed / name
    file.write_bytes(
        file.read_bytes()[:-1] + b"\x01"
        if name == "model.safetensors"
        else (file.read_bytes() if file.exists() else b"") + b" "
    )
    assert source_identity(Teacher(name="t", path=changed), cache) != before


def test_a_hub_model_is_its_commit(cache: HashCache) -> None:
    source = Teacher(name="t", hub="owner/name", revision="a" * 40)
    assert source_identity(source, cache).model_dump() == {"hub": "owner/name", "revision": "a" * 40}
    # A repository's own code may be another architecture than the library's of that name.
    trusted = source.model_copy(update={"trust_remote_code": True})
    told = {"hub": "owner/name", "revision": "a" * 40, "trust_remote_code": True}
    assert source_identity(trusted, cache).model_dump() == told
    place = model_source_place(trusted)
    assert isinstance(place, dict)
    assert ModelPlace(**place) == ModelPlace("owner/name", "a" * 40, None, trust_remote_code=True)


def test_a_folder_is_loaded_from_where_it_lies(folder: Path) -> None:
    place = model_source_place(Teacher(name="t", path=folder))
    assert isinstance(place, dict)
    assert ModelPlace(**place) == ModelPlace(str(folder))


def in_shards(folder: Path, place: Path, names: Sequence[str]) -> Path:
    """The model with its weights in two files of these names, which an index names."""
    copied = Path(shutil.copytree(folder, place))
    weights = load_file(copied / "model.safetensors")
    (copied / "model.safetensors").unlink()
    halves = [dict(list(weights.items())[:5]), dict(list(weights.items())[5:])]
    for name, half in zip(names, halves, strict=True):
        (copied / name).parent.mkdir(exist_ok=True)
        save_file(half, copied / name, metadata={"format": "pt"})
    index = {
        "metadata": {},
        "weight_map": {key: name for name, half in zip(names, halves, strict=True) for key in half},
    }
    (copied / "model.safetensors.index.json").write_text(json.dumps(index))
    return copied


def test_weights_in_a_subfolder_are_part_of_the_identity(folder: Path, cache: HashCache, tmp_path: Path) -> None:
    sharded = in_shards(folder, tmp_path / "sharded", ["deep/one[1].safetensors", "two.safetensors"])
    before = source_identity(Teacher(name="t", path=sharded), cache)
    file = sharded / "deep" / "one[1].safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    assert source_identity(Teacher(name="t", path=sharded), cache) != before


@pytest.mark.parametrize(
    "name", ["additional_chat_templates/tool.jinja", "custom_generate/generate.py", "own/modeling.py", "source.spm"]
)
def test_what_lies_deeper_is_part_of_the_identity(name: str, folder: Path, cache: HashCache, tmp_path: Path) -> None:
    """Modules in subfolders are read where a configuration brings code of its own."""
    changed = Path(shutil.copytree(folder, tmp_path / "changed"))
    config = json.loads((changed / "config.json").read_text()) | {"auto_map": {"AutoModel": "own.modeling.Model"}}
    (changed / "config.json").write_text(json.dumps(config))
    before = source_identity(Teacher(name="t", path=changed), cache)
    (changed / name).parent.mkdir(exist_ok=True)
    (changed / name).write_text("x = 1")
    assert source_identity(Teacher(name="t", path=changed), cache) != before


def test_an_empty_folder_is_no_model(cache: HashCache, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing/config\.json cannot be read: No such file"):
        source_identity(Teacher(name="t", path=tmp_path / "nothing"), cache)


def test_a_folder_that_hides_a_hub_model_is_refused(
    cache: HashCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="owner/name: a folder of that name"):
        source_identity(Teacher(name="t", hub="owner/name", revision="a" * 40), cache)


def test_parameters_of_another_kind_are_refused_by_name() -> None:
    stage = Stage("prepare_data", "training data", 1, {"content": "x", "limit": None, "seed": 0}, {})
    message = "^training data: parameter validation_items of prepare_data: Field required$"
    with pytest.raises(StoreError, match=message):
        PrepareDataParams.of(stage)


def test_settings_at_their_default_are_left_out_of_parameters() -> None:
    assert ModelIdentity(content="x").model_dump() == {"content": "x"}
    own_code = {"content": "x", "trust_remote_code": True}
    assert ModelIdentity.model_validate(own_code).model_dump() == own_code

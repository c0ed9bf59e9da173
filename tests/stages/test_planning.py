"""A source model is its content, wherever it lies."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kdscope.core.errors import IdentityError, ModelError, StoreError
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
    with (changed / name).open("ab") as file:
        file.write(b" ")
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


def test_an_empty_folder_is_no_model(cache: HashCache, tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="no file matches"):
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

from __future__ import annotations

import json
import os
import subprocess
from collections import OrderedDict
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdscope.core.errors import IdentityError
from kdscope.core.files import sha256_of
from kdscope.pipeline import fingerprint as module
from kdscope.pipeline.fingerprint import HashCache, canonical_json, fingerprint, hash_tree, plain

finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Colour(StrEnum):
    RED = "red"


@given(values)
def test_text_reads_back_as_the_value(value):
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(), values, min_size=2))
def test_order_of_keys_does_not_matter(value):
    assert canonical_json(value) == canonical_json(OrderedDict(reversed(value.items())))


def test_golden_text_and_hash():
    # The hash is that of `sha256sum` over the text, so that no line of ours stands behind it.
    value = {"b": [1, 1.0, -0.0, 1e22, 0.1], "a": {"ü": "naïve", "z": None}, "c": (True, False)}
    text = r'{"a":{"z":null,"\u00fc":"na\u00efve"},"b":[1,1.0,0.0,1e+22,0.1],"c":[true,false]}'
    assert canonical_json(value) == text
    assert (
        fingerprint(value)
        == subprocess.run(["sha256sum"], input=text.encode(), capture_output=True, check=True)
        .stdout.decode()
        .split()[0]
    )
    assert fingerprint(value) == "e54bcb3f7e617dc9285c0ae3ca7fc8092d9789c56fb258df47d25349f905f38f"


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (1, True), (0, None), ("1", 1), ([], {}), ("", None), ([[1], 2], [1, [2]])]
)
def test_values_python_or_json_could_confuse_are_distinct(one, other):
    assert fingerprint(one) != fingerprint(other)


def test_equal_meanings_are_equal():
    assert fingerprint((1, 2)) == fingerprint([1, 2])
    assert fingerprint(-0.0) == fingerprint(0.0)
    assert fingerprint(MappingProxyType({"a": 1})) == fingerprint({"a": 1})


@pytest.mark.parametrize(
    "bad",
    [float("nan"), float("-inf"), Path("x"), {1, 2}, b"bytes", np.float64(1.0), np.int64(1), Colour.RED, object(), len],
)
def test_a_value_without_identity_is_refused_by_its_key_path(bad):
    with pytest.raises(IdentityError, match=r"^study\.optimizer\.betas\[1\]: "):
        plain({"optimizer": {"betas": [0.9, bad]}}, "study")


def test_a_key_that_is_no_string_is_refused():
    with pytest.raises(IdentityError, match=r"value\.table: the key 1 is a int"):
        canonical_json({"table": {1: "a"}})


def test_file_hash_is_that_of_sha256sum(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(os.urandom(3_000_001))
    assert sha256_of(path) == subprocess.run(["sha256sum", path], capture_output=True, check=True).stdout.decode()[:64]


@pytest.fixture
def counted(monkeypatch):
    read = []
    monkeypatch.setattr(module, "sha256_of", lambda path: read.append(path.name) or sha256_of(path))
    return read


def test_tree_takes_matching_files_and_follows_links_to_files(tmp_path):
    model, blobs = tmp_path / "model", tmp_path / "blobs"
    for folder in (model / "sub", blobs):
        folder.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "sub" / "notes.txt").write_text("no")
    (blobs / "0").write_bytes(b"weights")
    (model / "w.safetensors").symlink_to(blobs / "0")
    hashes = hash_tree(model, ["*.json", "*.safetensors"])
    assert hashes == {"config.json": sha256_of(model / "config.json"), "w.safetensors": sha256_of(blobs / "0")}
    assert sorted(hash_tree(model)) == ["config.json", "sub/notes.txt", "w.safetensors"]
    with pytest.raises(IdentityError, match=r"no file matches \*\.bin"):
        hash_tree(model, ["*.bin"])


def test_cache_reads_an_unchanged_file_once_across_processes(tmp_path, counted):
    file = tmp_path / "a"
    file.write_text("one")
    cache = HashCache(tmp_path / "cache" / "hashes.json", settle_seconds=0)
    first = cache.hash(file)
    cache.save()
    again = HashCache(tmp_path / "cache" / "hashes.json", settle_seconds=0)
    assert again.hash(file) == first == sha256_of(file)
    assert counted == ["a"]


def test_cache_sees_a_change_of_same_size_with_restored_time(tmp_path, counted):
    file = tmp_path / "a"
    file.write_text("one")
    cache = HashCache(tmp_path / "hashes.json", settle_seconds=0)
    before, times = cache.hash(file), file.stat()
    file.write_text("two")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert cache.hash(file) == sha256_of(file) != before


def test_cache_does_not_trust_a_file_touched_just_now(tmp_path, counted):
    file = tmp_path / "a"
    file.write_text("one")
    cache = HashCache(tmp_path / "hashes.json", settle_seconds=3600)
    assert cache.hash(file) == cache.hash(file)
    assert counted == ["a", "a"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"PATH": 3}', '{"PATH": ["0", 0, 0, 0, ""]}', "\x00\xff", "[" * 10**5]
)
def test_a_corrupt_cache_is_ignored(tmp_path, text):
    file, path = tmp_path / "a", tmp_path / "hashes.json"
    file.write_text("one")
    path.write_text(text.replace("PATH", str(file)))
    cache = HashCache(path, settle_seconds=0)
    assert cache.hash(file) == sha256_of(file)
    cache.save()
    assert json.loads(path.read_text())[str(file)][-1] == sha256_of(file)


def test_a_damaged_hash_in_a_cache_is_not_believed(tmp_path):
    file, path = tmp_path / "a", tmp_path / "hashes.json"
    file.write_text("one")
    cache = HashCache(path, settle_seconds=0)
    digest = cache.hash(file)
    cache.save()
    path.write_text(path.read_text().replace(digest, digest[:-1] + ("0" if digest[-1] != "0" else "1")))
    assert HashCache(path, settle_seconds=0).hash(file) == digest


def test_a_cache_that_cannot_be_saved_does_not_matter(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    cache = HashCache(tmp_path / "file" / "hashes.json", settle_seconds=0)
    cache.hash(tmp_path / "file")
    cache.save()
    assert (tmp_path / "file").read_text() == "not a folder"

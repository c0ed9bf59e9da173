"""The lock file: written whole, merged, verified, and clear about what is wrong with it."""

import json
import multiprocessing
from dataclasses import replace

import pytest

from kdscope.core.errors import DataError
from kdscope.data.disk import sha256_of
from kdscope.data.lock import LOCK_NAME, LockedFile, read_lock, record, verify_locked

ENTRY = LockedFile("https://example.org/x.json", "a" * 40, "a" * 40, "0" * 64, 3, "2026-01-31")


def test_entries_are_kept_and_replaced(tmp_path):
    assert read_lock(tmp_path) == {}
    other = replace(ENTRY, source="hub:a/b/main/test", asked=None, rows=4)
    record(tmp_path, "b/test.json", ENTRY)
    record(tmp_path, "a/test.json", other)
    record(tmp_path, "b/test.json", replace(ENTRY, rows=9))
    assert read_lock(tmp_path) == {"a/test.json": other, "b/test.json": replace(ENTRY, rows=9)}
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_NAME]
    content = json.loads((tmp_path / LOCK_NAME).read_text())
    assert list(content["files"]) == ["a/test.json", "b/test.json"]
    assert content["files"]["a/test.json"]["asked"] is None


def _record_some(folder, name):
    for number in range(10):
        record(folder, f"{name}/{number}.json", ENTRY)


def test_two_fetches_at_once_both_find_their_entries(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_record_some, args=(tmp_path, name)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(read_lock(tmp_path)) == 20


@pytest.mark.parametrize("target", ["/etc/x", "../x", "a/../../x", ""])
def test_only_files_of_the_folder(tmp_path, target):
    with pytest.raises(DataError, match="inside the folder"):
        record(tmp_path, target, ENTRY)


VALUES = {"source": "s", "asked": None, "revision": None, "sha256": "0" * 64, "rows": 1, "date": "2026-01-31"}


def _lock(**changes):
    return json.dumps({"version": 1, "files": {"x.json": VALUES | changes}})


DAMAGE = [
    ('{"version": 1, "files": {', "the lock file is damaged: invalid JSON in line 1, column 26"),
    (b"\xff\xfe", "the lock file is damaged: this is not JSON text"),
    ("", "the lock file is damaged: invalid JSON"),
    ("[]", "the lock file is damaged: it has no 'files'"),
    ('{"version": 1, "files": []}', "the lock file is damaged: it has no 'files'"),
    ('{"version": 2, "files": {}}', "its version is 2 instead of 1"),
    ('{"version": 1, "files": {"x.json": 3}}', "the entry of 'x.json' does not have the keys source, asked"),
    (_lock(extra=1), "the entry of 'x.json' does not have the keys"),
    (_lock(rows="many"), "the entry of 'x.json': rows: not what belongs there: 'many'"),
    (_lock(rows=True), "the entry of 'x.json': rows"),
    (_lock(sha256="0" * 63), "the entry of 'x.json': sha256"),
    (_lock(sha256=None), "the entry of 'x.json': sha256"),
    (_lock(revision=5), "the entry of 'x.json': revision"),
    (_lock(date="31 January"), "the entry of 'x.json': date"),
    (_lock(source=["a"]), "the entry of 'x.json': source"),
]


@pytest.mark.parametrize(("content", "words"), DAMAGE, ids=lambda value: str(value)[:40])
def test_a_damaged_lock_is_named_and_left_alone(tmp_path, content, words):
    raw = content if isinstance(content, bytes) else content.encode()
    (tmp_path / LOCK_NAME).write_bytes(raw)
    for use in (read_lock, lambda folder: record(folder, "y.json", ENTRY)):
        with pytest.raises(DataError) as caught:
            use(tmp_path)
        assert str(caught.value).startswith(f"{tmp_path / LOCK_NAME}: ")
        assert words in str(caught.value)
    assert (tmp_path / LOCK_NAME).read_bytes() == raw


def test_a_sound_lock_of_the_same_form_is_read(tmp_path):
    (tmp_path / LOCK_NAME).write_text(_lock())
    assert read_lock(tmp_path) == {"x.json": LockedFile(**VALUES)}


def test_a_file_is_verified_against_its_entry(tmp_path):
    assert not verify_locked(tmp_path, "x.json", ENTRY)
    (tmp_path / "x.json").write_text("[]")
    entry = replace(ENTRY, sha256=sha256_of(tmp_path / "x.json"))
    assert verify_locked(tmp_path, "x.json", entry)
    with pytest.raises(DataError) as caught:
        verify_locked(tmp_path, "x.json", ENTRY)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'x.json'}: the file is not the one that was fetched: its SHA-256 is ")
    assert entry.sha256 in message
    assert ENTRY.sha256 in message
    assert f"move it away to have that one fetched again, or remove its entry from {tmp_path / LOCK_NAME}" in message

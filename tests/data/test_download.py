"""Fetching into a folder: the first source that gives the file, the locked revision after that, and nothing lost."""

import hashlib
import json
import multiprocessing
from dataclasses import dataclass, replace
from datetime import date

import pytest

from kdscope.core.errors import DataError
from kdscope.core.files import sha256_of
from kdscope.data.download import LOCK_NAME, LockedFile, download, read_lock, record, source_name, verify_locked
from kdscope.data.rows import read_rows
from kdscope.tasks import HubDataset
from tests.data.file_server import file_server
from tests.data.hub_double import COMMIT, OLD_COMMIT, FolderHub

DAY, LATER = date(2026, 1, 31), date(2026, 2, 1)
TARGET = "sums/test.json"


@dataclass(frozen=True)
class Rename:
    question: str

    def row(self, columns):
        return {"instruction": columns[self.question], "answer": columns["answer"]}


@dataclass(frozen=True)
class File:
    url: str
    git_blob: str | None = None
    fields: Rename | None = None
    commit: str = "d" * 40
    path: str = "data/test.jsonl"


@dataclass(frozen=True)
class Dataset(HubDataset):
    dataset_id: str = "owner/name"
    config: str | None = None
    split: str = "test"
    fields: Rename = Rename("question")
    revision: str | None = None
    file: str | None = None


ROWS = [{"instruction": "1 + 1?", "answer": "2"}, {"instruction": "2 + 2?", "answer": "4"}]
CONTENT = json.dumps(ROWS).encode()
LINES = "".join(json.dumps({"question": row["instruction"], "answer": row["answer"]}) + "\n" for row in ROWS).encode()


def _blob(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _write(hub, commit, content):
    (hub.folder / commit).mkdir(parents=True, exist_ok=True)
    (hub.folder / commit / "test.jsonl").write_bytes(content)


@pytest.fixture
def hub(tmp_path):
    hub = FolderHub(tmp_path / "hub", {None: COMMIT})
    _write(hub, COMMIT, LINES)
    return hub


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


def _values(folder):
    return [dict(row.values) for row in read_rows(folder / TARGET)]


def _names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_repository_file_is_brought_once_and_recorded(folder):
    with file_server({"test.json": CONTENT}) as server:
        source = File(server.url("test.json"), _blob(CONTENT))
        first = download([source], folder, TARGET, today=lambda: DAY)
        again = download([source], folder, TARGET, today=lambda: LATER)
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    assert first == again == LockedFile(source.url, source.commit, source.commit, sha256, 2, "2026-01-31")
    assert read_lock(folder) == {TARGET: first}
    assert (server.requests, _values(folder)) == (["test.json"], ROWS)


def test_a_file_put_there_by_hand_is_verified_and_recorded(folder):
    (folder / "sums").mkdir(parents=True)
    (folder / TARGET).write_bytes(CONTENT)
    entry = download([File("https://127.0.0.1:9/x", _blob(CONTENT))], folder, TARGET)
    assert entry.rows == 2
    (folder / LOCK_NAME).unlink()
    with pytest.raises(DataError, match="its git blob id is"):
        download([File("https://127.0.0.1:9/x", "0" * 40)], folder, TARGET)


def test_a_file_of_another_form_is_verified_converted_and_removed(folder):
    with file_server({"raw.jsonl": LINES}) as server:
        source = File(server.url("raw.jsonl"), _blob(LINES), Rename("question"))
        entry = download([source], folder, TARGET)
        (folder / TARGET).unlink()
        assert download([source], folder, TARGET).sha256 == entry.sha256
        with pytest.raises(DataError, match="its git blob id is"):
            download([File(source.url, "0" * 40, source.fields)], folder, "other.json")
    assert _values(folder) == ROWS
    assert _names(folder) == [LOCK_NAME, TARGET]


def test_a_row_that_cannot_be_converted_is_named_by_its_place_in_the_repository(folder):
    class Refuses(Rename):
        def row(self, columns):
            raise DataError("no such column", key="text")

    with (
        file_server({"raw.jsonl": LINES}) as server,
        pytest.raises(DataError, match=r"data/test.jsonl, row 1: text: no such column"),
    ):
        download([File(server.url("raw.jsonl"), None, Refuses("text"))], folder, TARGET)
    assert _names(folder) == []


def test_the_next_source_is_asked_when_the_first_has_nothing(folder, hub):
    with file_server({}) as server:
        entry = download([File(server.url("gone.json")), Dataset()], folder, TARGET, api=hub)
    assert (entry.source, entry.revision, entry.asked) == ("hub:owner/name/default/test", COMMIT, None)
    assert _values(folder) == ROWS


def test_when_no_source_has_it_all_of_them_are_told(folder, hub):
    with file_server({}) as server, pytest.raises(DataError) as caught:
        download([File(server.url("gone.json")), Dataset(split="dev")], folder, TARGET, api=hub)
    message = str(caught.value)
    assert message.startswith(f"{folder / TARGET}: {server.url('gone.json')} cannot be downloaded: HTTP 404")
    assert "owner/name: the dataset has no Parquet or JSON files for the split dev" in message
    assert message.count(str(folder / TARGET)) == 1
    with pytest.raises(DataError, match="nothing is known of where to get it"):
        download([], folder, TARGET)


def test_what_is_fetched_again_is_the_locked_revision_from_the_locked_source(folder, hub):
    first = download([Dataset()], folder, TARGET, api=hub, today=lambda: DAY)
    (folder / TARGET).unlink()
    hub.revisions[None] = OLD_COMMIT
    _write(hub, OLD_COMMIT, LINES + LINES)
    with file_server({"x": CONTENT}) as server:
        again = download([File(server.url("x")), Dataset()], folder, TARGET, api=hub, today=lambda: LATER)
    assert server.requests == []
    assert hub.asked == [None, COMMIT]
    assert (again.sha256, again.revision, _values(folder)) == (first.sha256, COMMIT, ROWS)


def test_an_update_takes_the_newest_and_replaces_the_file(folder, hub):
    download([Dataset()], folder, TARGET, api=hub)
    hub.revisions[None] = OLD_COMMIT
    _write(hub, OLD_COMMIT, LINES + LINES)
    entry = download([Dataset()], folder, TARGET, api=hub, update=True)
    assert (entry.revision, entry.rows, len(_values(folder))) == (OLD_COMMIT, 4, 4)
    assert read_lock(folder)[TARGET] == entry
    assert _names(folder) == [LOCK_NAME, TARGET]


def test_a_failed_update_leaves_everything_as_it_was(folder, hub):
    entry = download([Dataset()], folder, TARGET, api=hub)
    hub.revisions[None] = "gone"
    with pytest.raises(DataError, match="cannot be read"):
        download([Dataset()], folder, TARGET, api=hub, update=True)
    assert (_values(folder), read_lock(folder)) == (ROWS, {TARGET: entry})
    assert _names(folder) == [LOCK_NAME, TARGET]


@pytest.mark.parametrize("update", [False, True])
def test_a_file_changed_by_hand_is_neither_used_nor_replaced(folder, hub, update):
    download([Dataset()], folder, TARGET, api=hub)
    (folder / TARGET).write_text("[]")
    with pytest.raises(DataError, match=r"the file is not the one that was fetched: .* move it away"):
        download([Dataset()], folder, TARGET, api=hub, update=update)
    assert (folder / TARGET).read_text() == "[]"


def test_other_content_at_the_locked_revision_is_refused_with_advice(folder, hub):
    entry = download([Dataset()], folder, TARGET, api=hub)
    (folder / TARGET).unlink()
    _write(hub, COMMIT, LINES + LINES)
    with pytest.raises(DataError) as caught:
        download([Dataset()], folder, TARGET, api=hub)
    assert f"instead of {entry.sha256}" in str(caught.value)
    assert f"{LOCK_NAME} holds what it must be; if that is no longer wanted, fetch it as an update" in str(caught.value)
    assert not (folder / TARGET).exists()


def test_another_revision_than_the_lock_was_made_for_is_not_guessed(folder, hub):
    download([Dataset()], folder, TARGET, api=hub)
    (folder / TARGET).unlink()
    with pytest.raises(DataError, match=rf"revision {OLD_COMMIT} of .* is wanted, but {LOCK_NAME} was made for None"):
        download([Dataset(revision=OLD_COMMIT)], folder, TARGET, api=hub)


def test_a_download_that_is_no_rows_is_not_kept(folder):
    with file_server({"x": b'{"rows":\n[]}'}) as server, pytest.raises(DataError, match="expected a list of rows"):
        download([File(server.url("x"))], folder, TARGET)
    assert _names(folder) == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (File("https://example.org/x"), "https://example.org/x"),
        (Dataset(), "hub:owner/name/default/test"),
        (Dataset(config="main", split="a+b"), "hub:owner/name/main/a+b"),
        (Dataset(file="11_/valid.jsonl"), "hub:owner/name/11_/valid.jsonl"),
    ],
)
def test_names_of_sources(source, name):
    assert source_name(source) == name


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
    ('{"version": 1, "version": 1, "files": {}}', "the lock file is damaged: version: the key is given twice"),
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

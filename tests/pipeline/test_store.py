from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdscope.core import files
from kdscope.core.errors import IdentityError, StoreError
from kdscope.pipeline import fingerprint
from kdscope.pipeline.manifest import read_manifest, safe_name
from kdscope.pipeline.store import Store


def complete(store: Store, stage, **contents: str) -> Path:
    with store.try_lock(stage) as held, store.build(stage) as work:
        assert held
        for name, text in contents.items():
            (work.output / name).write_text(text)
        (work.output / "folder").mkdir()
        (work.output / "folder" / "part").write_bytes(b"12345")
        work.facts["tokens"] = 17
    return store.path(stage)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def parent(stage):
    return stage("parent")


@pytest.fixture
def child(stage, parent):
    return stage("child", {"source": parent}, parameters={"rate": 0.5})


def test_a_completed_stage_says_what_it_is(store, child, parent):
    folder = complete(store, child, a="text")
    assert folder == store.root / "stages" / "toy" / child.identity
    manifest = store.inspect(child, full=True).manifest
    assert manifest == read_manifest(folder / "manifest.json")
    assert (manifest.label, manifest.version, manifest.parameters) == ("child", 1, {"rate": 0.5})
    assert manifest.inputs == {"source": parent.identity}
    assert manifest.facts == {"tokens": 17}
    assert manifest.software["python"] == sys.version.split()[0]
    sums = subprocess.run(["sha256sum", "a", "folder/part"], cwd=folder, capture_output=True, text=True, check=True)
    expected = {line.split()[1]: line.split()[0] for line in sums.stdout.splitlines()}
    assert {name: facts.sha256 for name, facts in manifest.files.items()} == expected
    assert {name: facts.bytes for name, facts in manifest.files.items()} == {"a": 4, "folder/part": 5}


def test_nothing_is_visible_before_the_end_and_nothing_is_left_over_after(store, child):
    with store.try_lock(child), store.build(child) as work:
        (work.output / "a").write_text("half")
        (work.scratch / "checkpoint").write_text("1")
        assert store.inspect(child).state == "absent"
    assert store.inspect(child, full=True).state == "done"
    assert not list((store.root / "building").iterdir())
    assert not list((store.root / "scratch").iterdir())


def test_an_interrupted_build_leaves_only_scratch(store, child):
    def interrupted():
        with store.try_lock(child), store.build(child) as work:
            (work.output / "a").write_text("half")
            (work.scratch / "checkpoint").write_text("1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert store.inspect(child).state == "absent"
    assert not list((store.root / "building").iterdir())
    with store.try_lock(child), store.build(child) as work:
        assert (work.scratch / "checkpoint").read_text() == "1"
        assert not list(work.output.iterdir())


def test_looking_creates_nothing(store, child):
    assert store.inspect(child, full=True).state == "absent"
    assert store.manifests("toy") == []
    assert store.last_failure(child) is None
    assert not store.root.exists()


def truncate(folder):
    (folder / "a").write_text("tex")


def flip(folder):
    (folder / "a").write_text("texT")


def lose(folder):
    (folder / "folder" / "part").unlink()


def lose_manifest(folder):
    (folder / "manifest.json").unlink()


def garble_manifest(folder):
    (folder / "manifest.json").write_bytes(b"\xff{")


def empty_manifest(folder):
    (folder / "manifest.json").write_text("")


def edit_manifest(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace("0.5", "0.6"))


def relabel(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"label": "child"', '"label": "chill"'))


def become_a_folder(folder):
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").mkdir()


def climb(folder):
    path = folder / "manifest.json"
    (folder.parent / "outside").write_text("text")
    path.write_text(path.read_text().replace('"a":', '"../outside":'))


def link(folder):
    (folder / "a").rename(folder.parent / "elsewhere")
    (folder / "a").symlink_to(folder.parent / "elsewhere")


def link_folder(folder):
    (folder / "folder").rename(folder.parent / "elsewhere")
    (folder / "folder").symlink_to(folder.parent / "elsewhere")


def become_a_file(folder):
    folder.rename(folder.parent / "elsewhere")
    folder.write_text("")


DAMAGES = [
    (truncate, "file a has 3 bytes instead of 4"),
    (lose, "file folder/part is missing"),
    (lose_manifest, "manifest.json is missing"),
    (garble_manifest, "manifest.json is unreadable"),
    (empty_manifest, "manifest.json is unreadable"),
    (edit_manifest, "its identity does not match its contents"),
    (relabel, "it was changed after it was written"),
    (become_a_folder, "manifest.json is missing"),
    (climb, "unsafe file name '../outside'"),
    (link, "file a is not a regular file of the stage"),
    (link_folder, "file folder/part is not a regular file of the stage"),
    (become_a_file, "manifest.json is missing"),
]


@pytest.mark.parametrize(("damage", "problem"), DAMAGES)
def test_damage_is_seen_and_moved_aside(store, child, damage, problem):
    folder = complete(store, child, a="text")
    damage(folder)
    found = store.inspect(child)
    assert found.state == "damaged"
    assert problem in found.problem
    with store.try_lock(child):
        aside = store.set_aside(child)
    assert aside.parent == store.root / "damaged"
    assert store.inspect(child).state == "absent"
    complete(store, child, a="text")
    assert store.inspect(child, full=True).state == "done"


def test_a_flipped_byte_is_seen_by_the_full_check_only(store, child):
    flip(complete(store, child, a="text"))
    assert store.inspect(child).state == "done"
    assert store.inspect(child, full=True).problem == "file a has changed content"


def test_a_manifest_of_before_it_had_a_check_is_read(store, child):
    path = complete(store, child, a="text") / "manifest.json"
    values = json.loads(path.read_text())
    del values["sha256"]
    path.write_text(json.dumps(values))
    assert store.inspect(child, full=True).state == "done"


def test_a_large_file_of_an_output_completed_just_now_is_not_read_again(store, child, monkeypatch):
    """A plan after a run would else read all weights of the study."""
    complete(store, child, a="text" * 2**18)
    monkeypatch.setattr(fingerprint.time, "time_ns", lambda: 2**62)  # long after it was written
    store.learn(child)
    store.remember()
    read = []
    original = fingerprint.sha256_of
    monkeypatch.setattr(fingerprint, "sha256_of", lambda path: read.append(path.name) or original(path))
    assert Store(store.root).inspect(child, full=True).state == "done"
    assert read == ["part"]  # which is small
    with (store.path(child) / "a").open("r+") as file:
        file.write("x")
    assert Store(store.root).inspect(child, full=True).problem == "file a has changed content"


def test_a_large_file_is_read_once_and_again_once_it_is_doubted(store, child, monkeypatch):
    """Its time stamps stand for it, until somebody finds what they do not tell."""
    complete(store, child, a="text" * 2**18)
    monkeypatch.setattr(fingerprint.time, "time_ns", lambda: 2**62)  # long after it was written
    assert store.inspect(child, full=True).state == "done"
    store.remember()
    read = []
    monkeypatch.setattr(fingerprint, "sha256_of", lambda path: read.append(path.name) or "0" * 64)
    again = Store(store.root)
    assert again.inspect(child, full=True).problem == "file folder/part has changed content"
    assert read == ["part"]
    again.doubt(store.path(child))
    assert Store(store.root).inspect(child, full=True).problem == "file a has changed content"


def test_the_output_of_another_stage_is_not_taken_for_ours(store, child, parent):
    complete(store, parent, a="text").rename(store.path(child))
    assert store.inspect(child).problem == "manifest.json belongs to another stage"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_no_byte_in_a_manifest_can_do_harm(store, child, where, byte):
    folder = store.path(child)
    original = store.root.parent / "original"
    if not folder.exists():
        complete(store, child, a="text")
        original.write_bytes((folder / "manifest.json").read_bytes())
    text = bytearray(original.read_bytes())
    text[int(where * len(text))] = byte
    (folder / "manifest.json").write_bytes(text)
    found = store.inspect(child, full=True)
    if found.state == "done":
        intact = json.loads(original.read_text())
        assert {"identity": found.manifest.identity, "parameters": found.manifest.parameters} == {
            name: intact[name] for name in ("identity", "parameters")
        }
        assert {name: facts.sha256 for name, facts in found.manifest.files.items()} == {
            name: facts["sha256"] for name, facts in intact["files"].items()
        }


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/etc/passwd", "../a", "a/../b", "a//b", "./a", "a/", "a\0", "manifest.json"]
)
def test_unsafe_names(name):
    with pytest.raises(ValueError, match="unsafe file name"):
        safe_name(name)


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc/hostname"), os.mkfifo])
def test_a_stage_may_leave_only_regular_files(store, child, make):
    refused = pytest.raises(StoreError, match=r"thing: a stage may write only regular files")
    with refused, store.try_lock(child), store.build(child) as work:
        make(work.output / "thing")
    assert store.inspect(child).state == "absent"


def test_a_stage_may_not_write_a_manifest(store, child):
    with pytest.raises(StoreError, match="reserved"), store.try_lock(child), store.build(child) as work:
        (work.output / "manifest.json").write_text("{}")
    assert store.inspect(child).state == "absent"


def test_a_fact_must_be_plain(store, child):
    with pytest.raises(IdentityError, match=r"facts\.loss: nan"), store.try_lock(child), store.build(child) as work:
        work.facts["loss"] = float("nan")
    assert store.inspect(child).state == "absent"


def test_a_lock_excludes_others_until_it_is_released(store, child, parent):
    other = Store(store.root)
    with store.try_lock(child) as held:
        assert held
        with other.try_lock(child) as again, other.try_lock(parent) as unrelated:
            assert not again
            assert unrelated
    with other.try_lock(child) as held:
        assert held


def test_debris_goes_when_the_lock_is_taken_but_not_while_it_is_held(store, child):
    debris = store.root / "building" / f"{child.identity}.0123"
    with store.try_lock(child):
        debris.mkdir(parents=True)
        (debris / "half").write_text("x")
        with Store(store.root).try_lock(child):
            assert debris.exists()
    with store.try_lock(child):
        assert not debris.exists()


FORK = """
import os, sys, time
from pathlib import Path
from kdscope.pipeline.stage import Stage
from kdscope.pipeline.store import Store
root, stage = Path(sys.argv[1]), Stage("toy", "s", 1, {}, {})
store = Store(root)
running, tell = os.pipe()
with store.try_lock(stage) as held:
    child = os.fork()
    if child == 0:
        os.write(tell, b".")
        time.sleep(30)
        os._exit(0)
os.read(running, 1)
with Store(root).try_lock(stage) as free:
    print(held, free)
os.kill(child, 9)
os.waitpid(child, 0)
parent = os.getpid()
try:
    with store.try_lock(stage) as held:
        if os.fork() == 0:
            raise KeyboardInterrupt  # unwinds through the block, in the child
        os.wait()
        with Store(root).try_lock(stage) as free:
            print(held, free)
finally:
    if os.getpid() != parent:
        os._exit(0)
"""


def test_a_forked_child_neither_keeps_nor_frees_its_parents_lock(tmp_path):
    source = str(Path(files.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", FORK, tmp_path], env={**os.environ, "PYTHONPATH": source}, capture_output=True, text=True
    )
    assert done.stdout.split() == ["True", "True", "True", "False"], done.stderr


def test_a_store_goes_to_another_process_without_its_locks(store, child):
    with store.try_lock(child):
        again = pickle.loads(pickle.dumps(store))
        assert again.root == store.root
        with again.try_lock(child) as held:
            assert not held


def test_a_full_disk_while_completing_leaves_no_stage(store, child, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(StoreError, match=r"building/.*: cannot complete child: No space left on device"):
            complete(store, child, a="text")
    assert store.inspect(child).state == "absent"
    assert not list((store.root / "building").iterdir())
    complete(store, child, a="text")
    assert store.inspect(child, full=True).state == "done"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_while_the_stage_writes_names_the_stage(store, child):
    refused = pytest.raises(StoreError, match=r"cannot write the output of child: No space left on device")
    with refused, store.try_lock(child), store.build(child), open("/dev/full", "wb", buffering=0) as file:
        file.write(b"x" * 100_000)
    assert store.inspect(child).state == "absent"


def test_a_root_that_cannot_be_written_says_so(tmp_path, child):
    (tmp_path / "file").write_text("not a folder")
    store = Store(tmp_path / "file")
    with pytest.raises(StoreError, match=r"file/locks.*: cannot lock: Not a directory"), store.try_lock(child):
        pass
    with pytest.raises(StoreError, match="cannot record a failure"):
        store.record_failure(child, "message", "")


def test_a_read_only_store_can_still_be_read(store, child, monkeypatch):
    complete(store, child, a="text")

    def read_only(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", read_only)
    monkeypatch.setattr(Path, "rename", read_only)
    assert store.inspect(child, full=True).state == "done"
    with pytest.raises(StoreError, match="Read-only file system"), store.try_lock(child):
        pass
    assert snapshot(store.path(child))["a"] == b"text"


def test_failures_are_remembered_until_success(store, child):
    store.record_failure(child, "no luck", "Traceback ...")
    record = json.loads((store.root / "failures" / f"{child.identity}.json").read_text())
    assert record["label"] == "child"
    assert record["traceback"] == "Traceback ..."
    assert store.last_failure(child) == "no luck"
    complete(store, child, a="text")
    assert store.last_failure(child) is None


def test_a_checkpoint_left_behind_a_completed_stage_is_tidied(store, child, parent):
    complete(store, child, a="text")
    for one in (child, parent):
        (store.root / "scratch" / one.identity).mkdir(parents=True)
    store.tidy(child)
    assert [path.name for path in (store.root / "scratch").iterdir()] == [parent.identity]


def test_scratch_goes_in_one_step(store, child, monkeypatch):
    # A crash during removal must not leave half of a checkpoint where the next attempt would look for one.
    monkeypatch.setattr("kdscope.pipeline.store.shutil.rmtree", lambda *_, **__: None)
    with store.try_lock(child), store.build(child) as work:
        (work.scratch / "weights").write_text("1")
    assert not work.scratch.exists()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc here")
def test_all_is_on_disk_before_it_is_visible(store, child, monkeypatch):
    order, rename, fsync = [], Path.rename, os.fsync

    def note_sync(descriptor):
        order.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    def note_rename(path, target):
        if Path(target) == store.path(child):
            order.append("visible")
            home.append(str(path))
        return rename(path, target)

    home: list[str] = []
    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "rename", note_rename)
    complete(store, child, a="text")
    moment = order.index("visible")
    before = [path.removeprefix(home[0]) for path in order[:moment]]
    assert set(before) == {"/a", "/folder/part", "/folder", "/manifest.json", ""}
    assert before[-2:] == ["/manifest.json", ""]
    assert str(store.path(child).parent) in order[moment:]

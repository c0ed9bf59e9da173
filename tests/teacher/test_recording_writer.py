"""Recording survives a kill and a full disk, and takes nothing but what it was opened for."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kdscope.core.errors import DataError, MachineError, StoreError
from kdscope.data.batches import TokenSequence
from kdscope.teacher.recording import PositionTensor, count_rows, hidden_layout
from kdscope.teacher.recording_writer import PositionWriter, check_room
from tests.teacher.recordings import (
    SMALL_PART,
    TOKENIZER,
    Recorded,
    bits,
    layout_of,
    open_recording,
    record,
    some_sequences,
    some_values,
)

LAYOUT = layout_of()


class TestWriterRefusals:
    def test_wrong_tensors(self, tmp_path: Path) -> None:
        sequence = TokenSequence(0, (4, 5, 6, 7), 2)
        writer = PositionWriter(tmp_path, LAYOUT, [sequence])
        for wrong in (torch.zeros(3, 5).bfloat16(), torch.zeros(2, 4).bfloat16(), torch.zeros(2, 5)):
            with pytest.raises(StoreError, match=r"example 0: hidden must be \[2, 5\] torch.bfloat16, not"):
                writer.add(sequence, {"hidden": wrong})
        with pytest.raises(StoreError, match="not nothing"):
            writer.add(sequence, {})

    def test_examples_that_were_not_announced_twice_or_missing(self, tmp_path: Path) -> None:
        first, second = some_sequences(2)
        values = some_values([first, second], LAYOUT)
        writer = PositionWriter(tmp_path, LAYOUT, [first, second])
        with pytest.raises(DataError, match="not one of those"):
            writer.add(replace(second, example=7), values[1])
        writer.add(first, values[0])
        with pytest.raises(DataError, match="example 0 was added twice"):
            writer.add(first, values[0])
        with pytest.raises(DataError, match="1 examples were never recorded, the first is example 1"):
            writer.finish()
        assert not (tmp_path / "positions.json").exists()

    def test_two_sequences_of_one_number(self, tmp_path: Path) -> None:
        sequence = some_sequences(1)[0]
        with pytest.raises(DataError, match="same example number"):
            PositionWriter(tmp_path, LAYOUT, [sequence, sequence])


class TestKilled:
    def test_at_any_part(self, recording: Path, tmp_path: Path) -> None:
        """A kill leaves the first whole parts and perhaps the beginning of one more under another name."""
        sequences = some_sequences(20)
        values = some_values(sequences, LAYOUT)
        whole = _contents(recording)
        parts = sorted(name for name in whole if name.startswith("part-"))
        for kept in range(len(parts) + 1):
            folder = tmp_path / f"killed-{kept}"
            folder.mkdir()
            for name in parts[:kept]:
                (folder / name).write_bytes(whole[name])
            (folder / f".part-{kept:05d}.safetensors.building").write_bytes(b"half")
            writer = PositionWriter(folder, LAYOUT, sequences, part_bytes=SMALL_PART)
            assert bool(writer.done) == (kept > 0)
            for sequence in sequences:
                if sequence.example not in writer.done:
                    writer.add(sequence, values[sequence.example])
            writer.finish({"teacher": "made up"})
            assert _contents(folder) == whole

    def test_by_the_system_while_it_writes(self, recording: Path, tmp_path: Path) -> None:
        killed = tmp_path / "killed"
        done = subprocess.run(
            [sys.executable, "-c", _KILLED_AT_THE_THIRD_PART, str(killed)],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            timeout=120,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        half, *whole = sorted(_contents(killed))
        assert half.startswith(".part-00002.safetensors.")
        assert whole == ["part-00000.safetensors", "part-00001.safetensors"]
        sequences = some_sequences(20)
        record(killed, sequences, some_values(sequences, LAYOUT), LAYOUT, SMALL_PART)
        assert _contents(killed) == _contents(recording)

    def test_a_part_of_another_recording_is_not_continued(self, recording: Path) -> None:
        changed = [replace(s, token_ids=(1, *s.token_ids[1:])) for s in some_sequences(20)]
        with pytest.raises(StoreError, match=r"part-00000.safetensors: holds an example 0 of another recording"):
            PositionWriter(recording, LAYOUT, changed, part_bytes=SMALL_PART)


class TestFullDisk:
    def test_nothing_is_begun_that_cannot_be_finished(self, tmp_path: Path) -> None:
        free = shutil.disk_usage(tmp_path).free
        check_room(tmp_path / "not" / "yet", free // 2)
        with pytest.raises(
            MachineError, match=r"not enough disk space: the recording needs [\d.]+ TB in all, [\d.]+ .B are"
        ):
            check_room(tmp_path / "not" / "yet", free + 10**15)
        wide = hidden_layout(10**15, "float32", True, TOKENIZER)
        with pytest.raises(MachineError, match=f"{tmp_path}.*free some space"):
            PositionWriter(tmp_path, wide, some_sequences(2))

    @pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EDQUOT])
    def test_while_it_writes(
        self, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int
    ) -> None:
        sequences = some_sequences(20)
        values = some_values(sequences, LAYOUT)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", _fails_at(3, reason))
            with pytest.raises(MachineError, match=r"needs [\d.]+ kB in all, .* a quota is full.*is kept") as caught:
                record(tmp_path / "full", sequences, values, LAYOUT, SMALL_PART)
        assert str(tmp_path / "full") in str(caught.value)
        assert sorted(_contents(tmp_path / "full")) == ["part-00000.safetensors"]
        record(tmp_path / "full", sequences, values, LAYOUT, SMALL_PART)
        assert _contents(tmp_path / "full") == _contents(recording)

    def test_another_trouble_is_no_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        sequences = some_sequences(2)
        monkeypatch.setattr(os, "fsync", _fails_at(1, errno.EIO))
        with pytest.raises(StoreError, match=r"part-00000.safetensors: cannot write: Input/output error"):
            record(tmp_path, sequences, some_values(sequences, LAYOUT), LAYOUT)
        assert _contents(tmp_path) == {}

    def test_a_really_full_one(self, small_disk: Path) -> None:
        layout = layout_of(PositionTensor("hidden", "float32", (2048,)))
        sequences = some_sequences(20, longest=30)
        values = some_values(sequences, layout)
        needed = sum(count_rows(s, False) for s in sequences) * 8192
        assert 600_000 < needed < 2_000_000
        filler = small_disk / "filler"
        writer = PositionWriter(small_disk / "recording", layout, sequences, part_bytes=100_000)
        filler.write_bytes(b"x" * (shutil.disk_usage(small_disk).free - needed // 2))
        with pytest.raises(MachineError, match="a quota is full"):
            _add_all(writer, sequences, values)
        left = sorted(_contents(small_disk / "recording"))
        assert left
        assert all(name.startswith("part-") for name in left)
        with pytest.raises(MachineError, match="still to be written"):
            PositionWriter(small_disk / "recording", layout, sequences, part_bytes=100_000)
        filler.unlink()
        record(small_disk / "recording", sequences, values, layout, 100_000)
        found = open_recording(small_disk / "recording").gather(sequences)["hidden"]
        assert torch.equal(bits(found), bits(torch.cat([values[s.example]["hidden"] for s in sequences])))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], check=True, capture_output=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True, timeout=20)


_KILLED_AT_THE_THIRD_PART = """
import os, signal, sys
from pathlib import Path
from tests.teacher.recordings import layout_of, record, some_sequences, some_values
sync, calls = os.fsync, []
def killed(descriptor):
    calls.append(descriptor)
    if len(calls) == 5:  # of every part its file, then its folder
        os.kill(os.getpid(), signal.SIGKILL)
    sync(descriptor)
os.fsync = killed
sequences = some_sequences(20)
record(Path(sys.argv[1]), sequences, some_values(sequences, layout_of()), layout_of(), 400)
"""


def _contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def _add_all(writer: PositionWriter, sequences: list[TokenSequence], values: Recorded) -> None:
    for sequence in sequences:
        writer.add(sequence, values[sequence.example])


def _fails_at(call: int, reason: int) -> Callable[[int], None]:
    calls = []

    def fails(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == call:
            raise OSError(reason, os.strerror(reason))

    return fails

"""A recording gives back every bit, survives a kill and a full disk, and refuses sequences that are not its own."""

from __future__ import annotations

import errno
import json
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
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from kdscope.data.batches import TokenSequence, collate, count_targets
from kdscope.errors import DataError, MachineError, ModelError, StoreError
from kdscope.teacher.layout import PartSize, PositionTensor, expectation_layout, fingerprint_tokens, hidden_layout
from kdscope.teacher.parts import count_rows
from kdscope.teacher.positions import PositionReader
from kdscope.teacher.positions_writer import PositionWriter
from kdscope.teacher.tensor_file import check_room
from tests.teacher.recordings import (
    TOKENIZER,
    TOKENS,
    Recorded,
    bits,
    layout_of,
    open_recording,
    record,
    some_sequences,
    some_values,
)

SMALL_PART = 400  # bytes: a few examples
LAYOUT = layout_of()
SEVERAL = (
    PositionTensor("b", "bfloat16", (3,)),
    PositionTensor("a", "float32"),
    PositionTensor("c", "float16", (2, 2)),
)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Twenty examples in several parts."""
    sequences = some_sequences(20)
    record(tmp_path / "recording", sequences, some_values(sequences, LAYOUT), LAYOUT, SMALL_PART)
    assert len(list((tmp_path / "recording").glob("part-*"))) > 3
    return tmp_path / "recording"


class TestRoundTrip:
    @settings(max_examples=40, deadline=None)
    @given(data=st.data(), part_bytes=st.integers(1, 2000), recorded_prompt=st.booleans(), count=st.integers(1, 12))
    def test_every_bit_in_any_order(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        data: st.DataObject,
        part_bytes: int,
        recorded_prompt: bool,
        count: int,
    ) -> None:
        layout = layout_of(*SEVERAL, prompt_in_loss=recorded_prompt)
        sequences = some_sequences(count, seed=count)
        values = some_values(sequences, layout)
        folder = tmp_path_factory.mktemp("recording")
        record(folder, sequences, values, layout, part_bytes)
        wanted = data.draw(st.lists(st.sampled_from(sequences), min_size=1, max_size=8))
        found = open_recording(folder, recorded_prompt).gather(wanted)
        for tensor in SEVERAL:
            expected = torch.cat([values[s.example][tensor.name] for s in wanted])
            assert found[tensor.name].dtype == expected.dtype
            assert found[tensor.name].is_contiguous()
            assert torch.equal(bits(found[tensor.name]), bits(expected))

    def test_the_order_of_a_collated_batch(self, tmp_path: Path) -> None:
        layout = layout_of(PositionTensor("place", "float32", (2,)))
        sequences = some_sequences(9)
        values = {
            s.example: {
                "place": torch.tensor(
                    [[s.example, t - 1.0] for t in range(s.first_target(False), len(s.token_ids))]
                ).reshape(-1, 2)
            }
            for s in sequences
        }
        record(tmp_path, sequences, values, layout, SMALL_PART)
        chosen = [sequences[i] for i in (7, 0, 3)]
        batch = collate(chosen, 0, prompt_in_loss=False)
        found = open_recording(tmp_path).gather(chosen)["place"]
        assert torch.equal(found, torch.stack([batch.examples, batch.positions], dim=1).float())

    def test_prompt_rows_serve_both_losses(self, tmp_path: Path) -> None:
        layout = layout_of(prompt_in_loss=True)
        sequences = some_sequences(15)
        values = some_values(sequences, layout)
        record(tmp_path, sequences, values, layout, SMALL_PART)
        response = [values[s.example]["hidden"][s.first_target(False) - 1 :] for s in sequences]
        assert torch.equal(
            bits(open_recording(tmp_path, True).gather(sequences)["hidden"]),
            bits(torch.cat([values[s.example]["hidden"] for s in sequences])),
        )
        assert torch.equal(bits(open_recording(tmp_path, False).gather(sequences)["hidden"]), bits(torch.cat(response)))

    def test_other_programs_can_read_the_parts(self, recording: Path) -> None:
        sequences = some_sequences(20)
        parts = [load_file(file) for file in sorted(recording.glob("part-*"))]
        found = torch.cat([part["hidden"] for part in parts])
        values = some_values(sequences, LAYOUT)
        assert torch.equal(bits(found), bits(torch.cat([values[s.example]["hidden"] for s in sequences])))
        tokens = torch.cat([part["index.token_ids"] for part in parts]).tolist()
        assert tokens == [token for s in sequences for token in s.token_ids]

    def test_no_part_is_larger_than_allowed_and_their_sum_is_as_planned(self, recording: Path) -> None:
        sequences = some_sequences(20)
        sizes = [file.stat().st_size for file in recording.glob("part-*")]
        header = LAYOUT.part_bytes(PartSize(0, 0, 0))
        assert max(sizes) <= SMALL_PART + header + 24  # digits in the header
        size = PartSize(20, count_targets(sequences, False), sum(len(s.token_ids) for s in sequences))
        assert LAYOUT.recording_bytes(size, 1 << 30) == pytest.approx(sum(sizes) - header * (len(sizes) - 1), rel=0.02)

    def test_facts_and_counts(self, recording: Path) -> None:
        reader = open_recording(recording)
        assert reader.facts == {"teacher": "made up"}
        assert reader.rows == count_targets(some_sequences(20), False)
        assert reader.layout == LAYOUT

    def test_a_sequence_without_targets(self, tmp_path: Path) -> None:
        whole = TokenSequence(0, (5, 6, 7), 3)
        record(tmp_path, [whole], {0: {"hidden": torch.empty(0, 5, dtype=torch.bfloat16)}}, LAYOUT)
        assert open_recording(tmp_path).gather([whole])["hidden"].shape == (0, 5)


class TestPlannedSize:
    def test_what_a_qwen_takes(self) -> None:
        size = PartSize(examples=7473, rows=1_000_000, tokens=2_000_000)
        taken = hidden_layout(3584, "bfloat16", False, TOKENIZER).recording_bytes(size)
        assert taken == pytest.approx(1_000_000 * 7168 + 2_000_000 * 4 + 7473 * 24, rel=1e-5)
        assert expectation_layout(576, False, TOKENIZER).row_bytes == 4 * 578


class TestRefusals:
    @pytest.mark.parametrize(
        ("changed", "difference"),
        [
            (lambda s: replace(s, token_ids=(*s.token_ids[:-1], 63)), "its token {last} is 63, recorded was"),
            (lambda s: replace(s, token_ids=s.token_ids[:-1]), "it has {last} tokens, recorded were {length}"),
            (lambda s: replace(s, token_ids=(*s.token_ids, 1)), "recorded were {length}"),
            (lambda s: replace(s, prompt_length=s.prompt_length + 1), "its response starts at token"),
        ],
        ids=["other token", "cut shorter", "longer", "other prompt"],
    )
    def test_a_changed_example(
        self, recording: Path, changed: Callable[[TokenSequence], TokenSequence], difference: str
    ) -> None:
        sequences = [s for s in some_sequences(20) if len(s.token_ids) > 3]
        other = changed(sequences[4])
        reader = open_recording(recording)
        length = len(sequences[4].token_ids)
        wanted = difference.format(last=length - 1, length=length)
        with pytest.raises(DataError, match=rf"part-0000\d.*example {other.example} has changed since: .*{wanted}"):
            reader.check([*sequences[:4], other])
        with pytest.raises(DataError, match="max_length_tokens"):
            reader.gather([other])
        reader.check(sequences)

    def test_an_example_that_was_not_recorded(self, recording: Path) -> None:
        with pytest.raises(DataError, match="example 99 was not recorded; record the teacher again"):
            open_recording(recording).gather([TokenSequence(99, (1, 2, 3), 1)])

    def test_another_tokenizer(self, recording: Path) -> None:
        swapped = TOKENS | {"token 1": 2, "token 2": 1}
        with pytest.raises(ModelError, match="another tokenizer"):
            PositionReader(recording, prompt_in_loss=False, tokenizer=fingerprint_tokens(swapped))

    def test_a_tokenizer_is_its_map_and_not_its_order(self) -> None:
        assert fingerprint_tokens(dict(reversed(TOKENS.items()))) == TOKENIZER

    def test_prompt_positions_that_were_not_recorded(self, recording: Path) -> None:
        with pytest.raises(DataError, match=r"recorded without prompt positions; .*prompt_in_loss: true"):
            open_recording(recording, prompt_in_loss=True)

    def test_a_truncated_part(self, recording: Path) -> None:
        part = recording / "part-00002.safetensors"
        os.truncate(part, part.stat().st_size - 1)
        with pytest.raises(StoreError, match=r"part-00002.safetensors: truncated or damaged: it has \d+ bytes"):
            open_recording(recording)

    @pytest.mark.parametrize("left", [0, 5, 40])
    def test_a_part_cut_within_its_header(self, recording: Path, left: int) -> None:
        os.truncate(recording / "part-00001.safetensors", left)
        with pytest.raises(StoreError, match=r"part-00001.safetensors: (damaged|its header)"):
            open_recording(recording)

    def test_a_missing_part(self, recording: Path) -> None:
        (recording / "part-00001.safetensors").unlink()
        with pytest.raises(StoreError, match=r"part-00001.safetensors: cannot read: No such file"):
            open_recording(recording)

    def test_a_part_of_another_recording(self, recording: Path, tmp_path: Path) -> None:
        sequences = some_sequences(20)
        layout = layout_of(prompt_in_loss=True)
        record(tmp_path / "other", sequences, some_values(sequences, layout), layout, SMALL_PART)
        shutil.copy(tmp_path / "other" / "part-00000.safetensors", recording)
        with pytest.raises(StoreError, match=r"part-00000.safetensors: its header is not the one recorded"):
            open_recording(recording)

    def test_a_damaged_index(self, recording: Path) -> None:
        part = recording / "part-00000.safetensors"
        raw = bytearray(part.read_bytes())
        lengths = (
            8
            + int.from_bytes(raw[:8], "little")
            + 8 * json.loads((recording / "positions.json").read_text())["parts"][0]["examples"]
        )
        raw[lengths] += 1
        part.write_bytes(raw)
        with pytest.raises(StoreError, match=r"part-00000.safetensors: damaged: its index does not add up"):
            open_recording(recording)

    def test_an_unknown_version(self, recording: Path) -> None:
        file = recording / "positions.json"
        file.write_text(file.read_text().replace('"version": 1', '"version": 2'))
        with pytest.raises(StoreError, match=r"positions.json: format version 2, this program reads 1"):
            open_recording(recording)

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1, "parts": []}', "\xff"])
    def test_a_damaged_description(self, recording: Path, text: str) -> None:
        (recording / "positions.json").write_text(text, encoding="latin-1")
        with pytest.raises(StoreError, match=r"positions.json: damaged"):
            open_recording(recording)

    def test_an_unfinished_recording(self, recording: Path) -> None:
        (recording / "positions.json").unlink()
        with pytest.raises(StoreError, match="missing or was not finished"):
            open_recording(recording)


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
        assert sorted(_contents(killed)) == [
            ".part-00002.safetensors.building",
            "part-00000.safetensors",
            "part-00001.safetensors",
        ]
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


class TestMemory:
    def test_a_few_examples_of_many_bytes(self, tmp_path: Path) -> None:
        """Two examples of 64 MB touch their own pages, and the index."""
        if not Path("/proc/self/status").exists():
            pytest.skip("this system does not tell what is resident")
        layout = layout_of(PositionTensor("hidden", "float32", (4096,)))
        sequences = [TokenSequence(i, tuple(range(2, 23)), 1) for i in range(200)]
        zeros = {"hidden": torch.zeros(20, 4096)}
        record(tmp_path, sequences, dict.fromkeys(range(200), zeros), layout, 16 << 20)
        before = _resident_file_bytes()
        reader = open_recording(tmp_path)
        reader.check(sequences)
        few = reader.gather([sequences[150], sequences[3]])
        assert few["hidden"].nbytes == 2 * 20 * 16384
        assert _resident_file_bytes() - before < 4 << 20
        reader.gather(sequences)
        assert _resident_file_bytes() - before > 40 << 20  # the measure can tell


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


def _resident_file_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssFile:"))

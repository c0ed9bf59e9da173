"""A recording gives back every bit, reads no more than it is asked for, and refuses sequences that are not its own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from kdscope.core.errors import DataError, ModelError, StoreError
from kdscope.data.batches import TokenSequence, collate, count_targets
from kdscope.teacher.recording import (
    PartSize,
    PositionReader,
    PositionTensor,
    expectation_layout,
    fingerprint_tokens,
    hidden_layout,
)
from kdscope.teacher.recording_writer import recording_bytes
from tests.teacher.recordings import (
    SMALL_PART,
    TOKENIZER,
    TOKENS,
    bits,
    layout_of,
    open_recording,
    record,
    some_sequences,
    some_values,
)

LAYOUT = layout_of()
SEVERAL = (
    PositionTensor("b", "bfloat16", (3,)),
    PositionTensor("a", "float32"),
    PositionTensor("c", "float16", (2, 2)),
)


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
        header = recording_bytes(LAYOUT, PartSize(0, 0, 0))
        assert max(sizes) <= SMALL_PART + header + 24  # digits in the header
        size = PartSize(20, count_targets(sequences, False), sum(len(s.token_ids) for s in sequences))
        assert recording_bytes(LAYOUT, size, 1 << 30) == pytest.approx(sum(sizes) - header * (len(sizes) - 1), rel=0.02)

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
        taken = recording_bytes(hidden_layout(3584, "bfloat16", False, TOKENIZER), size)
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
        with pytest.raises(StoreError, match=r"part-00002.safetensors: truncated or damaged: no whole"):
            open_recording(recording)

    @pytest.mark.parametrize("left", [0, 5, 40])
    def test_a_part_cut_within_its_header(self, recording: Path, left: int) -> None:
        os.truncate(recording / "part-00001.safetensors", left)
        with pytest.raises(StoreError, match=r"part-00001.safetensors: truncated or damaged"):
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


def _resident_file_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssFile:"))

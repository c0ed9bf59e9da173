"""A replayed teacher says what the model itself says: same logits, same noise, same losses, in any batch."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import PreTrainedModel

from kdscope.core.errors import DataError, MachineError, ModelError, StoreError
from kdscope.data.batches import TokenSequence, collate
from kdscope.models.forward import SelectedStates, head_of
from kdscope.models.vocabulary import VocabularyMatch
from kdscope.objectives import Objective, per_token_loss
from kdscope.objectives.head import Head
from kdscope.teacher.recording import PositionTensor, hidden_layout
from kdscope.teacher.replay import ReplayTeacher, load_head, save_head
from kdscope.teacher.teacher_logits import LiveTeacher, add_teacher_noise
from tests.models.architectures import VOCABULARY, tiny
from tests.teacher.recordings import TOKENIZER, layout_of, open_recording, record, some_sequences, some_values

CUT = 3  # rows of the teacher's head that the student lacks
MATCH = VocabularyMatch(VOCABULARY - CUT, CUT, 0, VOCABULARY - CUT)
SEQUENCES = [s for s in some_sequences(14, seed=3) if max(s.token_ids) < VOCABULARY - CUT]


def record_model(folder: Path, model: PreTrainedModel, prompt_in_loss: bool) -> None:
    """What the teacher stage does, one sequence at a time."""
    states = SelectedStates(model)
    made = {}
    with torch.no_grad():
        for sequence in SEQUENCES:
            batch = collate([sequence], 0, prompt_in_loss)
            made[sequence.example] = {"hidden": states(**batch.inputs())}
    width = head_of(model).weight.shape[1]
    record(folder, SEQUENCES, made, hidden_layout(width, "float32", prompt_in_loss, TOKENIZER), 2000)
    save_head(folder, head_of(model))


def replayed(folder: Path, prompt_in_loss: bool = False, noise_std: float = 0.0, seed: int = 0) -> ReplayTeacher:
    head = load_head(folder, torch.device("cpu"))
    return ReplayTeacher(open_recording(folder, prompt_in_loss), head, MATCH, noise_std, seed)


def model_logits(model: PreTrainedModel, sequences: list[TokenSequence], prompt_in_loss: bool) -> Tensor:
    """The model's own logits of target tokens, from its own forward pass, each sequence alone."""
    made = []
    with torch.no_grad():
        for s in sequences:
            logits = model(input_ids=torch.tensor([s.token_ids])).logits[0]
            made.append(logits[s.first_target(prompt_in_loss) - 1 : len(s.token_ids) - 1])
    return torch.cat(made).float()


@pytest.mark.parametrize("kind", ["llama", "gemma2", "granite", "cohere", "gpt2"])
@pytest.mark.parametrize("prompt_in_loss", [False, True])
def test_logits_are_the_models_own(tmp_path: Path, kind: str, prompt_in_loss: bool) -> None:
    model = tiny(kind)
    record_model(tmp_path, model, prompt_in_loss)
    chosen = [SEQUENCES[i] for i in (5, 0, 2)]
    rows = replayed(tmp_path, prompt_in_loss).rows(chosen, collate(chosen, 0, prompt_in_loss))
    expected = model_logits(model, chosen, prompt_in_loss)[:, : VOCABULARY - CUT]
    torch.testing.assert_close(rows.logits(0, len(expected)), expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def llama() -> PreTrainedModel:
    """One teacher for several tests."""
    return tiny("llama")


@pytest.fixture(scope="module")
def folder(llama: PreTrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its recording, prompts included."""
    made = tmp_path_factory.mktemp("recording")
    record_model(made, llama, prompt_in_loss=True)
    return made


@settings(max_examples=15, deadline=None)
@given(
    chosen=st.lists(st.sampled_from(SEQUENCES), min_size=1, max_size=6, unique=True),
    prompt_in_loss=st.booleans(),
    noise_std=st.sampled_from([0.0, 0.3, 2.0]),
    seed=st.integers(0, 3),
    chunk=st.integers(1, 9),
)
def test_any_batch_and_chunk_equal_the_live_teacher(
    llama: PreTrainedModel,
    folder: Path,
    chosen: list[TokenSequence],
    prompt_in_loss: bool,
    noise_std: float,
    seed: int,
    chunk: int,
) -> None:
    batch = collate(chosen, 0, prompt_in_loss)
    count = len(batch.targets)
    live = LiveTeacher(SelectedStates(llama), head_of(llama), MATCH, noise_std, seed).rows(chosen, batch)
    replay = replayed(folder, prompt_in_loss, noise_std, seed).rows(chosen, batch)
    pieces = [replay.logits(start, min(start + chunk, count)) for start in range(0, count, chunk)]
    dense = model_logits(llama, chosen, prompt_in_loss)
    noisy = add_teacher_noise(dense[:, : VOCABULARY - CUT], noise_std, seed, batch.examples, batch.positions)
    torch.testing.assert_close(torch.cat([noisy[:0], *pieces]), noisy, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(live.logits(0, count), noisy, rtol=1e-4, atol=1e-5)
    cut = dense.double().softmax(dim=-1)[:, VOCABULARY - CUT :].sum().item()
    assert replay.cut_mass == pytest.approx(cut, rel=1e-4)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("divergence", ["forward_kl", "reverse_kl", "jsd", "total_variation"])
def test_losses_equal_those_of_the_model(
    llama: PreTrainedModel, folder: Path, temperature: float, divergence: str
) -> None:
    batch = collate(SEQUENCES, 0, prompt_in_loss=False)
    count = len(batch.targets)
    objective = Objective(divergence, kd_weight=1.0, temperature=temperature)  # type: ignore[arg-type]
    student = 3 * torch.randn(count, VOCABULARY - CUT, generator=torch.Generator().manual_seed(1))
    dense = model_logits(llama, SEQUENCES, prompt_in_loss=False)[:, : VOCABULARY - CUT]
    expected = per_token_loss(objective, student.double(), dense.double(), batch.targets).total
    found = per_token_loss(objective, student, replayed(folder).rows(SEQUENCES, batch).logits(0, count), batch.targets)
    torch.testing.assert_close(found.total.double(), expected, rtol=1e-4, atol=1e-6)


def test_bfloat16_is_replayed_to_the_bit(tmp_path: Path) -> None:
    """The recorded states are the model's own, not rounded again: the same batch gives the same logits."""
    model = tiny("llama").to(torch.bfloat16)
    batch = collate(SEQUENCES, 0, prompt_in_loss=False)
    live = LiveTeacher(SelectedStates(model), head_of(model), MATCH).rows(SEQUENCES, batch)
    pieces = torch.split(live.hidden, [int((batch.rows == i).sum()) for i in range(len(SEQUENCES))])
    made = {s.example: {"hidden": piece} for s, piece in zip(SEQUENCES, pieces, strict=True)}
    record(tmp_path, SEQUENCES, made, hidden_layout(32, "bfloat16", False, TOKENIZER), 500)
    save_head(tmp_path, head_of(model))
    replay = replayed(tmp_path).rows(SEQUENCES, batch)
    assert torch.equal(replay.logits(0, len(batch.targets)), live.logits(0, len(batch.targets)))


def test_rows_asked_for_twice_count_once_in_the_mass_cut(folder: Path) -> None:
    batch = collate(SEQUENCES, 0, prompt_in_loss=False)
    rows = replayed(folder).rows(SEQUENCES, batch)
    assert rows.cut_mass == 0.0
    rows.logits(0, 5)
    once = rows.cut_mass
    rows.logits(2, 5)
    assert once > 0.0
    assert rows.cut_mass == pytest.approx(once, rel=1e-5)


def test_a_changed_sequence_is_refused(folder: Path) -> None:
    changed = replace(SEQUENCES[0], token_ids=(1, *SEQUENCES[0].token_ids[1:]))
    with pytest.raises(DataError, match="its token 0 is 1, recorded was"):
        replayed(folder).rows([changed], collate([changed], 0, prompt_in_loss=False))


def test_a_recording_of_something_else_is_refused(folder: Path, tmp_path: Path) -> None:
    head = Head(torch.zeros(VOCABULARY, 31))
    with pytest.raises(ModelError, match=r"holds hidden states of width \[32\], the teacher's head takes 31"):
        ReplayTeacher(open_recording(folder), head, MATCH)
    layout = layout_of(PositionTensor("entropy", "float32"))
    record(tmp_path, SEQUENCES, some_values(SEQUENCES, layout), layout)
    with pytest.raises(ModelError, match="holds no hidden states"):
        ReplayTeacher(open_recording(tmp_path), head, MATCH)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("softcap", [None, 30.0])
@pytest.mark.parametrize("biased", [False, True])
def test_a_head_is_kept_to_the_bit(tmp_path: Path, dtype: torch.dtype, softcap: float | None, biased: bool) -> None:
    head = Head(torch.randn(7, 4).to(dtype), torch.randn(7).to(dtype) if biased else None, 1 / 7, softcap)
    save_head(tmp_path, head)
    found = load_head(tmp_path, torch.device("cpu"))
    assert torch.equal(found.weight, head.weight)
    assert found.weight.dtype == dtype
    assert (found.bias is None) == (head.bias is None)
    if found.bias is not None and head.bias is not None:
        assert torch.equal(found.bias, head.bias)
    assert (found.scale, found.softcap) == (1 / 7, softcap)


@pytest.mark.parametrize("left", [None, 0, 30, 200])
def test_a_damaged_head_is_refused(folder: Path, tmp_path: Path, left: int | None) -> None:
    if left is not None:
        (tmp_path / "head.safetensors").write_bytes((folder / "head.safetensors").read_bytes()[:left])
    with pytest.raises(StoreError, match=r"head.safetensors: missing or damaged .*record the teacher again"):
        load_head(tmp_path, torch.device("cpu"))


def test_a_full_disk_leaves_no_half_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match="not enough disk space"):
        save_head(tmp_path, Head(torch.randn(7, 4)))
    assert list(tmp_path.iterdir()) == []


def test_a_head_in_an_unknown_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"torch.float64 cannot be stored"):
        save_head(tmp_path, Head(torch.randn(7, 4).double()))

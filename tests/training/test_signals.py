"""A recorded teacher trains a student as the live one does; packed sequences train it as padded ones do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from kdscope.data.batches import TokenSequence, collate, count_targets
from kdscope.models.forward import SelectedStates, head_of
from kdscope.models.load import load_model
from kdscope.models.source import ModelPlace
from kdscope.models.vocabulary import VocabularyMatch
from kdscope.objectives import Objective
from kdscope.teacher import DistillationTeacher
from kdscope.teacher.expectation import ExpectationTeacher, expect
from kdscope.teacher.recording import PositionReader, expectation_layout, hidden_layout
from kdscope.teacher.recording_writer import PositionWriter
from kdscope.teacher.replay import ReplayTeacher, load_head, save_head
from kdscope.teacher.teacher_logits import LiveTeacher
from kdscope.training.checkpoints import Checkpoints
from kdscope.training.loop import Job, train
from tests.builders import make_model
from tests.training.conftest import settings

MakeJob = Callable[..., Job]
TOKENIZER = "fingerprint"
SETTINGS = settings(epochs=0, max_steps=50, warmup_steps=0.05, validate_every_steps=100)


@pytest.fixture(scope="module")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model") / "teacher", layers=3, hidden=48, seed=7)


def live_teacher(folder: Path, dtype: str, noise_std: float) -> LiveTeacher:
    model = load_model(ModelPlace(str(folder)), dtype, "cpu").requires_grad_(False)
    # A random teacher is undecided; sharpened, it says something, and the divergence is no difference of near equals.
    head, rows = head_of(model), model.config.vocab_size
    head = replace(head, scale=30.0)
    return LiveTeacher(SelectedStates(model), head, VocabularyMatch(rows, 0, 0, rows), noise_std, 3)


@torch.no_grad()
def replay_teacher(live: LiveTeacher, sequences: list[TokenSequence], folder: Path) -> ReplayTeacher:
    """Recorded one sequence at a time: another batch than any it will be replayed in."""
    width, dtype = live.head.weight.shape[1], str(live.head.weight.dtype).removeprefix("torch.")
    layout = hidden_layout(width, dtype, False, TOKENIZER)  # type: ignore[arg-type]
    writer = PositionWriter(folder, layout, sequences)
    for sequence in sequences:
        batch = collate([sequence], 257, prompt_in_loss=False)
        writer.add(sequence, {"hidden": live.states(**batch.inputs())})
    writer.finish()
    save_head(folder, live.head)
    reader = PositionReader(folder, prompt_in_loss=False, tokenizer=TOKENIZER)
    head = load_head(folder, torch.device("cpu"))
    return ReplayTeacher(reader, head, live.vocabulary, live.noise_std, live.noise_seed)


def expectation_teacher(job: Job, replay: ReplayTeacher, folder: Path) -> ExpectationTeacher:
    head = head_of(job.model.base, torch.bfloat16 if job.autocast else None)
    writer = PositionWriter(folder, expectation_layout(head.weight.shape[1], False, TOKENIZER), job.train)
    for sequence in job.train:
        rows = replay.rows([sequence], collate([sequence], 257, prompt_in_loss=False))
        count = count_targets([sequence], prompt_in_loss=False)
        writer.add(sequence, expect(rows, head, count, job.objective.temperature))
    writer.finish()
    return ExpectationTeacher(PositionReader(folder, prompt_in_loss=False, tokenizer=TOKENIZER))


def curve(job: Job, teacher: DistillationTeacher, folder: Path) -> list[float]:
    return [row["loss"] for row in train(replace(job, teacher=teacher), Checkpoints(folder)).log]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 4e-3)])
@pytest.mark.parametrize(
    ("objective", "noise"),
    [
        (Objective("forward_kl", kd_weight=1.0), 0.0),
        (Objective("forward_kl", kd_weight=0.6, temperature=2.0, t2_scale=True), 1.5),
        (Objective("forward_kl", kd_weight=1.0, temperature=0.7, reduction="sequence"), 0.0),
        (Objective("reverse_kl", kd_weight=1.0, temperature=2.0), 0.5),
        (Objective("jsd", kd_weight=1.0, settings={"beta": 0.3}), 0.0),
    ],
    ids=["forward", "forward warm, mixed, noisy", "forward cold, by sequence", "reverse", "jsd"],
)
def test_a_recorded_teacher_gives_the_live_teachers_loss_curve(
    make_job: MakeJob,
    teacher_folder: Path,
    tmp_path: Path,
    dtype: str,
    tolerance: float,
    objective: Objective,
    noise: float,
) -> None:
    def job() -> Job:
        made = make_job(lora=True, objective=objective, settings=SETTINGS, validation=[], autocast=dtype == "bfloat16")
        if dtype == "bfloat16":
            for parameter in made.model.base.parameters():
                parameter.data = parameter.data if parameter.requires_grad else parameter.data.bfloat16()
        return replace(made, pack=True)

    live = live_teacher(teacher_folder, dtype, noise)
    expected = curve(job(), live, tmp_path / "live")
    assert len(expected) == 50
    assert max(expected) > 1.02 * min(expected), "a curve that does not move shows nothing"
    replay = replay_teacher(live, list(job().train), tmp_path / "recorded")
    assert curve(job(), replay, tmp_path / "replay") == pytest.approx(expected, rel=tolerance)
    if objective.divergence == "forward_kl":
        condensed = expectation_teacher(job(), replay, tmp_path / "condensed")
        assert curve(job(), condensed, tmp_path / "expectation") == pytest.approx(expected, rel=tolerance)


def test_a_recording_serves_a_warm_start_of_forward_kl(make_job: MakeJob, teacher_folder: Path, tmp_path: Path) -> None:
    """One recording for both objectives, as one live teacher."""
    warm = {"warm_start_steps": 20, "warm_start": Objective("forward_kl", kd_weight=1.0, temperature=2.0)}

    def job() -> Job:
        objective = Objective("reverse_kl", kd_weight=1.0, temperature=2.0)
        return make_job(lora=True, objective=objective, settings=SETTINGS, validation=[], pack=True, **warm)

    live = live_teacher(teacher_folder, "float32", 0.5)
    expected = curve(job(), live, tmp_path / "live")
    assert max(expected) > 1.02 * min(expected), "a curve that does not move shows nothing"
    replay = replay_teacher(live, list(job().train), tmp_path / "recorded")
    assert curve(job(), replay, tmp_path / "replay") == pytest.approx(expected, rel=1e-5)
    without = curve(replace(job(), warm_start=None), replay, tmp_path / "fine-tuned")
    assert without[:20] != pytest.approx(expected[:20], rel=1e-2)


@pytest.mark.parametrize("divergence", ["none", "reverse_kl"])
@pytest.mark.parametrize("budget", [30, 10_000])
def test_packed_sequences_train_as_padded_ones(
    make_job: MakeJob, teacher_folder: Path, tmp_path: Path, divergence: Any, budget: int
) -> None:
    objective = Objective(divergence, kd_weight=0.0 if divergence == "none" else 1.0)
    curves = []
    for pack in (False, True):
        job = make_job(objective=objective, settings=settings(epochs=1, micro_batch_tokens=budget), pack=pack)
        if divergence != "none":
            job = replace(job, teacher=live_teacher(teacher_folder, "float32", 0.0))
        position = train(job, Checkpoints(tmp_path / str(pack)))
        curves.append([(row["loss"], row["validation_loss"] or 0.0, row["gradient_norm"]) for row in position.log])
    for padded, packed in zip(*curves, strict=True):
        assert packed == pytest.approx(padded, rel=1e-4)


def test_tokens_the_teacher_lacks_stay_out_of_the_comparison(
    make_job: MakeJob, teacher_folder: Path, tmp_path: Path
) -> None:
    """A teacher with more rows, the extra ones likely: their mass is reported, and the shared rows decide."""
    live = live_teacher(teacher_folder, "float32", 0.0)
    extra = torch.full((6, live.head.weight.shape[1]), 0.3)
    wide = replace(live.head, weight=torch.cat([live.head.weight, extra]))
    rows = live.vocabulary.shared_size
    padded = replace(live, head=wide, vocabulary=VocabularyMatch(rows, 6, 0, rows))
    logs = []
    for number, teacher in enumerate((live, padded)):
        job = make_job(
            objective=Objective("forward_kl", kd_weight=1.0), settings=settings(epochs=1), shared_vocabulary=rows
        )
        logs.append(train(replace(job, teacher=teacher), Checkpoints(tmp_path / str(number))).log)
    assert [row["loss"] for row in logs[1]] == pytest.approx([row["loss"] for row in logs[0]], rel=1e-6)
    assert all(row["cut_mass"] == 0 for row in logs[0])
    assert all(0 < row["cut_mass"] < 1 for row in logs[1])

"""The training loop against transformers' Trainer, against itself resumed, and against its own invariances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer, TrainingArguments, get_scheduler

from kdscope.core.errors import MachineError, ModelError, TrainingDivergedError
from kdscope.data.batches import TokenSequence, plan_windows
from kdscope.data.examples import Example
from kdscope.generation.base import Completion, Decoding
from kdscope.generation.huggingface import HuggingFaceGenerator
from kdscope.models.forward import SelectedStates, head_of
from kdscope.models.load import load_model
from kdscope.models.source import ModelPlace
from kdscope.models.vocabulary import VocabularyMatch
from kdscope.objectives import Objective
from kdscope.teacher.teacher_logits import LiveTeacher
from kdscope.training.checkpoints import Checkpoints
from kdscope.training.generated import OnPolicySampling, ReferenceScore, ValidationAnswers
from kdscope.training.loop import Job, learning_rate_at, train, warmup_length
from tests.builders import make_model, make_rows, make_tokenizer
from tests.training.conftest import sequences, settings

MakeJob = Callable[..., Job]


class Killed(Exception):
    """Stands for a kill."""


def weights_of(job: Job) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in job.model.trainable().items()}


def teacher_for(job: Job, folder: Path, **changes: Any) -> LiveTeacher:
    model = load_model(ModelPlace(str(folder)), "float32", "cpu").requires_grad_(False)
    rows = model.config.vocab_size
    return LiveTeacher(SelectedStates(model), head_of(model), VocabularyMatch(rows, 0, 0, rows), **changes)


def answers_of(job: Job, score: Callable[[int, Completion], float] | None = None) -> ValidationAnswers:
    """Greedy answers to four additions; a `score` stands in for that against the references."""
    rows = [Example(number, row["instruction"], "", row["output"]) for number, row in enumerate(make_rows(4), 1)]
    tokenizer = make_tokenizer()
    prompts = [tokenizer(row.instruction, add_special_tokens=False).input_ids for row in rows]
    return ValidationAnswers(
        HuggingFaceGenerator(job.model.base, tokenizer), prompts, Decoding(6), score or ReferenceScore.of(rows), 3
    )


def letters(number: int, completion: Completion) -> float:
    """A score that moves with every change of what is written, unlike that of a model that knows nothing."""
    return sum(completion.token_ids) % 101 / 101


@pytest.fixture(scope="module")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model") / "teacher", layers=3, hidden=48, seed=7)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_sft_follows_transformers_trainer_step_by_step(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(
        train=sequences(80), validation=[], settings=settings(epochs=2, batch_size_sequences=8, warmup_steps=4)
    )
    reference = make_job().model.base
    order = [i for window in plan_windows(80, 8, 2, job.seed) for i in window]

    class Ordered(Trainer):
        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

    def collator(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        width = max(len(r["input_ids"]) for r in rows)
        return {
            key: torch.tensor([r[key] + [fill] * (width - len(r[key])) for r in rows])
            for key, fill in (("input_ids", 257), ("attention_mask", 0), ("labels", -100))
        }

    data = [
        {
            "input_ids": list(s.token_ids),
            "attention_mask": [1] * len(s.token_ids),
            "labels": [-100] * s.prompt_length + list(s.token_ids[s.prompt_length :]),
        }
        for s in (job.train[i] for i in order)
    ]
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "trainer"), per_device_train_batch_size=4, gradient_accumulation_steps=2,
        num_train_epochs=1, learning_rate=job.learning_rate, lr_scheduler_type="linear", warmup_steps=4,
        max_grad_norm=1.0, weight_decay=0.0, optim="adamw_torch", logging_steps=1, report_to=[], save_strategy="no",
        use_cpu=True, bf16=False, disable_tqdm=True, remove_unused_columns=False, seed=0,
    )  # fmt: skip
    trainer = Ordered(model=reference, args=arguments, train_dataset=data, data_collator=collator)
    trainer.train()
    theirs = [row["loss"] for row in trainer.state.log_history if "loss" in row and "learning_rate" in row]
    ours = train(job, Checkpoints(tmp_path / "ours"))
    assert len(theirs) == len(ours.log) == 20
    assert [row["loss"] for row in ours.log] == pytest.approx(theirs, abs=1e-4)
    assert ours.log[-1]["loss"] < ours.log[0]["loss"] - 0.1
    for name, parameter in reference.named_parameters():
        torch.testing.assert_close(dict(job.model.base.named_parameters())[name], parameter, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("divergence", ["none", "forward_kl", "reverse_kl", "jsd"])
@pytest.mark.parametrize("reduction", ["token", "sequence"])
def test_micro_batches_do_not_change_a_step(
    make_job: MakeJob, teacher_folder: Path, tmp_path: Path, divergence: Any, reduction: Any
) -> None:
    runs = []
    for budget in (10_000, 40, 1):
        job = make_job(
            objective=Objective(divergence, kd_weight=0.7 if divergence != "none" else 0.0, reduction=reduction),
            settings=settings(epochs=1, micro_batch_tokens=budget),
            validation=[],
        )
        if divergence != "none":
            job = replace(job, teacher=teacher_for(job, teacher_folder, noise_std=0.5, noise_seed=3))
        position = train(job, Checkpoints(tmp_path / str(budget)))
        runs.append(([row["loss"] for row in position.log], weights_of(job)))
    for losses, weights in runs[1:]:
        assert losses == pytest.approx(runs[0][0], rel=2e-5)
        for name, value in weights.items():
            torch.testing.assert_close(value, runs[0][1][name], atol=5e-5, rtol=1e-3)


@pytest.mark.parametrize("on_policy", [False, True])
def test_a_warm_start_is_fine_tuning_and_then_the_method(
    make_job: MakeJob, teacher_folder: Path, tmp_path: Path, on_policy: bool
) -> None:
    plain = train(make_job(validation=[]), Checkpoints(tmp_path / "plain"))

    def distilled(warm: int) -> list[dict[str, Any]]:
        job = make_job(validation=[], objective=Objective("reverse_kl", kd_weight=1.0), warm_start_steps=warm)
        if on_policy:
            sampling = OnPolicySampling(HuggingFaceGenerator(job.model.base, make_tokenizer()), 1.0, 1.0, 24, seed=5)
            job = replace(job, on_policy=sampling, sample_teacher=teacher_for(job, teacher_folder))
        position = train(replace(job, teacher=teacher_for(job, teacher_folder)), Checkpoints(tmp_path / str(warm)))
        return position.log

    warm = distilled(4)
    same = ("loss", "cross_entropy", "tokens", "gradient_norm", "learning_rate", "divergence")
    assert [[row[key] for key in same] for row in warm[:4]] == [[row[key] for key in same] for row in plain.log[:4]]
    assert [row["divergence"] is None for row in warm] == [True] * 4 + [False] * 6
    assert warm[4]["loss"] == pytest.approx(warm[4]["divergence"])
    assert warm[4]["loss"] != pytest.approx(plain.log[4]["loss"])
    assert distilled(0)[0]["divergence"] is not None


@pytest.mark.parametrize("on_policy", [False, True])
def test_a_warm_start_of_forward_kl_is_forward_kl_and_then_the_method(
    make_job: MakeJob, teacher_folder: Path, tmp_path: Path, on_policy: bool
) -> None:
    forward = Objective("forward_kl", kd_weight=1.0, temperature=2.0)

    def curve(objective: Objective, **changes: Any) -> list[dict[str, Any]]:
        job = make_job(validation=[], objective=objective, **changes)
        if on_policy and changes:
            sampling = OnPolicySampling(HuggingFaceGenerator(job.model.base, make_tokenizer()), 1.0, 1.0, 24, seed=5)
            job = replace(job, on_policy=sampling, sample_teacher=teacher_for(job, teacher_folder))
        folder = tmp_path / f"{objective.divergence}{len(changes)}"
        return train(replace(job, teacher=teacher_for(job, teacher_folder)), Checkpoints(folder)).log

    reverse = Objective("reverse_kl", kd_weight=0.5, temperature=2.0)
    warm, plain = curve(reverse, warm_start_steps=4, warm_start=forward), curve(forward)
    assert warm[:4] == plain[:4]
    assert warm[4]["loss"] != pytest.approx(plain[4]["loss"])
    assert [row["loss"] == pytest.approx(row["divergence"]) for row in warm[:5]] == [True] * 4 + [False]


@pytest.mark.parametrize("stop_at", [1, 3, 4, 7, 9])
@pytest.mark.parametrize("method", ["sft", "gkd"])
@pytest.mark.parametrize(
    ("length", "keep"),
    [
        ({"epochs": 2}, "last"),
        ({"epochs": 2}, "best_loss"),
        ({"max_steps": 10, "batch_size_sequences": 7}, "best_accuracy"),
    ],
    ids=["epochs, last", "epochs, best loss", "steps, best accuracy"],
)
def test_a_resumed_run_is_the_same_bit_for_bit(
    make_job: MakeJob,
    teacher_folder: Path,
    tmp_path: Path,
    stop_at: int,
    method: str,
    length: dict[str, int],
    keep: str,
) -> None:
    def prepared(**changes: Any) -> Job:
        changes["settings"] = settings(**length, keep=keep, validate_every_steps=2)
        job = make_job(lora=method == "sft", dropout=0.1 if method == "sft" else 0.0, **changes)
        job = replace(job, answers=answers_of(job, letters) if keep == "best_accuracy" else None)
        if method == "sft":
            return job
        sampling = OnPolicySampling(HuggingFaceGenerator(job.model.base, make_tokenizer()), 0.5, 1.0, 24, seed=5)
        objective = Objective("jsd", kd_weight=1.0, settings={"beta": 0.5})
        teacher = teacher_for(job, teacher_folder)
        return replace(job, objective=objective, teacher=teacher, sample_teacher=teacher, on_policy=sampling)

    def kill(done: int, total: int, note: str) -> None:
        if done == stop_at:
            raise Killed

    whole = prepared()
    expected = train(whole, Checkpoints(tmp_path / "whole"))
    checkpoints = Checkpoints(tmp_path / "stopped")
    with pytest.raises(Killed):
        train(prepared(progress=kill), checkpoints)
    steps: list[int] = []
    resumed = prepared(progress=lambda done, total, note: steps.append(done))
    position = train(resumed, checkpoints)
    assert steps[0] == stop_at // 3 * 3 + 1  # checkpoints every 3 steps: nothing before the last one is done again
    assert position == expected
    for name, value in weights_of(resumed).items():
        assert torch.equal(value, weights_of(whole)[name]), name


@pytest.mark.parametrize("keep", ["last", "best_accuracy", "best_loss"])
def test_the_rule_decides_which_weights_remain(make_job: MakeJob, tmp_path: Path, keep: str) -> None:
    def prepared(rule: str, **changes: Any) -> Job:
        asked = settings(epochs=8, validate_every_steps=1, keep=rule)
        job = make_job(settings=asked, learning_rate=3e-2, **changes)
        return replace(job, answers=answers_of(job, letters))

    job = prepared(keep)
    position = train(job, Checkpoints(tmp_path))
    losses = [row["validation_loss"] for row in position.log]
    scores = [row["validation_accuracy"] for row in position.log]
    best_loss = losses.index(min(losses)) + 1
    best_score = max(step for step, score in enumerate(scores, 1) if score == max(scores))
    expected = {"last": len(losses), "best_accuracy": best_score, "best_loss": best_loss}
    assert len(set(expected.values())) == 3, "the test wants a run that the rules tell apart"
    assert position.kept == expected[keep]
    short = prepared("last", progress=_stop_after(position.kept))
    with pytest.raises(Killed):
        train(short, Checkpoints(tmp_path / "short"))
    for name, value in weights_of(short).items():
        assert torch.equal(value, weights_of(job)[name])


@pytest.mark.parametrize("method", ["sft", "gkd"])
def test_answering_the_validation_split_changes_nothing_of_the_training(
    make_job: MakeJob, teacher_folder: Path, tmp_path: Path, method: str
) -> None:
    """Dropout, samples of the student's own and packed sequences: whatever draws or could be left switched."""
    runs = []
    for number, answered in enumerate((False, True)):
        job = make_job(lora=True, dropout=0.2, settings=settings(validate_every_steps=1), pack=True)
        if method == "gkd":
            sampling = OnPolicySampling(HuggingFaceGenerator(job.model.base, make_tokenizer()), 0.5, 1.0, 24, seed=5)
            teacher = teacher_for(job, teacher_folder)
            objective = Objective("jsd", kd_weight=1.0)
            job = replace(job, objective=objective, teacher=teacher, sample_teacher=teacher, on_policy=sampling)
        job = replace(job, answers=answers_of(job) if answered else None)
        position = train(job, Checkpoints(tmp_path / str(number)))
        told = [{key: value for key, value in row.items() if key != "validation_accuracy"} for row in position.log]
        runs.append((told, weights_of(job)))
        assert all((row["validation_accuracy"] is not None) == answered for row in position.log)
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(value, runs[1][1][name]) for name, value in runs[0][1].items())


@pytest.mark.parametrize("keep", ["last", "best_accuracy", "best_loss"])
def test_every_arm_is_looked_at_at_the_same_steps(
    make_job: MakeJob, teacher_folder: Path, tmp_path: Path, keep: str
) -> None:
    looks = []
    for name, warm in (("none", 0), ("reverse_kl", 0), ("reverse_kl", 7)):
        job = make_job(
            objective=Objective(name, kd_weight=0.0 if name == "none" else 1.0),  # type: ignore[arg-type]
            settings=settings(max_steps=10, keep=keep),
            warm_start_steps=warm,
        )
        job = replace(
            job, answers=answers_of(job), teacher=None if name == "none" else teacher_for(job, teacher_folder)
        )
        log = train(job, Checkpoints(tmp_path / f"{name}{warm}")).log
        looks.append(
            [[row["step"] for row in log if row[key] is not None] for key in ("validation_loss", "validation_accuracy")]
        )
    assert looks == [[[4, 8, 10], [4, 8, 10]]] * 3


def test_without_anything_to_compare_the_last_step_stays(make_job: MakeJob, tmp_path: Path) -> None:
    for keep in ("last", "best_accuracy", "best_loss"):
        job = make_job(validation=[], settings=settings(epochs=1, keep=keep))
        assert train(job, Checkpoints(tmp_path / keep)).kept == 5


def _stop_after(step: int | None) -> Callable[[int, int, str], None]:
    def progress(done: int, total: int, note: str) -> None:
        if done == step:
            raise Killed

    return progress


@pytest.mark.parametrize("examples", [5, 12, 40])
@pytest.mark.parametrize("divergence", ["none", "forward_kl"])
def test_a_number_of_steps_means_full_batches_whatever_the_data(
    make_job: MakeJob, teacher_folder: Path, tmp_path: Path, examples: int, divergence: Any
) -> None:
    """Sequences of equal length: the tokens of a step tell how many of them it had."""
    equal = [TokenSequence(number, (*range(number, number + 6), 256), 4) for number in range(examples)]
    job = make_job(
        train=equal,
        validation=[],
        settings=settings(epochs=0, max_steps=9, batch_size_sequences=8),
        objective=Objective(divergence, kd_weight=0.0 if divergence == "none" else 1.0),
    )
    if divergence != "none":
        job = replace(job, teacher=teacher_for(job, teacher_folder))
    told: list[tuple[int, int]] = []
    position = train(replace(job, progress=lambda done, total, note: told.append((done, total))), Checkpoints(tmp_path))
    assert [row["tokens"] for row in position.log] == [8 * 3] * 9
    assert told == [(step, 9) for step in range(1, 10)]


def test_the_schedule_ends_with_the_steps(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(settings=settings(max_steps=10, warmup_steps=0.2), learning_rate=1.0e-3)
    rates = [row["learning_rate"] for row in train(job, Checkpoints(tmp_path)).log]
    # Two steps of warm-up from 0, then a line to 0 that the step after the last would reach.
    assert rates == pytest.approx([0.0, 5e-4, *(1e-3 * (8 - step) / 8 for step in range(8))])


def test_divergence_stops_with_advice(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(learning_rate=1e30, settings=settings(warmup_steps=0, gradient_clip_norm=1e30))
    with pytest.raises(
        TrainingDivergedError, match=r"step \d+: the (loss|gradient norm) is (nan|inf).*lower learning rate"
    ):
        train(job, Checkpoints(tmp_path))


def test_validation_that_is_not_a_number_is_an_error_of_the_model(make_job: MakeJob, tmp_path: Path) -> None:
    """Only the validation split holds the token whose embedding is broken."""
    job = make_job(lora=True, settings=settings(max_steps=1))
    assert all(255 not in sequence.token_ids for sequence in job.train)
    head, embeddings = job.model.base.get_output_embeddings(), job.model.base.get_input_embeddings()
    head.weight = torch.nn.Parameter(head.weight.detach().clone(), requires_grad=False)  # they share their weights
    embeddings.weight.data[255] = float("nan")
    job = replace(job, validation=[TokenSequence(0, (1, 255, 2, 256), 2)])
    with pytest.raises(ModelError, match="validation after step 1: the model's logits are not numbers"):
        train(job, Checkpoints(tmp_path))


def test_a_live_teacher_whose_states_are_not_numbers_is_an_error(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(objective=Objective("forward_kl", kd_weight=1.0))
    broken = load_model(ModelPlace(job.model.base.name_or_path), "float32", "cpu").requires_grad_(False)
    broken.model.norm.weight.data.fill_(float("nan"))
    rows = broken.config.vocab_size
    teacher = LiveTeacher(SelectedStates(broken), head_of(broken), VocabularyMatch(rows, 0, 0, rows))
    with pytest.raises(ModelError, match="logits are not numbers"):
        train(replace(job, teacher=teacher), Checkpoints(tmp_path))


def test_a_student_equal_to_its_teacher_has_nothing_to_learn(
    make_job: MakeJob, model_folder: Path, tmp_path: Path
) -> None:
    job = make_job(objective=Objective("forward_kl", kd_weight=1.0, temperature=2.0), settings=settings(epochs=1))
    first = train(replace(job, teacher=teacher_for(job, model_folder)), Checkpoints(tmp_path)).log[0]
    # Later steps move: AdamW turns the rounding noise of the gradient into steps of the learning rate's size.
    assert abs(first["loss"]) < 1e-6
    assert first["gradient_norm"] < 1e-5


def test_distillation_brings_the_student_nearer_to_the_teacher(
    make_job: MakeJob, teacher_folder: Path, tmp_path: Path
) -> None:
    job = make_job(objective=Objective("forward_kl", kd_weight=1.0), settings=settings(epochs=6))
    position = train(replace(job, teacher=teacher_for(job, teacher_folder)), Checkpoints(tmp_path))
    assert position.log[-1]["divergence"] < 0.8 * position.log[0]["divergence"]


def test_prompt_in_loss_counts_every_token_but_the_first(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(settings=settings(epochs=1), prompt_in_loss=True)
    position = train(job, Checkpoints(tmp_path))
    assert sum(row["tokens"] for row in position.log) == sum(len(s.token_ids) - 1 for s in job.train)


def test_bfloat16_follows_float32(make_job: MakeJob, tmp_path: Path) -> None:
    exact = train(make_job(), Checkpoints(tmp_path / "exact"))
    rough = train(make_job(autocast=True), Checkpoints(tmp_path / "rough"))
    assert [row["loss"] for row in rough.log] == pytest.approx([row["loss"] for row in exact.log], rel=0.03)


def test_several_processes_are_refused(make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(MachineError, match="one process"):
        train(make_job(), Checkpoints(Path("unused")))


@pytest.mark.parametrize(
    ("ours", "theirs"), [("linear", "linear"), ("cosine", "cosine"), ("constant", "constant_with_warmup")]
)
@pytest.mark.parametrize("warmup", [0, 1, 7])
def test_schedules_equal_those_of_transformers(ours: str, theirs: str, warmup: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = get_scheduler(theirs, optimizer, num_warmup_steps=warmup, num_training_steps=25)
    for step in range(25):
        rate = learning_rate_at(step, peak=0.3, schedule=ours, warmup_steps=warmup, total_steps=25)
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        scheduler.step()


def test_warmup_below_one_is_a_share_of_the_steps() -> None:
    assert [warmup_length(value, 30) for value in (0, 0.05, 0.5, 1, 7)] == [0, 2, 15, 1, 7]

"""The single training loop: teachers and students, every method, one function.

Order of a step: choose the sequences, pack them into micro-batches, forward, loss, backward; then clip, step, log.
Every random choice is drawn from (seed, step), and the learning rate is a function of the step, so a run resumed from
a checkpoint continues exactly as it would have gone on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor

from kdscope.data.batches import (
    Batch,
    TokenSequence,
    collate,
    count_targets,
    pack_micro_batches,
    plan_full_windows,
    plan_windows,
)
from kdscope.errors import MachineError, TrainingDivergedError
from kdscope.models.forward import SelectedLogits
from kdscope.models.lora import TrainableModel
from kdscope.objectives import Objective, TokenLosses, per_token_loss, sequence_mean_share, token_mean_share
from kdscope.seeds import derive_seed
from kdscope.teacher.live import LiveTeacher
from kdscope.training.checkpoints import Checkpoints, Position
from kdscope.training.on_policy import OnPolicySampling
from kdscope.training.schedule import learning_rate_at, warmup_length

_CROSS_ENTROPY = Objective("none", kd_weight=0.0)


class LoopSettings(Protocol):
    """The optimisation settings of a study; units as in the study's `training` section."""

    epochs: int
    max_steps: int | None
    batch_size_sequences: int
    micro_batch_tokens: int
    schedule: str
    warmup_steps: float
    weight_decay: float
    gradient_clip_norm: float
    checkpoint_every_steps: int
    validate_every_steps: int


@dataclass(frozen=True)
class Job:
    """Everything one training run needs.

    Attributes:
        model: What trains.
        train: Training sequences.
        validation: Held-out sequences; may be empty.
        objective: What is minimised.
        settings: Optimisation settings.
        learning_rate: Peak learning rate.
        seed: Seed of data order and dropout.
        prompt_in_loss: Whether prompt tokens are targets.
        pad_id: Padding token id.
        autocast: Whether the forward pass runs in bfloat16.
        teacher: The teacher's signal; None for plain cross-entropy.
        on_policy: Sampling from the student; None for off-policy methods.
        warm_start_steps: The first steps train with cross-entropy on the sequences as they are.
        progress: Called with (steps done, steps in all, a note).
    """

    model: TrainableModel
    train: Sequence[TokenSequence]
    validation: Sequence[TokenSequence]
    objective: Objective
    settings: LoopSettings
    learning_rate: float
    seed: int
    prompt_in_loss: bool
    pad_id: int
    autocast: bool
    teacher: LiveTeacher | None = None
    on_policy: OnPolicySampling | None = None
    warm_start_steps: int = 0
    progress: Callable[[int, int, str], None] = lambda done, total, note: None


def train(job: Job, checkpoints: Checkpoints) -> Position:
    """Train to the end, resuming from the latest checkpoint; the best weights are in the model afterwards.

    Returns:
        Where training ended: the log, one row a step, and the best validation loss.

    Raises:
        TrainingDivergedError: A loss or gradient norm became NaN or infinite.
        MachineError: Several processes were launched together.
    """
    device = next(job.model.network.parameters()).device
    accelerator = Accelerator(
        mixed_precision="bf16" if job.autocast else "no", cpu=device.type == "cpu", gradient_accumulation_steps=1
    )
    try:
        if accelerator.num_processes > 1:
            raise MachineError("training runs in one process; start kdscope without torchrun or accelerate launch")
        return _Run(job, accelerator, checkpoints).to_the_end()
    finally:
        # accelerate keeps its precision in a process-wide state; the next cell may need another one.
        AcceleratorState._reset_state(reset_partial_state=True)


class _Run:
    """One call of `train`: the objects that live as long as it does."""

    def __init__(self, job: Job, accelerator: Accelerator, checkpoints: Checkpoints) -> None:
        self.job, self.accelerator, self.checkpoints = job, accelerator, checkpoints
        self.weights = job.model.trainable()
        self.optimizer = accelerator.prepare(_make_optimizer(self.weights, job))
        self.forward = accelerator.prepare(SelectedLogits(job.model.base))
        self.windows = _plan(job)
        self.position = checkpoints.restore(self.weights, self.optimizer.optimizer)

    def to_the_end(self) -> Position:
        settings, total = self.job.settings, len(self.windows)
        while self.position.step < total:
            row = self._step(self.position.step)
            self.position.step += 1
            if self.position.step % settings.validate_every_steps == 0 or self.position.step == total:
                row["validation_loss"] = self._validate()
            self.position.log.append(row)
            if self.position.step % settings.checkpoint_every_steps == 0 and self.position.step < total:
                self._checkpoint()
            self.job.progress(self.position.step, total, f"loss {row['loss']:.3f}")
        if self.position.best_step not in (None, total):
            self.checkpoints.restore_best(self.position.best_step, self.weights)
        return self.position

    def _step(self, step: int) -> dict[str, Any]:
        """One optimiser step; returns its row of the log."""
        job = self.job
        torch.manual_seed(derive_seed(job.seed, "step", step))
        sequences = [job.train[i] for i in self.windows[step]]
        if job.on_policy is not None and not self._is_warm_start(step) and job.on_policy.uses_samples(step):
            sequences = self._sample(job.on_policy, sequences, step)
        job.model.network.train()
        sums = self._accumulate(sequences, step)
        norm = float(self.accelerator.clip_grad_norm_(list(self.weights.values()), job.settings.gradient_clip_norm))
        if not math.isfinite(norm):
            raise TrainingDivergedError(f"step {step + 1}: the gradient norm is {norm}; {_advice(job)}")
        rate = self._learning_rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {"step": step + 1, **sums, "learning_rate": rate, "gradient_norm": norm, "validation_loss": None}

    def _accumulate(self, sequences: Sequence[TokenSequence], step: int) -> dict[str, Any]:
        """Forward and backward over the micro-batches; every loss is divided by the step's own totals."""
        job = self.job
        sequences = [s for s in sequences if len(s.token_ids) > s.first_target(job.prompt_in_loss)]
        tokens = count_targets(sequences, job.prompt_in_loss)
        sums = {"loss": 0.0, "cross_entropy": 0.0, "divergence": 0.0, "cut_mass": 0.0}
        for micro in pack_micro_batches(sequences, job.settings.micro_batch_tokens):
            batch = collate(micro, job.pad_id, job.prompt_in_loss).to(self.accelerator.device)
            losses, cut_mass = self._losses(batch, step)
            loss = _reduce(losses, batch, job.objective, tokens, len(sequences))
            if not math.isfinite(value := loss.item()):
                raise TrainingDivergedError(f"step {step + 1}: the loss is {value}; {_advice(job)}")
            self.accelerator.backward(loss)
            sums["loss"] += value
            sums["cross_entropy"] += float(losses.cross_entropy.sum()) / tokens
            sums["cut_mass"] += cut_mass / tokens
            if losses.divergence is not None:
                sums["divergence"] += float(losses.divergence.sum()) / tokens
        alone = job.teacher is None or self._is_warm_start(step)
        return {"tokens": tokens, **sums} | ({"divergence": None} if alone else {})

    def _is_warm_start(self, step: int) -> bool:
        return step < self.job.warm_start_steps

    def _losses(self, batch: Batch, step: int) -> tuple[TokenLosses, float]:
        logits = self.forward(batch.input_ids, batch.attention_mask, batch.rows, batch.positions).float()
        teacher = self.job.teacher
        if teacher is None or self._is_warm_start(step):
            return per_token_loss(_CROSS_ENTROPY, logits, None, batch.targets), 0.0
        said = teacher(batch.input_ids, batch.attention_mask, batch.rows, batch.positions, batch.examples)
        shared = logits[:, : teacher.vocabulary.shared_size]
        return per_token_loss(self.job.objective, shared, said.logits, batch.targets), float(said.cut_mass.sum())

    def _sample(self, sampling: OnPolicySampling, sequences: list[TokenSequence], step: int) -> list[TokenSequence]:
        self.job.model.network.eval()
        return sampling.sample(sequences, step)

    @torch.no_grad()
    def _validate(self) -> float | None:
        """Cross-entropy on held-out references, the same yardstick for every method; keeps the best weights."""
        job, position = self.job, self.position
        if not job.validation:
            return None
        job.model.network.eval()
        total = 0.0
        for micro in pack_micro_batches(job.validation, job.settings.micro_batch_tokens):
            batch = collate(micro, job.pad_id, prompt_in_loss=False).to(self.accelerator.device)
            logits = self.forward(batch.input_ids, batch.attention_mask, batch.rows, batch.positions).float()
            total += float(torch.nn.functional.cross_entropy(logits, batch.targets, reduction="sum"))
        loss = total / count_targets(job.validation, prompt_in_loss=False)
        if math.isfinite(loss) and (position.best_loss is None or loss < position.best_loss):
            position.best_step, position.best_loss = position.step, loss
            if position.step < len(self.windows):
                self.checkpoints.save_best(position.step, self.weights)
        return loss

    def _checkpoint(self) -> None:
        self.checkpoints.save(self.position, self.weights, self.optimizer.optimizer)
        if self.position.best_step is not None:
            self.checkpoints.drop_best_except(self.position.best_step)

    def _learning_rate(self, step: int) -> float:
        settings, total = self.job.settings, len(self.windows)
        warmup = warmup_length(settings.warmup_steps, total)
        return learning_rate_at(
            step, peak=self.job.learning_rate, schedule=settings.schedule, warmup_steps=warmup, total_steps=total
        )


def _plan(job: Job) -> list[list[int]]:
    settings, count = job.settings, len(job.train)
    if settings.max_steps is not None:
        return plan_full_windows(count, settings.batch_size_sequences, settings.max_steps, job.seed)
    return plan_windows(count, settings.batch_size_sequences, settings.epochs, job.seed)


def _make_optimizer(weights: dict[str, torch.nn.Parameter], job: Job) -> torch.optim.AdamW:
    """AdamW; biases and norms, which have one dimension, do not decay."""
    decayed = [p for p in weights.values() if p.ndim >= 2]
    others = [p for p in weights.values() if p.ndim < 2]
    groups = [
        {"params": decayed, "weight_decay": job.settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    fused = next(iter(weights.values())).device.type == "cuda"
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=job.learning_rate, fused=fused)


def _reduce(losses: TokenLosses, batch: Batch, objective: Objective, tokens: int, sequences: int) -> Tensor:
    """This micro-batch's share of the step's loss."""
    if objective.reduction == "token" or losses.divergence is None:
        return token_mean_share(losses.total, tokens)
    per_row = torch.bincount(batch.rows, minlength=batch.input_ids.shape[0])
    return sequence_mean_share(losses.total, batch.rows, per_row, sequences)


def _advice(job: Job) -> str:
    return f"try a lower learning rate than {job.learning_rate:g}, a longer warm-up, or runtime.dtype: float32"

"""The single training loop: teachers and students, every method, one function.

Order of a step: choose the sequences, pack them into micro-batches, forward, loss, backward; then clip, step, log.
Every random choice is drawn from (seed, step), and the learning rate is a function of the step, so a run resumed from
a checkpoint continues exactly as it would have gone on.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kdscope.core.errors import MachineError, ModelError, TrainingDivergedError
from kdscope.core.seeds import derive_seed
from kdscope.data.batches import (
    Batch,
    TokenSequence,
    collate,
    count_targets,
    plan_full_windows,
    plan_micro_batches,
    plan_windows,
)
from kdscope.models.forward import NOT_NUMBERS, SelectedStates, head_of
from kdscope.models.load import TrainableModel
from kdscope.models.packing import packed, padded
from kdscope.objectives import FusedLoss, Head, Objective, fused_loss, sequence_weights, token_weights
from kdscope.study.schema import Training
from kdscope.teacher import DistillationTeacher
from kdscope.training.checkpoints import VALIDATION_ACCURACY, VALIDATION_LOSS, Checkpoints, Position, kept_step
from kdscope.training.generated import OnPolicySampling, ValidationAnswers
from kdscope.training.trackers import Track, Tracking, tracked

_CROSS_ENTROPY = Objective("none", kd_weight=0.0)


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
        teacher: What the teacher says of the training sequences; None for plain cross-entropy.
        shared_vocabulary: Rows of the student's head that the teacher's has too; all where None.
        on_policy: Sampling from the student; None for off-policy methods.
        sample_teacher: What the teacher says of the student's samples.
        sample_objective: What is minimised on them; the same as elsewhere where None.
        pack: Whether sequences are packed instead of padded; the models must be able to (`models.packing.can_pack`).
        longest_together: Most tokens of a sequence that others may stand beside (`models.packing.longest_together`).
        warm_start_steps: The first steps train on the sequences as they are, with another objective.
        warm_start: That objective, which the teacher serves too; cross-entropy where None.
        answers: How the validation split is answered and scored; it is not where None.
        progress: Called with (steps done, steps in all, a note).
        tracking: Who else is told of every step, if anybody.
    """

    model: TrainableModel
    train: Sequence[TokenSequence]
    validation: Sequence[TokenSequence]
    objective: Objective
    settings: Training
    learning_rate: float
    seed: int
    prompt_in_loss: bool
    pad_id: int
    autocast: bool
    teacher: DistillationTeacher | None = None
    shared_vocabulary: int | None = None
    on_policy: OnPolicySampling | None = None
    sample_teacher: DistillationTeacher | None = None
    sample_objective: Objective | None = None
    pack: bool = False
    longest_together: int | None = None
    warm_start_steps: int = 0
    warm_start: Objective | None = None
    answers: ValidationAnswers | None = None
    progress: Callable[[int, int, str], None] = lambda done, total, note: None
    tracking: Tracking | None = None


def train(job: Job, checkpoints: Checkpoints) -> Position:
    """Train to the end, resuming from the latest checkpoint; the weights to keep are in the model afterwards.

    Returns:
        Where training ended: the log, one row a step; `Position.kept` says whose weights these are.

    Raises:
        TrainingDivergedError: A loss or gradient norm became NaN or infinite.
        ModelError: The logits of the validation split are not numbers.
        MachineError: Several processes were launched together.
    """
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:
        raise MachineError("training runs in one process; start kdscope without torchrun or accelerate launch")
    with packed(job.model.base, job.pack), tracked(job.tracking) as track:
        return _Run(job, checkpoints).to_the_end(track)


def warmup_length(asked: float, total_steps: int) -> int:
    """Warm-up in steps; a number below 1 is a share of all steps, rounded up (as in transformers)."""
    return math.ceil(asked * total_steps) if asked < 1 else int(asked)


def learning_rate_at(step: int, *, peak: float, schedule: str, warmup_steps: int, total_steps: int) -> float:
    """Learning rate of optimiser step `step` (from 0): linear warm-up, then linear, cosine or constant.

    The same values as transformers' schedules of those names.
    """
    if step < warmup_steps:
        return peak * step / max(1, warmup_steps)
    if schedule == "constant":
        return peak
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    remaining = 1.0 - progress if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))
    return peak * max(0.0, remaining)


class _Run:
    """One call of `train`: the objects that live as long as it does."""

    def __init__(self, job: Job, checkpoints: Checkpoints) -> None:
        self.job, self.checkpoints = job, checkpoints
        self.weights = job.model.trainable()
        self.device = next(job.model.network.parameters()).device
        self.optimizer = _make_optimizer(self.weights, job)
        self.states = SelectedStates(job.model.base)
        head = self._read_head()
        self.frozen_head = None if head.weight.requires_grad else head
        self.windows = _plan(job)
        self.position = checkpoints.restore(self.weights, self.optimizer)

    def to_the_end(self, track: Track) -> Position:
        settings, total = self.job.settings, len(self.windows)
        for row in self.position.log:
            track(row)
        while self.position.step < total:
            row = self._step(self.position.step)
            self.position.step += 1
            looked = self.position.step % settings.validate_every_steps == 0 or self.position.step == total
            if looked:
                row |= self._validate()
            self.position.log.append(row)
            if looked:
                self._keep()
            track(row)
            if self.position.step % settings.checkpoint_every_steps == 0 and self.position.step < total:
                self._checkpoint()
            self.job.progress(self.position.step, total, f"loss {row['loss']:.3f}")
        if self.position.kept is None:
            self.position.kept = total  # nothing to compare steps by
        if self.position.kept != total:
            self.checkpoints.restore_best(self.position.kept, self.weights)
        return self.position

    def _step(self, step: int) -> dict[str, Any]:
        """One optimiser step; returns its row of the log."""
        job = self.job
        torch.manual_seed(derive_seed(job.seed, "step", step))
        sequences, sampled = [job.train[i] for i in self.windows[step]], False
        if job.on_policy is not None and not self._is_warm_start(step) and job.on_policy.uses_samples(step):
            sequences, sampled = self._sample(job.on_policy, sequences, step), True
        job.model.network.train()
        objective, teacher = self._lesson(step, sampled)
        sums = self._accumulate(sequences, step, objective, teacher)
        norm = float(torch.nn.utils.clip_grad_norm_(list(self.weights.values()), job.settings.gradient_clip_norm))
        if not math.isfinite(norm):
            raise TrainingDivergedError(f"step {step + 1}: the gradient norm is {norm}; {_advice(job)}")
        rate = self._learning_rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        unknown = dict.fromkeys((VALIDATION_LOSS, VALIDATION_ACCURACY))
        return {"step": step + 1, **sums, "learning_rate": rate, "gradient_norm": norm, **unknown}

    def _lesson(self, step: int, sampled: bool) -> tuple[Objective, DistillationTeacher | None]:
        """What a step minimises, and the teacher it hears."""
        job = self.job
        if sampled:
            return job.sample_objective or job.objective, job.sample_teacher
        if not self._is_warm_start(step):
            return job.objective, job.teacher
        return (_CROSS_ENTROPY, None) if job.warm_start is None else (job.warm_start, job.teacher)

    def _accumulate(
        self, sequences: Sequence[TokenSequence], step: int, objective: Objective, teacher: DistillationTeacher | None
    ) -> dict[str, Any]:
        """Forward and backward over the micro-batches; every loss is divided by the step's own totals."""
        job = self.job
        sequences = [s for s in sequences if len(s.token_ids) > s.first_target(job.prompt_in_loss)]
        tokens, cut_mass = count_targets(sequences, job.prompt_in_loss), 0.0
        sums = torch.zeros(3, dtype=torch.float64)
        for micro in self._micro_batches(sequences):
            batch = self._collate(micro, job.prompt_in_loss)
            weights = _token_weights(batch, objective, tokens, len(sequences), with_teacher=teacher is not None)
            loss, cut = self._loss(objective, micro, batch, weights, teacher)
            loss.total.backward()  # type: ignore[no-untyped-call]
            divergence = torch.zeros(()) if loss.divergence is None else loss.divergence
            sums += torch.stack([x.detach().cpu().double() for x in (loss.total, loss.cross_entropy, divergence)])
            cut_mass += cut
        value, cross_entropy, divergence_sum = sums.tolist()
        if not math.isfinite(value):
            raise TrainingDivergedError(f"step {step + 1}: the loss is {value}; {_advice(job)}")
        return {
            "tokens": tokens,
            "loss": value,
            "cross_entropy": cross_entropy / tokens,
            "divergence": None if teacher is None else divergence_sum / tokens,
            "cut_mass": cut_mass / tokens,
        }

    def _is_warm_start(self, step: int) -> bool:
        return step < self.job.warm_start_steps

    def _loss(
        self,
        objective: Objective,
        sequences: Sequence[TokenSequence],
        batch: Batch,
        weights: Tensor,
        teacher: DistillationTeacher | None,
    ) -> tuple[FusedLoss, float]:
        """A micro-batch's share of the loss, and the teacher's mass on ids that the student lacks."""
        job = self.job
        with torch.autocast(self.device.type, torch.bfloat16, enabled=job.autocast):
            hidden = self.states(**batch.inputs())
        hidden, head = hidden.float() if job.autocast else hidden, self._head()
        if teacher is None:
            return fused_loss(_CROSS_ENTROPY, hidden, head, batch.targets, weights), 0.0
        rows = teacher.rows(sequences, batch)
        if job.shared_vocabulary is not None:
            head = head.first_rows(job.shared_vocabulary)
        loss = fused_loss(objective, hidden, head, batch.targets, weights, rows)
        return loss, float(getattr(rows, "cut_mass", 0.0))

    def _micro_batches(self, sequences: Sequence[TokenSequence]) -> list[list[TokenSequence]]:
        job = self.job
        budget, longest = job.settings.micro_batch_tokens, job.longest_together
        return plan_micro_batches(sequences, budget, packed=job.pack, longest_together=longest)

    def _collate(self, sequences: Sequence[TokenSequence], prompt_in_loss: bool) -> Batch:
        batch = collate(sequences, self.job.pad_id, prompt_in_loss, packed=self.job.pack)
        return batch.to(self.device)

    def _head(self) -> Head:
        return self.frozen_head or self._read_head()

    def _read_head(self) -> Head:
        # Outside of autocast, which sees the decoder only.
        return head_of(self.job.model.base, torch.bfloat16 if self.job.autocast else None)

    def _sample(self, sampling: OnPolicySampling, sequences: list[TokenSequence], step: int) -> list[TokenSequence]:
        self.job.model.network.eval()
        with padded(self.job.model.base):
            return sampling.sample(sequences, step)

    def _validate(self) -> dict[str, float | None]:
        """Cross-entropy on held-out references, the same for every method, and the score of greedy answers if asked."""
        job = self.job
        job.model.network.eval()
        found = {VALIDATION_LOSS: self._validation_loss() if job.validation else None}
        if job.answers is not None:
            with padded(job.model.base):
                found[VALIDATION_ACCURACY] = job.answers.mean_score()
        job.model.network.train()
        return found

    @torch.no_grad()
    def _validation_loss(self) -> float:
        job = self.job
        tokens, loss = count_targets(job.validation, prompt_in_loss=False), 0.0
        for micro in self._micro_batches(job.validation):
            batch = self._collate(micro, prompt_in_loss=False)
            weights = token_weights(len(batch.targets), tokens, device=batch.targets.device)
            loss += float(self._loss(_CROSS_ENTROPY, micro, batch, weights, None)[0].total)
        if math.isnan(loss):
            raise ModelError(f"validation after step {self.position.step}: {NOT_NUMBERS}")
        return loss

    def _keep(self) -> None:
        """Note which step the rule keeps so far, and its weights where later steps will change them."""
        position, rule = self.position, self.job.settings.keep
        position.kept = kept_step(rule, position.log)
        if rule != "last" and position.kept == position.step < len(self.windows):
            self.checkpoints.save_best(position.step, self.weights)

    def _checkpoint(self) -> None:
        self.checkpoints.save(self.position, self.weights, self.optimizer)
        if self.position.kept is not None:
            self.checkpoints.drop_best_except(self.position.kept)

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
    fused = next(iter(weights.values())).device.type in ("cpu", "cuda")
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=job.learning_rate, fused=fused)


def _token_weights(batch: Batch, objective: Objective, tokens: int, sequences: int, *, with_teacher: bool) -> Tensor:
    """What each target token of this micro-batch counts in the step's loss; cross-entropy alone is a token mean."""
    if objective.reduction == "token" or not with_teacher:
        return token_weights(len(batch.targets), tokens, device=batch.targets.device)
    per_row = torch.bincount(batch.rows, minlength=len(batch.lengths))
    return sequence_weights(batch.rows, per_row, sequences)


def _advice(job: Job) -> str:
    return f"try a lower learning rate than {job.learning_rate:g}, a longer warm-up, or runtime.dtype: float32"

"""Other people's trainers, used as their documentation says, on the same examples in the same batches.

They run at their best reasonable settings: bfloat16 weights and autocast, no gradient checkpointing (which trl switches
on by default: an arm of its own shows it), no logging, no saving, batches padded to their longest sequence by the
trainer's own collator.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import Arm, Clock, Outcome, Task
from datasets import Dataset  # type: ignore[import-untyped]
from settings import Settings
from students import make_student, make_teacher, make_tokenizer
from torch import Tensor
from transformers import DataCollatorForSeq2Seq, Trainer, TrainerCallback, TrainingArguments

from kdscope.data.batches import TokenSequence

# trl's convention: 0 is the forward KL divergence, 1 the reverse one.
BETAS = {"forward_kl": 0.0, "reverse_kl": 1.0, "jsd": 0.5}
_TEMPERATURE, _EPSILON = 2.0, 1e-9


def peer_arms() -> dict[str, Arm]:
    """The arms by name."""
    gkd: dict[str, Arm] = {f"trl_gkd_{name}": partial(trl_gkd, beta=beta) for name, beta in BETAS.items()}
    return {
        "transformers_sft": transformers_sft,
        **gkd,
        "trl_gkd_forward_kl_checkpointing": partial(trl_gkd, beta=0.0, checkpointing=True),
        "authors_forward_kl": authors_forward_kl,
    }


def transformers_sft(task: Task) -> Outcome:
    """transformers' Trainer, cross-entropy on the responses."""
    tokenizer = make_tokenizer(task.settings)
    trainer = watched(Trainer)(
        model=make_student(task.settings).network,
        args=TrainingArguments(**trainer_settings(task.settings, task.scratch())),
        train_dataset=labelled(task.sequences),
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        callbacks=[Ticking(task.clock)],
    )
    trainer.train()
    return Outcome(trainer.losses())


def trl_gkd(task: Task, *, beta: float, checkpointing: bool = False) -> Outcome:
    """trl's GKDTrainer on the references (lmbda 0): the teacher's distribution, live, at every response token."""
    trainer = gkd_trainer(task, make_student(task.settings).network, beta=beta, gradient_checkpointing=checkpointing)
    trainer.train()
    return Outcome(trainer.losses())


def gkd_trainer(task: Task, student: Any, **changes: Any) -> Any:
    """A GKDTrainer; `changes` are settings of its configuration."""
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    settings = task.settings
    own = {"lmbda": 0.0, "seq_kd": False, "max_length": settings.max_length}
    return watched(GKDTrainer)(
        model=student,
        teacher_model=make_teacher(settings),
        args=GKDConfig(**trainer_settings(settings, task.scratch()) | own | changes),
        train_dataset=completions(task.sequences),
        processing_class=make_tokenizer(settings),
        callbacks=[Ticking(task.clock)],
    )


def authors_forward_kl(task: Task) -> Outcome:
    """The dense loss that published code has, in transformers' Trainer; see `published_forward_kl`."""
    trainer = watched(_Distilling)(
        model=make_student(task.settings).network,
        args=TrainingArguments(**trainer_settings(task.settings, task.scratch())),
        train_dataset=labelled(task.sequences),
        data_collator=DataCollatorForSeq2Seq(make_tokenizer(task.settings)),
        callbacks=[Ticking(task.clock)],
    )
    trainer.teacher = make_teacher(task.settings)
    trainer.train()
    return Outcome(trainer.losses())


def published_forward_kl(teacher: Tensor, student: Tensor, attention_mask: Tensor, temperature: float) -> Tensor:
    """KL(P || Q) as the code of arXiv 2505.15442 computes it: every logit, in float32, at every token.

    Mean over the tokens of a sequence, the prompt's among them, then over the sequences; times T squared; 1e-9 is added
    to the probabilities before their logarithms are taken.

    Args:
        teacher: Logits [B, L, V].
        student: Logits [B, L, V].
        attention_mask: 1 for real tokens [B, L].
        temperature: T.
    """
    p = (teacher.float() / temperature).softmax(dim=-1) + _EPSILON
    q = (student.float() / temperature).softmax(dim=-1) + _EPSILON
    per_token = (p * (p.log() - q.log())).sum(dim=-1) * attention_mask
    return (per_token.sum(dim=1) / attention_mask.sum(dim=1)).mean() * temperature**2


class _Distilling(Trainer):  # type: ignore[misc]
    """A Trainer with a teacher."""

    teacher: Any

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            teacher = self.teacher(**given).logits
        outputs = model(**given)
        loss = published_forward_kl(teacher, outputs.logits, given["attention_mask"], _TEMPERATURE)
        return (loss, outputs) if return_outputs else loss


def trainer_settings(settings: Settings, folder: Path) -> dict[str, Any]:
    """What all of them are told."""
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": settings.batch_size,
        "max_steps": settings.all_steps,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "bf16": settings.dtype == "bfloat16",
        "use_cpu": settings.device == "cpu",
        "gradient_checkpointing": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": settings.device == "cuda",
        "logging_strategy": "no",
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "seed": settings.seed,
    }


def labelled(sequences: Sequence[TokenSequence]) -> Dataset:
    """With labels on the responses."""
    return Dataset.from_list(
        [
            {
                "input_ids": list(s.token_ids),
                "attention_mask": [1] * len(s.token_ids),
                "labels": [-100] * s.prompt_length + list(s.token_ids[s.prompt_length :]),
            }
            for s in sequences
        ]
    )


def completions(sequences: Sequence[TokenSequence]) -> Dataset:
    """As trl's collator takes token ids: which of them are the completion."""
    return Dataset.from_list(
        [
            {
                "prompt": "",
                "input_ids": list(s.token_ids),
                "completion_mask": [0] * s.prompt_length + [1] * (len(s.token_ids) - s.prompt_length),
            }
            for s in sequences
        ]
    )


class Ticking(TrainerCallback):  # type: ignore[misc]
    """Tells the clock of every step."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.clock.tick()


def watched(trainer: type[Any]) -> Any:
    """The trainer with its data in the order given, and its losses kept on the device, where nothing waits for them."""

    class Watched(trainer):  # type: ignore[misc]
        def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

        def training_step(self, *arguments: Any, **named: Any) -> Any:
            loss = super().training_step(*arguments, **named)
            self.__dict__.setdefault("kept_losses", []).append(loss.detach())
            return loss

        def losses(self) -> list[float]:
            return [float(loss) for loss in self.kept_losses]

    return Watched

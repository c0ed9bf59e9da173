"""Other people's trainers on samples of the student, at equal settings: as many new tokens, temperature 1, no top-k."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from common import Outcome, Task
from datasets import Dataset  # type: ignore[import-untyped]
from peers import Ticking, gkd_trainer, trainer_settings, watched
from students import make_student, make_teacher, make_tokenizer

from kdscope.data.batches import TokenSequence


def trl_gkd(task: Task, *, beta: float, new_tokens: int) -> Outcome:
    """trl's GKDTrainer with lmbda 1: every batch is sampled from the student."""
    student = make_student(task.settings)
    generations = watch_generation(student.base)
    changes = {"lmbda": 1.0, "temperature": 1.0, "max_new_tokens": new_tokens}
    trainer = gkd_trainer(task, student.network, beta=beta, **changes)
    never_end(student.base, trainer.processing_class, trainer.generation_config)
    trainer.train()
    return Outcome(trainer.losses(), facts={"generations": generations})


def trl_distillation(task: Task, *, beta: float, new_tokens: int) -> Outcome:
    """trl's DistillationTrainer: samples of the student, and a loss that never holds all logits."""
    from trl import DistillationConfig, DistillationTrainer  # type: ignore[attr-defined]

    settings, tokenizer = task.settings, make_tokenizer(task.settings)
    tokenizer.padding_side = "left"
    student = make_student(settings)
    generations = watch_generation(student.base)
    own = {"beta": beta, "temperature": 1.0, "max_completion_length": new_tokens, "shuffle_dataset": False}
    trainer = _in_given_order(DistillationTrainer)(
        model=student.network,
        teacher_model=make_teacher(settings),
        args=DistillationConfig(**trainer_settings(settings, task.scratch()) | own),
        train_dataset=Dataset.from_list([{"prompt": _prompt(tokenizer, s)} for s in task.sequences]),
        processing_class=tokenizer,
        callbacks=[Ticking(task.clock)],
    )
    never_end(student.base, tokenizer, trainer.generation_config)
    trainer.train()
    return Outcome(trainer.losses(), facts={"generations": generations})


def never_end(model: Any, tokenizer: Any, used: Any) -> None:
    """Forbid the end tokens in a generation configuration, so that all samples are equally long."""
    listed = model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(listed if isinstance(listed, list) else [listed])} - {None}
    used.suppress_tokens = sorted(ends)


def watch_generation(model: Any) -> list[dict[str, float]]:
    """A list that gets the time and the number of tokens of every generation call of a model."""
    seen: list[dict[str, float]] = []
    generate: Callable[..., Any] = model.generate

    def watched_generate(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        written = generate(*arguments, **named)
        rows, length = getattr(written, "sequences", written).shape
        tokens = rows * (length - named["input_ids"].shape[1])
        seen.append({"seconds": time.perf_counter() - started, "tokens": tokens})
        return written

    model.generate = watched_generate
    return seen


def _in_given_order(trainer: type[Any]) -> Any:
    """`watched`, but with the trainer's own sampler, which repeats prompts as its batches need it."""
    outer = watched(trainer)
    outer._get_train_sampler = trainer._get_train_sampler
    return outer


def _prompt(tokenizer: Any, sequence: TokenSequence) -> str:
    """The prompt as text, which this trainer encodes again.

    Raises:
        ValueError: That would give other tokens than all other arms have.
    """
    ids = list(sequence.token_ids[: sequence.prompt_length])
    start = 1 if ids[0] == tokenizer.bos_token_id else 0  # encoding puts it there again
    text: str = tokenizer.decode(ids[start:])
    if list(tokenizer(text).input_ids) != ids:
        raise ValueError(f"this tokenizer does not give the same tokens for the text of prompt {sequence.example}")
    return text

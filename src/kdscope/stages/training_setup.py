"""What adapting a teacher and distilling a student share: from stage parameters to a training job and its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kdscope.core.seeds import derive_seed
from kdscope.data.batches import TokenSequence
from kdscope.data.sources import Example
from kdscope.generation.base import Decoding
from kdscope.generation.huggingface import HuggingFaceGenerator
from kdscope.models.forward import check_head
from kdscope.models.load import load_model, load_tokenizer, save_model, torch_dtype
from kdscope.models.lora import TrainableModel, add_lora, all_weights
from kdscope.models.packing import can_pack
from kdscope.models.source import ModelPlace
from kdscope.objectives import Objective
from kdscope.pipeline.run import StageContext
from kdscope.stages.choose_rate import read_choice
from kdscope.stages.files import read_prepared_examples
from kdscope.stages.prompts import prompts_of
from kdscope.stages.training_data import encode_examples, training_sequences
from kdscope.training.answers import ReferenceScore, ValidationAnswers
from kdscope.training.checkpoints import (
    VALIDATION_ACCURACY,
    VALIDATION_LOSS,
    Checkpoints,
    Position,
    kept_step,
    measured_at,
)
from kdscope.training.loop import Job, train
from kdscope.training.trackers import Tracking


@dataclass(frozen=True)
class Prepared:
    """A model about to train, its tokenizer and its data; `held_out` is what `validation` was made from."""

    model: TrainableModel
    tokenizer: PreTrainedTokenizerBase
    train: list[TokenSequence]
    validation: list[TokenSequence]
    held_out: list[Example]


def prepare(context: StageContext, place: ModelPlace) -> Prepared:
    """Load the model, decide which weights train, and encode the data.

    Args:
        context: The running stage's.
        place: The model before training.
    """
    settings: Any = context.stage.parameters
    use_threads(context)
    context.resources.clear()  # a model kept for evaluation must not share the memory with one that trains
    tokenizer, limit = load_tokenizer(place), settings["training"]["max_length_tokens"]
    train_set = training_sequences(context, tokenizer, limit)
    held_out = read_prepared_examples(context.inputs["data"] / "validation.jsonl")
    validation = encode_examples(context, tokenizer, held_out, max_length=limit)
    return Prepared(_trainable(context, place), tokenizer, train_set, validation, held_out)


def run_training(
    context: StageContext, prepared: Prepared, objective: Objective, *, prompt_in_loss: bool, **extra: Any
) -> Position:
    """Train, then write model/ and training.parquet; `extra` are further attributes of the job."""
    settings: Any = context.stage.parameters
    rate = _learning_rate(context)
    job = Job(
        model=prepared.model,
        train=prepared.train,
        validation=prepared.validation,
        objective=objective,
        settings=SimpleNamespace(
            **{"epochs": 0, "max_steps": None, **settings["training"]},
            checkpoint_every_steps=context.stage.context["checkpoint_every_steps"],
        ),
        learning_rate=rate,
        seed=derive_seed(settings["seed"], "training"),
        prompt_in_loss=prompt_in_loss,
        pad_id=int(prepared.tokenizer.pad_token_id),
        autocast=settings["dtype"] == "bfloat16",
        pack=can_pack(prepared.model.base) and extra.pop("pack", True),
        progress=lambda done, total, note: context.progress.update(done, total, "steps", note),
        tracking=_tracking(context),
        answers=_answers(context, prepared),
        **extra,
    )
    position = train(job, Checkpoints(context.scratch))
    _save(context, prepared, position)
    return position


def generator_of(context: StageContext, prepared: Prepared) -> HuggingFaceGenerator:
    """The model that trains, as one that writes."""
    autocast = torch_dtype("bfloat16") if context.stage.parameters["dtype"] == "bfloat16" else None
    return HuggingFaceGenerator(prepared.model.base, prepared.tokenizer, autocast)


def _learning_rate(context: StageContext) -> float:
    """The peak learning rate: the one a sweep chose, the model's own, or the study's."""
    settings: Any = context.stage.parameters
    context.facts.update(tuning_runs=0)
    if "choice" in context.inputs:
        choice = read_choice(context.inputs["choice"])
        rate = choice.rate
        context.facts.update(tuning_runs=choice.budget, rates_tried=list(choice.scores), rate_scores=choice.scores)
    else:
        rate = float(settings["tuning"]["learning_rate"] or settings["training"]["learning_rate"])
    context.facts.update(learning_rate=rate)
    return rate


def _answers(context: StageContext, prepared: Prepared) -> ValidationAnswers | None:
    """How the validation split is answered, decoded as in the study's evaluation but greedily; None where it is not."""
    settings: Any = context.stage.parameters
    asked = settings.get("validation")
    if asked is None or not prepared.held_out:
        return None
    _, prompts = prompts_of(prepared.held_out, settings["template"], prepared.tokenizer)
    score = ReferenceScore.of(prepared.held_out)
    context.facts.update(validation_metric=score.metric)
    return ValidationAnswers(
        generator=generator_of(context, prepared),
        prompts=prompts,
        decoding=Decoding(asked["max_new_tokens"], stop_texts=tuple(asked["stop_texts"])),
        score=score,
        batch_size=asked["batch_size"],
        batch_tokens=asked["batch_tokens"],
    )


def _tracking(context: StageContext) -> Tracking | None:
    """The trackers a study asks for; what they are told is for people to watch, and no part of any result."""
    asked: Any = context.stage.context.get("tracking")
    if asked is None:
        return None
    return Tracking(
        trackers=tuple(asked["trackers"]),
        project=asked["project"],
        run=asked["run"],
        folder=Path(asked["folder"]),
        parameters=context.stage.parameters,
        warn=context.progress.warn,
    )


def use_threads(context: StageContext) -> None:
    """Set the number of CPU threads the study asks for."""
    threads: Any = context.stage.context.get("threads")
    if threads is not None:
        torch.set_num_threads(threads)


def load_frozen(place: ModelPlace, dtype: str, device: str) -> PreTrainedModel:
    """A model that will only be asked, not trained."""
    model = load_model(place, dtype, device).requires_grad_(False)
    check_head(model)
    return model


def _trainable(context: StageContext, place: ModelPlace) -> TrainableModel:
    settings: Any = context.stage.parameters
    tuning, device = settings["tuning"], str(context.stage.context["device"])
    dtype = settings["dtype"] if tuning["kind"] == "lora" else "float32"
    model = load_model(place, dtype, device)
    check_head(model)
    if settings["training"]["gradient_checkpointing"]:
        # Renamed in transformers 5; older ones know the second name only.
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
        model.enable_input_require_grads()
    if tuning["kind"] == "full":
        return all_weights(model)
    return add_lora(
        model.requires_grad_(False),
        rank=tuning["rank"],
        alpha=tuning["alpha"],
        dropout=tuning["dropout"],
        target_modules=tuning["target_modules"],
        seed=derive_seed(settings["seed"], "adapter") % 2**63,
    )


def _save(context: StageContext, prepared: Prepared, position: Position) -> None:
    settings: Any = context.stage.parameters
    model = prepared.model
    if not model.is_adapter:
        # Evaluation runs in this precision; storing more would only double the folder.
        model.network.to(torch_dtype(settings["dtype"]))
    save_model(model.network, prepared.tokenizer, context.output / "model")
    write_log(position, context.output / "training.parquet")
    trained = sum(p.numel() for p in model.trainable().values())
    context.facts.update(
        parameters=sum(p.numel() for p in model.base.parameters()) - (trained if model.is_adapter else 0),
        trained_parameters=trained,
        steps=position.step,
        target_tokens=sum(row["tokens"] for row in position.log),
        **_kept(position, settings["training"]["keep"]),
    )


def _kept(position: Position, rule: str) -> dict[str, Any]:
    """Which step was kept and by which rule, what validation measured there, and what another rule would have kept."""
    kept, log = int(position.kept or position.step), position.log
    answered = any(row[VALIDATION_ACCURACY] is not None for row in log)
    other = kept_step("best_loss" if rule == "best_accuracy" else "best_accuracy", log) if answered else None
    return {
        "keep": rule,
        "kept_step": kept,
        VALIDATION_LOSS: measured_at(kept, VALIDATION_LOSS, log),
        VALIDATION_ACCURACY: measured_at(kept, VALIDATION_ACCURACY, log),
        "other_rule_step": other,
    }


def write_log(position: Position, file: Path) -> None:
    """The training log, one row an optimiser step."""
    losses = ("loss", "cross_entropy", "divergence", "cut_mass")
    numbers = (*losses, "learning_rate", "gradient_norm", VALIDATION_LOSS, VALIDATION_ACCURACY)
    schema = pa.schema([("step", pa.int64()), ("tokens", pa.int64()), *((name, pa.float64()) for name in numbers)])
    pq.write_table(pa.Table.from_pylist(position.log, schema=schema), file)

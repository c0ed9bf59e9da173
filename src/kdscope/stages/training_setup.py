"""What adapting a teacher and distilling a student share: from stage parameters to a training job and its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kdscope.data.batches import TokenSequence
from kdscope.data.encode import encode_prompt, encode_response, join
from kdscope.data.sources import Example
from kdscope.errors import DataError
from kdscope.models.forward import check_head
from kdscope.models.load import load_model, load_tokenizer, save_model, torch_dtype
from kdscope.models.lora import TrainableModel, add_lora, all_weights
from kdscope.models.source import ModelPlace
from kdscope.objectives import Objective
from kdscope.pipeline.run import StageContext
from kdscope.seeds import derive_seed
from kdscope.stages.files import read_prepared_examples
from kdscope.tasks import get_template
from kdscope.training.checkpoints import Checkpoints, Position
from kdscope.training.loop import Job, train

Responses = Callable[[PreTrainedTokenizerBase], Sequence[Sequence[int]]]


@dataclass(frozen=True)
class Prepared:
    """A model about to train, its tokenizer and its data."""

    model: TrainableModel
    tokenizer: PreTrainedTokenizerBase
    train: list[TokenSequence]
    validation: list[TokenSequence]


def prepare(
    context: StageContext,
    place: ModelPlace,
    responses: Responses | None = None,
    prompt_responses: Responses | None = None,
) -> Prepared:
    """Load the model, decide which weights train, and encode the data.

    Args:
        context: The running stage's.
        place: The model before training.
        responses: Gives, for the model's tokenizer, the token ids that replace the training examples' own responses
            (the teacher's, for seqkd).
        prompt_responses: Gives the same for the study's unlabelled prompts, which are then trained on too.
    """
    settings: Any = context.stage.parameters
    use_threads(context)
    context.resources.clear()  # a model kept for evaluation must not share the memory with one that trains
    tokenizer = load_tokenizer(place)
    data = context.inputs["data"]
    examples = read_prepared_examples(data / "train.jsonl")
    train_set = _encode(context, tokenizer, examples, None if responses is None else responses(tokenizer))
    if prompt_responses is not None:
        prompts = read_prepared_examples(context.inputs["prompts"] / "prompts.jsonl")
        answered = _encode(context, tokenizer, prompts, prompt_responses(tokenizer))
        train_set += [replace(sequence, example=len(examples) + sequence.example) for sequence in answered]
        context.facts.update(unlabelled_prompts=len(answered))
        examples = [*examples, *prompts]
    limit = settings["training"]["max_length_tokens"]
    if not train_set:
        raise DataError(f"no training example has room for a response within max_length_tokens = {limit}")
    context.facts.update(
        examples=len(train_set),
        examples_left_out=len(examples) - len(train_set),
        examples_cut=sum(len(s.token_ids) == limit and s.token_ids[-1] != tokenizer.eos_token_id for s in train_set),
    )
    validation = _encode(context, tokenizer, read_prepared_examples(data / "validation.jsonl"), None)
    return Prepared(_trainable(context, place), tokenizer, train_set, validation)


def run_training(
    context: StageContext, prepared: Prepared, objective: Objective, *, prompt_in_loss: bool, **extra: Any
) -> Position:
    """Train, then write model/ and training.parquet."""
    settings: Any = context.stage.parameters
    rate = settings["tuning"]["learning_rate"] or settings["training"]["learning_rate"]
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
        progress=lambda done, total, note: context.progress.update(done, total, "steps", note),
        **extra,
    )
    position = train(job, Checkpoints(context.scratch))
    _save(context, prepared, position)
    return position


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


def _encode(
    context: StageContext,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    responses: Sequence[Sequence[int]] | None,
) -> list[TokenSequence]:
    settings: Any = context.stage.parameters
    template = get_template(settings["template"])
    prompts = [encode_prompt(tokenizer, template.render(e.instruction, e.input)) for e in examples]
    if responses is None:
        responses = [encode_response(tokenizer, e.output) for e in examples]
    return join(prompts, responses, settings["training"]["max_length_tokens"])


def _trainable(context: StageContext, place: ModelPlace) -> TrainableModel:
    settings: Any = context.stage.parameters
    tuning, device = settings["tuning"], str(context.stage.context["device"])
    dtype = settings["dtype"] if tuning["kind"] == "lora" else "float32"
    model = load_model(place, dtype, device)
    check_head(model)
    if settings["training"]["gradient_checkpointing"]:
        model.gradient_checkpointing_enable({"use_reentrant": False})
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
        best_step=position.best_step,
        validation_loss=position.best_loss,
    )


def write_log(position: Position, file: Path) -> None:
    """The training log, one row an optimiser step."""
    numbers = ("loss", "cross_entropy", "divergence", "cut_mass", "learning_rate", "gradient_norm", "validation_loss")
    schema = pa.schema([("step", pa.int64()), ("tokens", pa.int64()), *((name, pa.float64()) for name in numbers)])
    pq.write_table(pa.Table.from_pylist(position.log, schema=schema), file)

"""Training as adapting a teacher and distilling a student share it: sequences, the job, the files it writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict
from transformers import PreTrainedTokenizerBase

from kdscope.core.errors import DataError
from kdscope.core.seeds import derive_seed
from kdscope.data.batches import TokenSequence, encode_recorded, encode_response, join
from kdscope.data.examples import Example
from kdscope.generation.base import Decoding
from kdscope.generation.huggingface import HuggingFaceGenerator
from kdscope.models.chat import stop_at_end
from kdscope.models.forward import check_head
from kdscope.models.limits import check_texts, padding_id
from kdscope.models.load import (
    TrainableModel,
    add_lora,
    all_weights,
    load_model,
    load_tokenizer,
    save_model,
    torch_dtype,
)
from kdscope.models.packing import can_pack
from kdscope.models.source import ModelPlace
from kdscope.objectives import Objective
from kdscope.pipeline.fingerprint import JSON
from kdscope.pipeline.run import StageContext
from kdscope.stages.choose_rate import read_choice
from kdscope.stages.models import device_of, open_tokenizer, prompts_of, shared_passes, tell_remark, use_threads
from kdscope.stages.planning import TrainingParams, model_place
from kdscope.stages.rows import read_json_lines, read_prepared_examples
from kdscope.training.checkpoints import (
    VALIDATION_ACCURACY,
    VALIDATION_LOSS,
    Checkpoints,
    Position,
    kept_step,
    measured_at,
)
from kdscope.training.generated import ReferenceScore, ValidationAnswers
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


class TrackingPlace(BaseModel):
    """The trackers a study asks for; what they are told is for people to watch, and no part of any result."""

    model_config = ConfigDict(frozen=True)

    trackers: tuple[str, ...]
    project: str
    run: str
    folder: Path


class TrainingPlace(BaseModel):
    """What a training stage's context says, beside its models, of how it runs."""

    model_config = ConfigDict(frozen=True)

    checkpoint_every_steps: int
    tracking: TrackingPlace | None = None


def prepare(context: StageContext, params: TrainingParams, place: ModelPlace) -> Prepared:
    """Load the model, decide which weights train, and encode the data.

    Args:
        context: The running stage's.
        params: Its parameters.
        place: The model before training.

    Raises:
        ModelError: The model cannot be used as asked, or cannot read one of the sequences.
    """
    use_threads(context)
    context.resources.clear()  # a model kept for evaluation must not share the memory with one that trains
    tokenizer, limit = open_tokenizer(context, place), params.training.max_length_tokens
    train_set = training_sequences(context, tokenizer, params.template, limit)
    held_out = read_prepared_examples(context.inputs["data"] / "validation.jsonl")
    validation = encode_examples(tokenizer, params.template, held_out, max_length=limit)
    model = _trainable(params, place, device_of(context))
    check_texts(model.base, [s.token_ids for s in (*train_set, *validation)], tokenizer)
    return Prepared(model, tokenizer, train_set, validation, held_out)


def training_job(
    context: StageContext, params: TrainingParams, prepared: Prepared, objective: Objective, *, prompt_in_loss: bool
) -> Job:
    """The job of a model that learns from its training sequences alone."""
    where = TrainingPlace.model_validate(context.stage.context)
    model = prepared.model.base
    pack = can_pack(model)
    return Job(
        model=prepared.model,
        train=prepared.train,
        validation=prepared.validation,
        objective=objective,
        settings=params.training.model_copy(update={"checkpoint_every_steps": where.checkpoint_every_steps}),
        learning_rate=_learning_rate(context, params),
        seed=derive_seed(params.seed, "training"),
        prompt_in_loss=prompt_in_loss,
        pad_id=padding_id(model, prepared.tokenizer),
        autocast=params.dtype == "bfloat16",
        pack=pack,
        longest_together=shared_passes(context, model, pack, prepared.train),
        progress=lambda done, total, note: context.progress.update(done, total, "steps", note),
        tracking=_tracking(context, where.tracking),
        answers=_answers(context, params, prepared),
    )


def train_and_save(context: StageContext, params: TrainingParams, prepared: Prepared, job: Job) -> None:
    """Train, then write model/ and training.parquet."""
    position, model = train(job, Checkpoints(context.scratch)), prepared.model
    if not model.is_adapter:
        # Evaluation runs in this precision; storing more would only double the folder.
        model.network.to(torch_dtype(params.dtype))
    if params.ends == "turn":
        stop_at_end(model.base, prepared.tokenizer)
    save_model(model.network, prepared.tokenizer, context.output / "model")
    write_log(position, context.output / "training.parquet")
    trained = sum(p.numel() for p in model.trainable().values())
    context.facts.update(
        parameters=sum(p.numel() for p in model.base.parameters()) - (trained if model.is_adapter else 0),
        trained_parameters=trained,
        steps=position.step,
        target_tokens=sum(row["tokens"] for row in position.log),
        **_kept(position, params.training.keep),
    )


def generator_of(context: StageContext, params: TrainingParams, prepared: Prepared) -> HuggingFaceGenerator:
    """The model that trains, as one that writes."""
    autocast = torch_dtype("bfloat16") if params.dtype == "bfloat16" else None
    generator = HuggingFaceGenerator(prepared.model.base, prepared.tokenizer, autocast)
    prepared.model.network.eval()  # the loop trains it from its first step on
    tell_remark(context, generator)
    return generator


def _learning_rate(context: StageContext, params: TrainingParams) -> float:
    """The peak learning rate: the one a sweep chose, the model's own, or the study's."""
    context.facts.update(tuning_runs=0)
    if "choice" in context.inputs:
        choice = read_choice(context.inputs["choice"])
        rate = choice.rate
        context.facts.update(tuning_runs=choice.budget, rates_tried=list(choice.scores), rate_scores=choice.scores)
    else:
        own = params.tuning.learning_rate
        rate = own if isinstance(own, float) else params.training.learning_rate
    context.facts.update(learning_rate=rate)
    return rate


def _answers(context: StageContext, params: TrainingParams, prepared: Prepared) -> ValidationAnswers | None:
    """How the validation split is answered, decoded as in the study's evaluation but greedily; None where it is not."""
    asked = params.validation
    if asked is None or not prepared.held_out:
        return None
    _, prompts = prompts_of(prepared.held_out, params.template, prepared.tokenizer)
    score = ReferenceScore.of(prepared.held_out)
    context.facts.update(validation_metric=score.metric)
    return ValidationAnswers(
        generator=generator_of(context, params, prepared),
        prompts=prompts,
        decoding=Decoding(asked.max_new_tokens, stop_texts=asked.stop_texts),
        score=score,
        batch_size=asked.batch_size,
        batch_tokens=asked.batch_tokens,
    )


def _tracking(context: StageContext, asked: TrackingPlace | None) -> Tracking | None:
    if asked is None:
        return None
    return Tracking(
        trackers=asked.trackers,
        project=asked.project,
        run=asked.run,
        folder=asked.folder,
        parameters=context.stage.parameters,
        warn=context.progress.warn,
    )


def _trainable(params: TrainingParams, place: ModelPlace, device: str) -> TrainableModel:
    tuning = params.tuning
    model = load_model(place, params.dtype if tuning.kind == "lora" else "float32", device)
    check_head(model)
    if params.training.gradient_checkpointing:
        # Renamed in transformers 5; older ones know the second name only.
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
        model.enable_input_require_grads()
    if tuning.kind == "full":
        return all_weights(model)
    targets = tuning.target_modules
    return add_lora(
        model.requires_grad_(False),
        rank=tuning.rank,
        alpha=tuning.alpha,
        dropout=tuning.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        seed=derive_seed(params.seed, "adapter") % 2**63,
    )


def _kept(position: Position, rule: str) -> dict[str, JSON]:
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


def training_sequences(
    context: StageContext, tokenizer: PreTrainedTokenizerBase, template: str, max_length: int
) -> list[TokenSequence]:
    """The training examples, and the unlabelled prompts where the teacher has answered them.

    Inputs of the stage decide: `responses` stand in for the examples' own responses, `more_responses` stand beside
    them, and `prompts` come with `prompt_responses`. Numbers of examples go on from one to the next.

    Raises:
        DataError: No example has room for a response.
    """
    encode = partial(encode_examples, tokenizer, template, max_length=max_length)
    examples = read_prepared_examples(context.inputs["data"] / "train.jsonl")
    sequences = encode(examples, responses=_recorded(context, "responses", tokenizer))
    if "more_responses" in context.inputs:
        again = encode(examples, responses=_recorded(context, "more_responses", tokenizer))
        sequences += [replace(sequence, example=len(examples) + sequence.example) for sequence in again]
        context.facts.update(examples_again=len(again))
        examples = [*examples, *examples]
    if "prompts" in context.inputs:
        prompts = read_prepared_examples(context.inputs["prompts"] / "prompts.jsonl")
        answered = encode(prompts, responses=_recorded(context, "prompt_responses", tokenizer))
        sequences += [replace(sequence, example=len(examples) + sequence.example) for sequence in answered]
        context.facts.update(unlabelled_prompts=len(answered))
        examples = [*examples, *prompts]
    if not sequences:
        raise DataError(f"no training example has room for a response within max_length_tokens = {max_length}")
    context.facts.update(
        examples=len(sequences),
        examples_left_out=len(examples) - len(sequences),
        examples_cut=sum(_is_cut(sequence, max_length, tokenizer) for sequence in sequences),
    )
    return sequences


def encode_examples(
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    examples: Sequence[Example],
    *,
    max_length: int,
    responses: Sequence[Sequence[int]] | None = None,
) -> list[TokenSequence]:
    """Examples in a prompt template, with their own responses or with others."""
    _, prompts = prompts_of(examples, template, tokenizer)
    if responses is None:
        responses = [encode_response(tokenizer, e.output) for e in examples]
    return join(prompts, responses, max_length)


def _recorded(context: StageContext, role: str, tokenizer: PreTrainedTokenizerBase) -> list[list[int]] | None:
    """What the teacher wrote, in this tokenizer's ids; None where the stage has no such input."""
    if role not in context.inputs:
        return None
    same = load_tokenizer(model_place(context, "teacher_base")).get_vocab() == tokenizer.get_vocab()
    rows = read_json_lines(context.inputs[role] / "responses.jsonl")
    unfinished = context.facts.get("responses_unfinished", 0)
    cut = sum(row["finish_reason"] == "length" for row in rows)
    context.facts["responses_unfinished"] = cut + (unfinished if isinstance(unfinished, int) else 0)
    return [
        encode_recorded(
            tokenizer, row["token_ids"], row["text"], finished=row["finish_reason"] == "stop", same_vocabulary=same
        )
        for row in rows
    ]


def _is_cut(sequence: TokenSequence, max_length: int, tokenizer: PreTrainedTokenizerBase) -> bool:
    return len(sequence.token_ids) == max_length and sequence.token_ids[-1] != tokenizer.eos_token_id

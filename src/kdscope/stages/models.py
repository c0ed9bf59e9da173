"""The models of a running stage: loaded, prompted, lined up with each other; and what was recorded of a teacher."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kdscope.core.errors import ModelError
from kdscope.data.batches import TokenSequence, encode_prompt
from kdscope.data.examples import Example, Item
from kdscope.generation.base import Decoding, Generator
from kdscope.generation.huggingface import HuggingFaceGenerator
from kdscope.models.chat import chat_prompts, different_ends, end_as_turns_do
from kdscope.models.forward import check_head
from kdscope.models.limits import check_tokens
from kdscope.models.load import load_model, load_tokenizer
from kdscope.models.packing import longest_together
from kdscope.models.source import ModelPlace
from kdscope.models.vocabulary import VocabularyMatch, match_vocabularies
from kdscope.pipeline.run import StageContext
from kdscope.results.backends import BACKENDS
from kdscope.stages.planning import model_place
from kdscope.tasks import get_template
from kdscope.teacher.recording import PositionReader, fingerprint_tokens
from kdscope.teacher.replay import ReplayTeacher, load_head

TEACHER_ROWS = "teacher_head_rows"


def device_of(context: StageContext) -> str:
    """Where the stage computes."""
    return str(context.stage.context["device"])


def use_threads(context: StageContext) -> None:
    """Set the number of CPU threads the study asks for."""
    threads = context.stage.context.get("threads")
    if threads is not None:
        torch.set_num_threads(cast(int, threads))


def load_frozen(place: ModelPlace, dtype: str, device: str) -> PreTrainedModel:
    """A model that will only be asked, not trained."""
    model = load_model(place, dtype, device).requires_grad_(False)
    check_head(model)
    return model


def open_tokenizer(context: StageContext, place: ModelPlace) -> PreTrainedTokenizerBase:
    """A model's tokenizer, whose end token is what the stage ends responses with."""
    tokenizer = load_tokenizer(place)
    if context.stage.parameters.get("ends") == "turn":
        end_as_turns_do(tokenizer)
    return tokenizer


def shared_passes(
    context: StageContext, model: PreTrainedModel, pack: bool, sequences: Sequence[TokenSequence]
) -> int | None:
    """`models.packing.longest_together`, of which a person is told where it keeps some of the sequences alone."""
    longest = longest_together(model, pack)
    alone = 0 if longest is None else sum(len(sequence.token_ids) > longest for sequence in sequences)
    if alone:
        why = (
            f"beyond {longest} tokens its rotary frequencies depend on the longest text"
            if longest
            else "it reads texts otherwise beside others"
        )
        context.progress.warn(f"{context.stage.label}: {alone} of {len(sequences)} texts are read one at a time: {why}")
    return longest


def open_generator(context: StageContext, dtype: str, backend: str) -> tuple[Generator, PreTrainedTokenizerBase]:
    """The model of the stage by a generation backend, kept in memory for the next stage that asks it."""
    place, device = model_place(context, "base", "model"), device_of(context)

    def load() -> tuple[Generator, PreTrainedTokenizerBase]:
        tokenizer = open_tokenizer(context, place)
        generator: Generator = BACKENDS[backend].load(place, tokenizer, dtype=dtype, device=device)
        return generator, tokenizer

    return context.resources.get(
        json.dumps([asdict(place), dtype, device, backend, context.stage.parameters.get("ends")]), load
    )


def check_prompts(
    context: StageContext, generator: Generator, prompts: Sequence[Sequence[int]], decoding: Decoding
) -> None:
    """Look at prompts before the first is answered, and tell a person what the model cannot do with them.

    Raises:
        ModelError: The model has no row for a token of a prompt.
    """
    if not isinstance(generator, HuggingFaceGenerator):
        return
    check_tokens(generator.model, prompts, generator.tokenizer)
    tell_remark(context, generator)
    short = [room for room in generator.room(prompts, decoding) if room < decoding.max_new_tokens]
    if short:
        of = f"{len(short)} of {len(prompts)} prompts leave less than {decoding.max_new_tokens} tokens"
        context.progress.warn(
            f"{context.stage.label}: {of} of the model's positions for an answer, {short.count(0)} none: these answers "
            "are cut"
        )
        context.facts.update(answers_cut=len(short))


def tell_remark(context: StageContext, generator: HuggingFaceGenerator) -> None:
    """Tell a person what there is to know of how a model writes."""
    if (remark := generator.remark) is not None:
        context.progress.warn(f"{context.stage.label}: {remark}")


def prompts_of(
    asked: Iterable[Example | Item], template: str, tokenizer: PreTrainedTokenizerBase
) -> tuple[list[str], list[list[int]]]:
    """The prompts as text and as token ids.

    Raises:
        ModelError: The template is the tokenizer's own, and it has none, or one that leaves a question out.
    """
    form = get_template(template)
    texts = [form.render(one.instruction, one.input) for one in asked]
    if not form.chat:
        return texts, [encode_prompt(tokenizer, text) for text in texts]
    texts = chat_prompts(tokenizer, texts)
    # The template has written the model's start token already.
    return texts, [list(tokenizer(text, add_special_tokens=False).input_ids) for text in texts]


def open_recording(
    folder: Path, tokenizer: PreTrainedTokenizerBase, sequences: Sequence[TokenSequence], *, prompt_in_loss: bool
) -> PositionReader:
    """A recording in which every one of these sequences is found, token by token.

    Raises:
        StoreError: It is damaged.
        ModelError: It was made with another vocabulary.
        DataError: A sequence was not recorded, or was another one.
    """
    fingerprint = fingerprint_tokens(tokenizer.get_vocab())
    reader = PositionReader(folder, prompt_in_loss=prompt_in_loss, tokenizer=fingerprint)
    reader.check(sequences)
    return reader


def publish_recording(recording: Path, output: Path) -> None:
    """Move a finished recording out of the scratch folder.

    Last parts first: what a kill leaves behind then begins with part 0, and the recording goes on from there.
    """
    for file in sorted(recording.iterdir(), reverse=True):
        file.rename(output / file.name)


def replay(
    reader: PositionReader, device: torch.device, match: VocabularyMatch, noise_std: float, noise_seed: int
) -> ReplayTeacher:
    """The recorded teacher, its head on the device that computes."""
    return ReplayTeacher(reader, load_head(reader.folder, device), match, noise_std, noise_seed)


def match_models(
    context: StageContext, tokenizer: PreTrainedTokenizerBase, teacher_rows: int, student_rows: int
) -> VocabularyMatch:
    """How the vocabulary of the stage's teacher lines up with a student's.

    Raises:
        ModelError: They speak of different tokens, or end their responses with different ones.
    """
    place = model_place(context, "teacher_base")
    check_ends(context, tokenizer)
    teacher_tokenizer = load_tokenizer(place)
    try:
        return match_vocabularies(teacher_tokenizer.get_vocab(), tokenizer.get_vocab(), teacher_rows, student_rows)
    except ModelError as error:
        raise ModelError(
            f"teacher {place.location} and this student cannot be compared token by token: {error}"
        ) from error


def check_ends(context: StageContext, student: PreTrainedTokenizerBase) -> None:
    """A student that learns to end like the stage's teacher must also stop there when it is evaluated.

    Raises:
        ModelError: They end their responses with different tokens.
    """
    teacher = open_tokenizer(context, model_place(context, "teacher_base"))
    # Other vocabularies are told as such, and number their tokens otherwise.
    if teacher.eos_token_id != student.eos_token_id and teacher.get_vocab() == student.get_vocab():
        raise ModelError(different_ends(str(teacher.eos_token), str(student.eos_token)))

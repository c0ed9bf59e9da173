"""Opening what was recorded of a teacher, for one student: the right tokens, the right vocabulary, or a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from kdscope.core.errors import ModelError
from kdscope.data.batches import TokenSequence
from kdscope.models.load import load_tokenizer
from kdscope.models.vocabulary import VocabularyMatch, match_vocabularies
from kdscope.pipeline.run import StageContext
from kdscope.stages.files import model_place
from kdscope.teacher.recording import PositionReader, fingerprint_tokens
from kdscope.teacher.replay import ReplayTeacher, load_head

TEACHER_ROWS = "teacher_head_rows"


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


def publish(recording: Path, output: Path) -> None:
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
    teacher_tokenizer = load_tokenizer(place)
    _check_end_tokens(teacher_tokenizer, tokenizer)
    try:
        return match_vocabularies(teacher_tokenizer.get_vocab(), tokenizer.get_vocab(), teacher_rows, student_rows)
    except ModelError as error:
        raise ModelError(
            f"teacher {place.location} and this student cannot be compared token by token: {error}"
        ) from error


def _check_end_tokens(teacher: PreTrainedTokenizerBase, student: PreTrainedTokenizerBase) -> None:
    """A student that learns to end like its teacher must also stop there when it is evaluated."""
    if teacher.eos_token_id != student.eos_token_id:
        raise ModelError(
            f"the teacher ends its responses with {teacher.eos_token!r}, the student with {student.eos_token!r}: the "
            "student would learn an end it does not stop at. Give both the same eos_token in tokenizer_config.json, or "
            "use seqkd"
        )

"""kdscope's side: the loop and the teachers that its stages use, on sequences that are given."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from common import Outcome, Task
from settings import Settings
from students import make_student, make_teacher, make_tokenizer

from kdscope.data.batches import TokenSequence, collate, count_targets, plan_full_windows, plan_micro_batches
from kdscope.generation.base import Completion, Decoding, Generator
from kdscope.generation.huggingface import HuggingFaceGenerator
from kdscope.models.forward import SelectedStates, head_of
from kdscope.models.packing import can_pack, packed
from kdscope.models.vocabulary import VocabularyMatch
from kdscope.objectives import Head, Objective
from kdscope.teacher.expectation import ExpectationTeacher
from kdscope.teacher.expectation import expect as expect_rows
from kdscope.teacher.recording import PositionReader, expectation_layout, fingerprint_tokens, hidden_layout
from kdscope.teacher.recording_writer import PositionWriter
from kdscope.teacher.replay import ReplayTeacher, load_head, save_head
from kdscope.teacher.teacher_logits import LiveTeacher
from kdscope.training.checkpoints import Checkpoints
from kdscope.training.generated import OnPolicySampling
from kdscope.training.loop import Job, train

_MICRO_BATCH_TOKENS = 2048  # the default of a study
_RECORDING_TOKENS = 4096  # what the recording stages read at a time
_NEVER = 10**9


def sft(task: Task) -> Outcome:
    """Cross-entropy on the references."""
    return _train(task, make_job(task, "none"))


def live(task: Task, *, divergence: str) -> Outcome:
    """The teacher beside the student."""
    teacher = live_teacher(task.settings)
    job = replace(make_job(task, divergence), teacher=teacher)
    return _train(task, replace(job, pack=job.pack and can_pack(teacher.states.model)))


def replay(task: Task, *, divergence: str) -> Outcome:
    """The recorded hidden states of the teacher."""
    return _train(task, replace(make_job(task, divergence), teacher=_replayed(task)))


def expectation(task: Task, *, divergence: str) -> Outcome:
    """The recorded expectations of the student's head."""
    return _train(task, replace(make_job(task, divergence), teacher=ExpectationTeacher(_reader(task, "expectation"))))


def on_policy(task: Task, *, divergence: str, new_tokens: int) -> Outcome:
    """Every step on samples of the student, each of exactly `new_tokens` tokens; the teacher is live."""
    settings, job = task.settings, make_job(task, divergence)
    teacher = live_teacher(settings)
    job.model.base.generation_config.eos_token_id = None
    inner = HuggingFaceGenerator(job.model.base, _NeverEnding(make_tokenizer(settings)), _autocast_dtype(settings))
    generator = _FixedLength(inner, new_tokens)
    sampling = OnPolicySampling(generator, 1.0, 1.0, settings.max_length + new_tokens, settings.seed)
    pack = job.pack and can_pack(teacher.states.model)
    outcome = _train(task, replace(job, on_policy=sampling, sample_teacher=teacher, teacher=teacher, pack=pack))
    return replace(outcome, facts={"generations": generator.generations})


@torch.no_grad()
def record(task: Task) -> Outcome:
    """The teacher reads every sequence once."""
    settings, prompt_in_loss = task.settings, False
    model, tokenizer, folder = make_teacher(settings), make_tokenizer(settings), task.folder / "states"
    head, pack = head_of(model), can_pack(model)
    states, device = SelectedStates(model), next(model.parameters()).device
    with _timed(task) as spent:
        layout = hidden_layout(
            head.weight.shape[1], settings.dtype, prompt_in_loss, fingerprint_tokens(tokenizer.get_vocab())
        )
        writer = PositionWriter(folder, layout, task.sequences)
        for micro in plan_micro_batches(task.sequences, _RECORDING_TOKENS, packed=pack):
            batch = collate(micro, int(tokenizer.pad_token_id), prompt_in_loss, packed=pack).to(device)
            with packed(model, pack):
                hidden = states(**batch.inputs())
            counts = [count_targets([sequence], prompt_in_loss) for sequence in micro]
            for sequence, rows in zip(micro, hidden.split(counts), strict=True):
                writer.add(sequence, {"hidden": rows})
        writer.finish()
        save_head(folder, head)
    return _recorded(spent, folder)


def expect(task: Task) -> Outcome:
    """From recorded hidden states to what forward KL needs of them."""
    settings, folder = task.settings, task.folder / "expectation"
    head, teacher = head_of(make_student(settings).base), _replayed(task)
    with _timed(task) as spent:
        layout = expectation_layout(head.weight.shape[1], False, teacher.reader.layout.tokenizer)
        writer = PositionWriter(folder, layout, task.sequences)
        for micro in plan_micro_batches(task.sequences, _RECORDING_TOKENS, packed=True):
            batch = collate(micro, 0, False, packed=True).to(head.weight.device)
            made = expect_rows(teacher.rows(micro, batch), head, len(batch.targets), 1.0)
            counts = [count_targets([sequence], False) for sequence in micro]
            parts = {name: torch.split(values, counts) for name, values in made.items()}
            for number, sequence in enumerate(micro):
                writer.add(sequence, {name: rows[number] for name, rows in parts.items()})
        writer.finish()
    return _recorded(spent, folder)


def make_job(task: Task, divergence: Any) -> Job:
    """A training of the student; the teacher, if there is one, is still to be added."""
    settings = task.settings
    model = make_student(settings)
    return Job(
        model=model,
        train=_arranged(task),
        validation=[],
        objective=Objective(divergence, kd_weight=0.0 if divergence == "none" else 1.0),
        settings=SimpleNamespace(
            epochs=0,
            max_steps=settings.all_steps,
            batch_size_sequences=settings.batch_size,
            micro_batch_tokens=max(_MICRO_BATCH_TOKENS, settings.max_length),
            schedule="constant",
            warmup_steps=0,
            weight_decay=0.0,
            gradient_clip_norm=1.0,
            checkpoint_every_steps=_NEVER,
            validate_every_steps=_NEVER,
            keep="last",
        ),
        learning_rate=settings.learning_rate,
        seed=settings.seed,
        prompt_in_loss=False,
        pad_id=int(make_tokenizer(settings).pad_token_id),
        autocast=_autocast_dtype(settings) is not None,
        pack=can_pack(model.base),
        progress=lambda *_: task.clock.tick(),
    )


def live_teacher(settings: Settings) -> LiveTeacher:
    """The teacher, at work."""
    model = make_teacher(settings)
    head = head_of(model)
    return LiveTeacher(SelectedStates(model), head, _whole(head))


def _train(task: Task, job: Job) -> Outcome:
    position = train(job, Checkpoints(task.scratch()))
    return Outcome([row["loss"] for row in position.log])


def _arranged(task: Task) -> list[TokenSequence]:
    """The sequences so placed that the loop, which shuffles, takes them in the order of the task."""
    settings = task.settings
    windows = plan_full_windows(len(task.sequences), settings.batch_size, settings.all_steps, settings.seed)
    places = [place for window in windows for place in window]
    arranged = list(task.sequences)
    for place, sequence in zip(places, task.sequences, strict=True):
        arranged[place] = sequence
    return arranged


def _replayed(task: Task) -> ReplayTeacher:
    reader = _reader(task, "states")
    head = load_head(reader.folder, torch.device(task.settings.device))
    return ReplayTeacher(reader, head, _whole(head))


def _reader(task: Task, name: str) -> PositionReader:
    fingerprint = fingerprint_tokens(make_tokenizer(task.settings).get_vocab())
    return PositionReader(task.folder / name, prompt_in_loss=False, tokenizer=fingerprint)


def _whole(head: Head) -> VocabularyMatch:
    """Teacher and student have one vocabulary: the one is cut from the other."""
    return VocabularyMatch(head.vocabulary, 0, 0, head.vocabulary)


def _autocast_dtype(settings: Settings) -> torch.dtype | None:
    return torch.bfloat16 if settings.dtype == "bfloat16" else None


@contextmanager
def _timed(task: Task) -> Iterator[list[float]]:
    """How long the block took: the list gets seconds, and seconds of processor time."""
    spent: list[float] = []
    started, began = task.clock.now(), time.process_time()
    yield spent
    spent += [task.clock.now() - started, time.process_time() - began]


def _recorded(spent: Sequence[float], folder: Path) -> Outcome:
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Outcome(one_off_seconds=spent[0], facts={"one_off_processor_seconds": spent[1], "bytes": size})


@dataclass(frozen=True)
class _NeverEnding:
    """A tokenizer without an end token, so that every sample has the same length."""

    tokenizer: Any
    eos_token_id: int = -1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tokenizer, name)


@dataclass(frozen=True)
class _FixedLength:
    """A generator that writes a given number of tokens, whatever it is asked for, and says how long that took."""

    inner: Generator
    new_tokens: int
    generations: list[dict[str, float]] = field(default_factory=list)

    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding, *, call: int) -> list[Completion]:
        started = time.perf_counter()
        asked = replace(decoding, max_new_tokens=self.new_tokens, max_length_tokens=None)
        written = self.inner.generate(prompts, asked, call=call)
        tokens = sum(len(completion.token_ids) for completion in written)
        self.generations.append({"seconds": time.perf_counter() - started, "tokens": tokens})
        return written

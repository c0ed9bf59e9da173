"""Estimated cost of stages: tokens, floating-point operations, disk, and time on a machine like this one.

Operations follow the usual count: 2 per parameter and token forward, 4 more backward when every weight trains, 2 more
when only an adapter does (Kaplan et al. 2020, section 2.1). Tokens are estimated from characters. Time comes from how
fast stages of the same kind ran in this store, or from a rough rate of the device where none has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kdscope.core.errors import KdscopeError
from kdscope.models.source import ModelShape, read_shape
from kdscope.pipeline.plan import PlannedStage
from kdscope.pipeline.stage import Cost
from kdscope.pipeline.store import Store
from kdscope.study.arms import ModelSource, Student, Tuning
from kdscope.study.grid import Cell
from kdscope.study.schema import Training

CHARACTERS_PER_TOKEN = 3.5
_TEMPLATE_TOKENS = 32
_DEVICE_FLOPS = {"cpu": 1.0e11, "mps": 2.0e12, "cuda": 1.0e14}


@dataclass(frozen=True)
class Shape:
    """Parameters of a model, and width and rows of its head; `known` is False where its files are not here."""

    parameters: int = 0
    known: bool = False
    width: int = 0
    vocabulary: int = 0

    def disk_bytes(self, bytes_each: int) -> int:
        """Size of its weights at this many bytes a parameter."""
        return self.parameters * bytes_each


@dataclass
class Sizes:
    """Sizes of a study's data and models.

    Attributes:
        prompt_tokens: Mean length of a training prompt.
        response_tokens: Mean length of a training response.
        examples: Training examples.
        unlabelled: Prompts without an answer.
        validation: Examples held out.
        items: Items of each task.
        item_tokens: Mean prompt length of each task.
        bytes_per_weight: Of the precision weights are stored in.
        questions: Different items of each task: copies of one question count once.
    """

    prompt_tokens: float
    response_tokens: float
    examples: int
    items: dict[str, int]
    item_tokens: dict[str, float]
    unlabelled: int = 0
    validation: int = 0
    bytes_per_weight: int = 2
    questions: dict[str, int] = field(default_factory=dict)
    _shapes: dict[str, Shape] = field(default_factory=dict)

    def of(self, source: ModelSource) -> Shape:
        """The shape of a source model, after pruning if it is a pruned student."""
        keep = source.keep_layers if isinstance(source, Student) else None
        key = f"{source.path}|{source.hub}|{keep}"
        if key not in self._shapes:
            self._shapes[key] = _shape(source.path, len(keep) if isinstance(keep, tuple) else keep)
        return self._shapes[key]

    def trained_on(self, text: str) -> Sizes:
        """The same where labelled prompts are trained with this text; with both, each of them twice."""
        return replace(self, examples=2 * self.examples) if text == "both" else self

    def training(self, shape: Shape, tuning: Tuning, training: Training, teacher: Shape | None = None) -> Cost:
        """Fine-tuning, with a live teacher beside it if there is one."""
        length = min(self.prompt_tokens + self.response_tokens, training.max_length_tokens)
        tokens = round(self._seen(training) * length)
        per_token = (6 if tuning.kind == "full" else 4) * shape.parameters + 2 * (teacher.parameters if teacher else 0)
        known = shape.known and (teacher is None or teacher.known)
        weights = shape.disk_bytes(self.bytes_per_weight) if tuning.kind == "full" else 0
        return Cost(tokens=tokens, flops=float(tokens) * per_token if known else 0.0, disk_bytes=weights)

    def _seen(self, training: Training) -> int:
        """Sequences that a training run goes through."""
        if training.max_steps is not None:
            return training.max_steps * training.batch_size_sequences
        return self.examples * training.epochs

    def answering(self, shape: Shape, training: Training, new_tokens: int) -> Cost:
        """Answers to the validation split, at most this long, each time that validation is measured."""
        steps = math.ceil(self._seen(training) / training.batch_size_sequences)
        looks = math.ceil(steps / training.validate_every_steps)
        tokens = round(looks * self.validation * (self.prompt_tokens + new_tokens))
        return Cost(tokens=tokens, flops=2.0 * shape.parameters * tokens)

    def distillation(self, cell: Cell, training: Training, signal: str) -> Cost:
        """One cell: its training, what it takes to hear its teacher, and its own samples."""
        student = self.of(cell.student)
        teacher = self.of(cell.teacher) if cell.teacher is not None else Shape()
        # Replayed, only the teacher's head computes, and on response positions only.
        head = Shape(teacher.width * teacher.vocabulary, teacher.known, teacher.width, teacher.vocabulary)
        heard = teacher if "live" in signal else head if signal == "replay" else None
        cost = self.training(student, cell.student.tuning, training, heard)
        if not cell.method.on_policy_probability:
            return cost
        room = max(0.0, training.max_length_tokens - self.prompt_tokens)
        sampled = self._seen(training) * cell.method.on_policy_probability * (self.prompt_tokens + room)
        flops = cost.flops + 2.0 * student.parameters * sampled if cost.flops else 0.0
        return replace(cost, tokens=cost.tokens + round(sampled), flops=flops)

    def states(self, teacher: Shape, training: Training, prompt_in_loss: bool, unlabelled: bool) -> Cost:
        """A teacher's hidden states: one pass over the training set, a row of its width a target token."""
        sequences = self.examples + (self.unlabelled if unlabelled else 0)
        length = min(self.prompt_tokens + self.response_tokens, training.max_length_tokens)
        rows = self._targets(training, prompt_in_loss, unlabelled)
        disk = self.bytes_per_weight * teacher.width * (rows + teacher.vocabulary) + 4 * round(sequences * length)
        body = max(0, teacher.parameters - teacher.width * teacher.vocabulary)
        tokens = round(sequences * length)
        return Cost(tokens=tokens, flops=2.0 * body * tokens, disk_bytes=disk if teacher.known else 0)

    def expectation(
        self, student: Shape, teacher: Shape, training: Training, prompt_in_loss: bool, unlabelled: bool
    ) -> Cost:
        """Expectations of a head: the teacher's head once, and the student's once, on every target token."""
        rows = self._targets(training, prompt_in_loss, unlabelled)
        flops = 2.0 * rows * (teacher.width * teacher.vocabulary + student.width * student.vocabulary)
        return Cost(tokens=rows, flops=flops, disk_bytes=4 * rows * (student.width + 2) if student.known else 0)

    def _targets(self, training: Training, prompt_in_loss: bool, unlabelled: bool) -> int:
        sequences = self.examples + (self.unlabelled if unlabelled else 0)
        length = min(self.prompt_tokens + self.response_tokens, training.max_length_tokens)
        return round(sequences * (length if prompt_in_loss else max(0.0, length - self.prompt_tokens)))

    def recording(self, shape: Shape, prompts: int, max_new_tokens: int) -> Cost:
        """The teacher's responses to this many prompts."""
        new = min(float(max_new_tokens), 1.5 * self.response_tokens)
        tokens = round(prompts * (self.prompt_tokens + new))
        return Cost(tokens=tokens, flops=2.0 * shape.parameters * tokens, disk_bytes=tokens * 8)

    def evaluation(self, shape: Shape, task: str, max_new_tokens: int) -> Cost:
        """One model on one task, every completion as long as allowed."""
        tokens = round(self.items[task] * (self.item_tokens[task] + max_new_tokens))
        return Cost(tokens=tokens, flops=2.0 * shape.parameters * tokens, disk_bytes=self.items[task] * 1500)


def measure_sizes(
    prompts: Sequence[str],
    responses: Sequence[str],
    items: dict[str, list[str]],
    unlabelled: int = 0,
    validation: int = 0,
) -> Sizes:
    """Sizes of a study from the text of its training examples and of its tasks' items."""
    return Sizes(
        prompt_tokens=_mean_tokens(prompts) + _TEMPLATE_TOKENS,
        response_tokens=_mean_tokens(responses) + 1,
        examples=len(prompts),
        items={task: len(texts) for task, texts in items.items()},
        item_tokens={task: _mean_tokens(texts) + _TEMPLATE_TOKENS for task, texts in items.items()},
        unlabelled=unlabelled,
        validation=validation,
        questions={task: len(set(texts)) for task, texts in items.items()},
    )


def estimate_seconds(planned: Sequence[PlannedStage], store: Store, device: str) -> list[PlannedStage]:
    """The same plan with a time on every stage whose number of operations is known.

    Tokens without operations are those of a model whose size is not known: such a stage keeps no time.
    """
    rates = _measured_rates(planned, store)
    fallback = _DEVICE_FLOPS.get(device, 1e11)

    def timed(item: PlannedStage) -> PlannedStage:
        cost = item.stage.cost
        if cost.tokens and not cost.flops:
            return item
        seconds = 1.0 + cost.flops / rates.get(item.stage.kind, fallback)
        return replace(item, stage=item.stage.with_cost(replace(cost, seconds=seconds)))

    return [timed(item) for item in planned]


def _measured_rates(planned: Iterable[PlannedStage], store: Store) -> dict[str, float]:
    """Operations per second of each kind of stage, from the done stages of this very plan."""
    flops: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for item in planned:
        manifest = store.inspect(item.stage).manifest if item.state == "done" and item.stage.cost.flops else None
        if manifest is not None:
            flops[item.stage.kind] = flops.get(item.stage.kind, 0.0) + item.stage.cost.flops
            seconds[item.stage.kind] = seconds.get(item.stage.kind, 0.0) + manifest.seconds
    return {kind: flops[kind] / seconds[kind] for kind in flops if seconds[kind] > 0}


def _shape(path: Path | None, keep: int | None) -> Shape:
    if path is None:
        return Shape()
    try:
        shape: ModelShape = read_shape(path)
    except (OSError, ValueError, KeyError, KdscopeError):
        return Shape()
    parameters = (shape if keep is None else shape.keeping(keep)).parameters
    return Shape(parameters, known=True, width=shape.width, vocabulary=shape.vocabulary)


def _mean_tokens(texts: Sequence[str]) -> float:
    return sum(map(len, texts)) / max(1, len(texts)) / CHARACTERS_PER_TOKEN

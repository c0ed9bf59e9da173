"""Teacher and student read the same texts: how alike their distributions are, and how sure each is of its answers."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from itertools import compress
from typing import TYPE_CHECKING, Literal

from kdscope.core.errors import ModelError
from kdscope.data.examples import Item
from kdscope.pipeline.run import StageContext
from kdscope.pipeline.stage import Cost, Stage
from kdscope.stages import audit_contamination, prepare_task
from kdscope.stages.evaluate_model import EvaluatedModel
from kdscope.stages.planning import ModelIdentity, StageKind, StudyContext, TaskSampleParams, ends_of, model_place, once
from kdscope.stages.rows import read_prepared_items

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from kdscope.evaluation.distribution_fidelity import PairReading
    from kdscope.evaluation.distributions import ForcedPair

KIND = StageKind(__name__, version=1)

_ANSWER_TOKENS = 16  # as many as a probed answer may have


class CompareDistributionsParams(TaskSampleParams):
    """Which two models read which items."""

    model: ModelIdentity
    teacher: ModelIdentity


@once
def plan(context: StudyContext, student: EvaluatedModel, teacher: EvaluatedModel) -> Stage | None:
    """Student and teacher reading the same texts; None where the study wants none."""
    settings, sizes, names = context.study.fidelity, context.sizes, context.tasks.names
    if settings.distribution_items == 0:
        return None
    params = CompareDistributionsParams(
        tasks=names,
        items=settings.distribution_items,
        seed=settings.seed,
        template=context.template,
        ends=ends_of(context.template),
        dtype=context.dtype,
        own_tasks=context.own_tasks(*names),
        model=context.model(student.source),
        teacher=context.model(teacher.source),
    )
    inputs = {**student.made, **sampled_items(context), **student.records("student"), **teacher.records("teacher")}
    if "model" in teacher.made:
        inputs["teacher"] = teacher.made["model"]
    costs = [
        sizes.evaluation(sizes.of(model.source), task, context.evaluation.max_new_tokens)
        for model in (student, teacher)
        for task in names
    ]
    share = 3 * context.share(settings.distribution_items)
    return KIND.stage(
        f"{student.label} reads with {teacher.label}",
        params,
        inputs,
        context=context.place(base=student.source, teacher_base=teacher.source),
        cost=Cost(tokens=round(share * sum(c.tokens for c in costs)), flops=share * sum(c.flops for c in costs)),
    )


def sampled_items(context: StudyContext) -> dict[str, Stage]:
    """The items of every task and what is contaminated, as inputs of a stage that reads a sample of them."""
    items = {f"items/{name}": prepare_task.plan(context, name) for name in context.tasks.names}
    return items | audit_contamination.as_input(context)


def run(context: StageContext) -> None:
    """Write distributions.parquet and confidence.parquet; a kill loses at most the task that was being read.

    Both are empty where the two speak of different tokens.
    """
    from kdscope.evaluation.continuations import choose_items
    from kdscope.evaluation.distribution_fidelity import PairReading, kept_reading
    from kdscope.stages.models import use_threads

    params = CompareDistributionsParams.of(context.stage)
    use_threads(context)
    opened = _open(context, params)
    if isinstance(opened, str):
        context.facts["left_out"] = opened
        PairReading.joined(()).save(context.output)
        return
    left_out = audit_contamination.contaminated(context)
    every = {task: read_prepared_items(context.inputs[f"items/{task}"]) for task in params.tasks}
    chosen = {task: choose_items(own, params.items, params.seed, left_out) for task, own in every.items()}
    total, done, parts = sum(map(len, chosen.values())), 0, []
    for number, (task, items) in enumerate(chosen.items()):
        if items:
            read = partial(_read, context, params, opened, task, items, partial(_tell, context, done, total))
            parts.append(kept_reading(context.scratch / f"task-{number}", read))
        done += len(items)
        context.progress.update(done, total, "items")
    PairReading.joined(parts).save(context.output)
    context.facts.update(items=total)


def _tell(context: StageContext, done: int, total: int, items: float) -> None:
    context.progress.update(done + items, total, "items")


def _read(
    context: StageContext,
    params: CompareDistributionsParams,
    opened: tuple[ForcedPair, PreTrainedTokenizerBase],
    name: str,
    items: list[Item],
    tell: partial[None],
) -> PairReading:
    from kdscope.evaluation.distribution_fidelity import read_pair
    from kdscope.evaluation.records import read_records
    from kdscope.stages.models import prompts_of

    (pair, tokenizer), task = opened, params.registry().get(name)
    _, prompts = prompts_of(items, task.template or params.template, tokenizer)
    items, prompts = _readable(context, pair, items, prompts)
    sides: tuple[Literal["teacher", "student"], ...] = ("teacher", "student")
    records = {side: read_records(context.inputs[f"{side}/{name}"] / "records.parquet") for side in sides}
    return read_pair(*(pair, task, items, prompts, records, tokenizer), lambda texts, of: tell(len(items) * texts / of))


def _readable(
    context: StageContext, pair: ForcedPair, items: list[Item], prompts: list[list[int]]
) -> tuple[list[Item], list[list[int]]]:
    """Items with their prompts, without those to whose prompts a model could not read an answer."""
    limit = pair.position_limit
    fits = [limit is None or len(prompt) + _ANSWER_TOKENS <= limit for prompt in prompts]
    if not all(fits):
        left_out = f"{fits.count(False)} of {len(items)} items are left out"
        context.progress.warn(f"{context.stage.label}: {left_out}: a model has positions for {limit} tokens only")
    return [*compress(items, fits)], [*compress(prompts, fits)]


def _open(
    context: StageContext, params: CompareDistributionsParams
) -> tuple[ForcedPair, PreTrainedTokenizerBase] | str:
    """Both models, or why they cannot be compared token by token; the teacher is kept for the next student."""
    from kdscope.evaluation.distributions import ForcedModel, ForcedPair
    from kdscope.stages.models import device_of, load_frozen, match_models, open_tokenizer

    dtype, device = params.dtype, device_of(context)
    place, student_place = model_place(context, "teacher_base", "teacher"), model_place(context, "base", "model")
    key = json.dumps(["forced", asdict(place), dtype, device])
    teacher = context.resources.get(key, lambda: ForcedModel.of(load_frozen(place, dtype, device)))
    student = ForcedModel.of(load_frozen(student_place, dtype, device))
    tokenizer = open_tokenizer(context, student_place)
    try:
        match = match_models(context, tokenizer, teacher.head.vocabulary, student.head.vocabulary)
    except ModelError as error:
        return str(error)
    return ForcedPair(teacher, student, match), tokenizer

"""Does a model mean what it writes? Its answers once its trace is cut short, wrong, or its teacher's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdscope.core.extensions import origins
from kdscope.pipeline.run import StageContext
from kdscope.pipeline.stage import Cost, Stage
from kdscope.stages import audit_contamination
from kdscope.stages.compare_distributions import sampled_items
from kdscope.stages.evaluate_model import EvaluatedModel
from kdscope.stages.planning import (
    AnswerSettings,
    ModelIdentity,
    StageKind,
    StudyContext,
    TaskSampleParams,
    answer_settings,
    ends_of,
)
from kdscope.stages.rows import read_prepared_items
from kdscope.tasks import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from kdscope.evaluation.probes import Subject

KIND = StageKind(__name__, version=2)

_PROBE_ANSWERS = 10
"""About so many answers is what the probes of an item cost."""
_ANSWER_TOKENS = 24
"""Enough for an answer that is asked for at once."""


class ProbeReasoningParams(TaskSampleParams):
    """Which model is probed, and how it answers."""

    model: ModelIdentity
    evaluation: AnswerSettings
    answer_tokens: int


def plan(context: StudyContext, model: EvaluatedModel, teacher: EvaluatedModel | None) -> Stage | None:
    """A model's reasoning probed; None where the study wants no probes."""
    settings, evaluation, names = context.study.fidelity, context.evaluation, context.tasks.names
    if settings.probe_items == 0:
        return None
    params = ProbeReasoningParams(
        tasks=names,
        items=settings.probe_items,
        seed=settings.seed,
        template=context.template,
        ends=ends_of(context.template),
        dtype=context.dtype,
        own_tasks=context.own_tasks(*names),
        model=context.model(model.source),
        evaluation=answer_settings(evaluation, evaluation.backend),
        extensions=tuple(origins(("backend", evaluation.backend))),
        answer_tokens=min(_ANSWER_TOKENS, evaluation.max_new_tokens),
    )
    inputs = {**model.made, **sampled_items(context), **model.records("own")}
    if teacher is not None:
        inputs |= teacher.records("teacher")
    costs = [stage.cost for stage in model.evaluations.values()]
    share = _PROBE_ANSWERS * context.share(settings.probe_items)
    return KIND.stage(
        f"probes of {model.label}",
        params,
        inputs,
        context=context.place(base=model.source),
        cost=Cost(tokens=round(share * sum(c.tokens for c in costs)), flops=share * sum(c.flops for c in costs)),
    )


def run(context: StageContext) -> None:
    """Write probes.parquet; a kill loses at most the batch that was being written."""
    from kdscope.evaluation.probes import ProbeRow, ProbeSettings, run_probes
    from kdscope.evaluation.records import write_row_file
    from kdscope.generation.base import Decoding
    from kdscope.stages.models import open_generator, use_threads

    params = ProbeReasoningParams.of(context.stage)
    asked, registry = params.evaluation, params.registry()
    use_threads(context)
    generator, tokenizer = open_generator(context, params.dtype, str(asked.backend))
    tasks = [task for name in params.tasks if not (task := registry.get(name)).is_text]
    subjects = [subject for task in tasks for subject in _subjects(context, params, task, tokenizer)]
    rows = run_probes(
        generator,
        tokenizer,
        subjects,
        ProbeSettings(
            Decoding(asked.max_new_tokens, stop_texts=asked.stop_texts),
            params.seed,
            asked.batch_size,
            params.answer_tokens,
            asked.batch_tokens,
        ),
        scratch=context.scratch,
        progress=lambda done, total: context.progress.update(done, total, "generations"),
    )
    write_row_file(rows, ProbeRow, context.output / "probes.parquet")
    context.facts.update(items=len(subjects), probes=len(rows))


def _subjects(
    context: StageContext, params: ProbeReasoningParams, task: Task, tokenizer: PreTrainedTokenizerBase
) -> list[Subject]:
    """The subsample of a task, and what the model and its teacher (if it has one here) answered."""
    from kdscope.evaluation.continuations import choose_items
    from kdscope.evaluation.probes import subjects_of
    from kdscope.evaluation.records import read_records
    from kdscope.stages.models import prompts_of

    every = read_prepared_items(context.inputs[f"items/{task.name}"])
    items = choose_items(every, params.items, params.seed, audit_contamination.contaminated(context))
    if not items:
        return []
    _, prompts = prompts_of(items, task.template or params.template, tokenizer)
    roles = [role for role in (f"own/{task.name}", f"teacher/{task.name}") if role in context.inputs]
    return subjects_of(task, items, prompts, *(read_records(context.inputs[r] / "records.parquet") for r in roles))

"""One model answers one task; every answer is kept with both of its scorings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import PlainSerializer, TypeAdapter

from kdscope.core.extensions import origins
from kdscope.models.files import MODEL_FILES, check_adapter
from kdscope.models.source import ModelPlace
from kdscope.pipeline.fingerprint import fingerprint, hash_tree
from kdscope.pipeline.run import StageContext
from kdscope.pipeline.stage import Stage
from kdscope.stages import prepare_task
from kdscope.stages.planning import EvaluationContext, ModelIdentity, PromptParams, StageKind, TaskParams, ends_of
from kdscope.stages.rows import read_prepared_items
from kdscope.study.arms import ModelSource
from kdscope.study.schema import Evaluation

KIND = StageKind(__name__, version=4)


def _decoding_json(evaluation: Evaluation) -> dict[str, object]:
    return evaluation.model_dump(mode="json", exclude={"base_models"})


class EvaluateModelParams(TaskParams, PromptParams):
    """Which model answers which task, and how."""

    task: str
    model: ModelIdentity
    evaluation: Annotated[Evaluation, PlainSerializer(_decoding_json)]
    dtype: str
    adapter: str | None = None
    """Content hash of an adapter that no stage trained."""


@dataclass(frozen=True, eq=False)
class EvaluatedModel:
    """A model that is evaluated, and can be asked again.

    Attributes:
        label: What tables call it.
        source: Where its base comes from.
        made: The stages that pruned or trained it, by role (`base`, `model`).
        evaluations: The stage of each task.
    """

    label: str
    source: ModelSource
    made: Mapping[str, Stage]
    evaluations: Mapping[str, Stage]

    def records(self, role: str) -> dict[str, Stage]:
        """Its evaluations as inputs of a stage in which it has this role."""
        return {f"{role}/{task}": stage for task, stage in self.evaluations.items()}


def plan(
    context: EvaluationContext,
    label: str,
    source: ModelSource,
    made: Mapping[str, Stage] | None = None,
    adapter: Path | None = None,
    evaluation: Evaluation | None = None,
) -> dict[str, Stage]:
    """One model on every task.

    Args:
        context: Of the plan.
        label: What tables call the model.
        source: Where it comes from.
        made: The stages that pruned or trained it (`base`, `model`), if any did.
        adapter: A folder with an adapter to put on it.
        evaluation: How it answers, if not as all others.

    Raises:
        ModelError: A file of the model or of the adapter cannot be read, or is no such file.
    """
    asked, place = evaluation or context.evaluation, context.place(base=source)
    if asked.sampling_temperature == 0:  # greedy decoding knows neither
        asked = asked.model_copy(update={"top_p": 1.0, "decoding_seeds": (0,)})
    if adapter is not None:
        base = TypeAdapter(ModelPlace).validate_python(place["base"])
        place["base"] = asdict(replace(base, adapter=str(adapter)))
        check_adapter(adapter)
    added = None if adapter is None else fingerprint(hash_tree(adapter, MODEL_FILES, context.cache))
    size = context.sizes.of(source)

    def stage(task: str) -> Stage:
        params = EvaluateModelParams(
            task=task,
            model=context.model(source),
            evaluation=asked,
            template=context.template,
            ends=ends_of(context.registry.get(task).template or context.template),
            dtype=context.dtype,
            adapter=added,
            own_tasks=context.own_tasks(task),
            extensions=tuple(origins(("backend", asked.backend))),
        )
        inputs = {"items": prepare_task.plan(context, task), **(made or {})}
        cost = context.sizes.evaluation(size, task, asked.max_new_tokens)
        return KIND.stage(f"{task}: {label}", params, inputs, context=place, cost=cost)

    return {task: stage(task) for task in context.tasks.names}


def run(context: StageContext) -> None:
    """Write records.parquet: for every decoding seed one record an item."""
    from kdscope.evaluation.records import Record, write_records
    from kdscope.evaluation.score import score_items
    from kdscope.generation.base import Decoding, generate_all
    from kdscope.stages.models import check_prompts, open_generator, prompts_of, use_threads

    params = EvaluateModelParams.of(context.stage)
    asked, task = params.evaluation, params.registry().get(params.task)
    use_threads(context)
    items = read_prepared_items(context.inputs["items"])
    generator, tokenizer = open_generator(context, params.dtype, asked.backend)
    prompts, encoded = prompts_of(items, task.template or params.template, tokenizer)
    total, records = len(items) * len(asked.decoding_seeds), list[Record]()
    decoding = Decoding(asked.max_new_tokens, asked.sampling_temperature, asked.top_p, stop_texts=asked.stop_texts)
    check_prompts(context, generator, encoded, decoding)
    for number, seed in enumerate(asked.decoding_seeds):
        scratch, already = context.scratch / f"seed-{seed}", number * len(items)
        scratch.mkdir(exist_ok=True)
        completions = generate_all(
            generator,
            encoded,
            replace(decoding, seed=seed),
            batch_size=asked.batch_size,
            batch_tokens=asked.batch_tokens,
            scratch=scratch,
            progress=partial(_tell, context, already, total),
        )
        records += score_items(task, items, prompts, completions, seed)
    write_records(records, context.output / "records.parquet")
    context.facts.update(items=len(items), generated_tokens=sum(r.completion_tokens for r in records))


def _tell(context: StageContext, already: int, total: int, done: int, _: int) -> None:
    context.progress.update(already + done, total, "items")

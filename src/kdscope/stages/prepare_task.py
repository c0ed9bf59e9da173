"""Task rows become evaluation items."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import TypeAdapter

from kdscope.pipeline.run import StageContext
from kdscope.pipeline.stage import Stage
from kdscope.stages.planning import EvaluationContext, StageKind, TaskParams, once
from kdscope.stages.rows import TaskPlace, content_of_task, read_task_items, task_place, write_json_lines

KIND = StageKind(__name__, version=2)


class PrepareTaskParams(TaskParams):
    """Which items of which task."""

    task: str
    content: str
    limit: int | None


@once
def plan(context: EvaluationContext, name: str) -> Stage:
    """The items of one task."""
    task = context.registry.get(name)
    place = task_place(context.tasks, task)
    content = content_of_task(task, place, context.cache)
    params = PrepareTaskParams(task=name, content=content, limit=place.limit, own_tasks=context.own_tasks(name))
    return KIND.stage(f"items of {name}", params, {}, context=asdict(place))


def run(context: StageContext) -> None:
    """Write items.jsonl."""
    params = PrepareTaskParams.of(context.stage)
    place = TypeAdapter(TaskPlace).validate_python(context.stage.context)
    items = read_task_items(params.registry().get(params.task), place)
    write_json_lines(items, context.output / "items.jsonl")
    context.facts.update(items=len(items))

"""Task rows become evaluation items."""

from __future__ import annotations

from kdscope.pipeline.run import StageContext
from kdscope.stages.files import write_rows
from kdscope.stages.own_tasks import registry_of
from kdscope.stages.rows import read_task_items


def run(context: StageContext) -> None:
    """Write items.jsonl."""
    settings = context.stage.parameters
    task = registry_of(settings).get(str(settings["task"]))
    items = read_task_items(task, {"limit": settings["limit"], **context.stage.context})
    write_rows(items, context.output / "items.jsonl")
    context.facts.update(items=len(items))

"""Stage 3: task rows become evaluation items."""

from __future__ import annotations

from kdscope.pipeline.run import StageContext
from kdscope.stages.files import write_rows
from kdscope.stages.rows import read_task_items


def run(context: StageContext) -> None:
    """Write items.jsonl."""
    place = {"limit": context.stage.parameters["limit"], **context.stage.context}
    items = read_task_items(str(context.stage.parameters["task"]), place)
    write_rows(items, context.output / "items.jsonl")
    context.facts.update(items=len(items))

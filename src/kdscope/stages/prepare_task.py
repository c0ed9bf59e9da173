"""Stage 2: a task file becomes evaluation items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kdscope.data.sources import read_items
from kdscope.pipeline.run import StageContext
from kdscope.stages.files import write_rows
from kdscope.tasks import get_task


def run(context: StageContext) -> None:
    """Write items.jsonl."""
    settings: Any = context.stage.parameters
    items = read_items(get_task(settings["task"]), Path(str(context.stage.context["folder"])), settings["limit"])
    write_rows(items, context.output / "items.jsonl")
    context.facts.update(items=len(items))

"""Unlabelled rows become prompts; whatever answer they have is left behind."""

from __future__ import annotations

from typing import Any

from kdscope.pipeline.run import StageContext
from kdscope.stages.files import write_rows
from kdscope.stages.rows import read_prompts


def run(context: StageContext) -> None:
    """Write prompts.jsonl."""
    settings: Any = context.stage.parameters
    prompts = read_prompts(context.stage.context, limit=settings["limit"], seed=settings["seed"])
    write_rows(prompts, context.output / "prompts.jsonl")
    context.facts.update(prompts=len(prompts))

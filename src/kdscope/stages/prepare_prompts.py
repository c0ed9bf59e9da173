"""Unlabelled rows become prompts; whatever answer they have is left behind."""

from __future__ import annotations

from kdscope.pipeline.run import StageContext
from kdscope.pipeline.stage import Stage
from kdscope.stages.planning import Params, StageKind, StudyContext, once
from kdscope.stages.rows import content_of, has_systems, read_prompts, source_at, source_place, write_json_lines

KIND = StageKind(__name__, version=1)


class PreparePromptsParams(Params):
    """Which rows are used."""

    content: str
    limit: int | None
    seed: int
    systems: bool = False
    """Whether rows have a `system` text, which was once left out."""


@once
def plan(context: StudyContext) -> Stage | None:
    """The unlabelled prompts; None where the study has none."""
    unlabelled = context.study.data.unlabelled
    if unlabelled is None:
        return None
    content = content_of(unlabelled, context.cache)
    params = PreparePromptsParams(
        content=content, limit=unlabelled.limit, seed=unlabelled.seed, systems=has_systems(unlabelled)
    )
    return KIND.stage("unlabelled prompts", params, {}, context=source_place(unlabelled))


def run(context: StageContext) -> None:
    """Write prompts.jsonl."""
    params = PreparePromptsParams.of(context.stage)
    prompts = read_prompts(source_at(context.stage.context), limit=params.limit, seed=params.seed)
    write_json_lines(prompts, context.output / "prompts.jsonl")
    context.facts.update(prompts=len(prompts))

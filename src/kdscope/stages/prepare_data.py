"""Labelled rows become training and validation examples."""

from __future__ import annotations

from kdscope.pipeline.run import StageContext
from kdscope.pipeline.stage import Stage
from kdscope.stages.planning import Params, StageKind, StudyContext, once
from kdscope.stages.rows import content_of, has_systems, read_split, source_at, source_place, write_json_lines
from kdscope.study.arms import Teacher

KIND = StageKind(__name__, version=1)


class PrepareDataParams(Params):
    """Which rows are trained on, and which are held out."""

    content: str
    limit: int | None
    validation_items: int
    seed: int
    systems: bool = False
    """Whether rows have a `system` text, which was once left out."""


@once
def plan(context: StudyContext, teacher: Teacher | None = None) -> Stage:
    """Training and validation examples: a teacher's own where it has some, or the study's."""
    own = teacher.data if teacher is not None else None
    data = own or context.study.data
    label = f"training data of {teacher.name}" if teacher is not None and own is not None else "training data"
    content = content_of(data, context.cache)
    params = PrepareDataParams(
        content=content,
        limit=data.limit,
        validation_items=data.validation_items,
        seed=data.seed,
        systems=has_systems(data),
    )
    return KIND.stage(label, params, {}, context=source_place(data))


def run(context: StageContext) -> None:
    """Write train.jsonl and validation.jsonl."""
    params = PrepareDataParams.of(context.stage)
    split, rows = read_split(
        source_at(context.stage.context), limit=params.limit, validation_items=params.validation_items, seed=params.seed
    )
    write_json_lines(split.train, context.output / "train.jsonl")
    write_json_lines(split.validation, context.output / "validation.jsonl")
    context.facts.update(rows=rows, train=len(split.train), validation=len(split.validation))

"""A bigger model becomes a student with fewer layers, as an ordinary model folder."""

from __future__ import annotations

from kdscope.pipeline.run import StageContext
from kdscope.pipeline.stage import Cost, Stage
from kdscope.stages.planning import (
    ModelIdentity,
    Params,
    StageKind,
    StudyContext,
    model_place,
    model_source_place,
    once,
)
from kdscope.study.arms import Student

KIND = StageKind(__name__, version=1)


class PrepareStudentParams(Params):
    """Which layers of which model are kept: so many, evenly spaced, or these."""

    model: ModelIdentity
    keep_layers: int | tuple[int, ...]


@once
def plan(context: StudyContext, student: Student) -> Stage | None:
    """The depth-pruned student; None for a student used as it comes."""
    if student.keep_layers is None:
        return None
    return KIND.stage(
        f"prune {student.name}",
        PrepareStudentParams(model=context.model(student), keep_layers=student.keep_layers),
        {},
        context={"source": model_source_place(student)},
        cost=Cost(disk_bytes=context.sizes.of(student).disk_bytes(4)),
    )


def run(context: StageContext) -> None:
    """Write model/: the pruned model in float32, and its tokenizer."""
    from kdscope.models.load import load_model, load_tokenizer, prune_depth, save_model

    params = PrepareStudentParams.of(context.stage)
    context.resources.clear()
    place = model_place(context, "source")
    model = prune_depth(load_model(place, "float32", "cpu"), params.keep_layers)
    save_model(model, load_tokenizer(place), context.output / "model")
    context.facts.update(parameters=model.num_parameters(), layers=model.config.num_hidden_layers)

"""Does the student answer, reason and doubt like the teacher? With its control, its ceiling and chance beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kdscope.core.extensions import origins_of
from kdscope.pipeline.run import StageContext
from kdscope.pipeline.stage import Stage
from kdscope.stages import adapt_teacher, audit_contamination, compare_distributions, evaluate_model
from kdscope.stages.evaluate_model import EvaluatedModel
from kdscope.stages.planning import StageKind, StudyContext, TaskParams, once
from kdscope.study.arms import Teacher

if TYPE_CHECKING:
    from kdscope.evaluation.distribution_fidelity import PairReading
    from kdscope.evaluation.records import Record

KIND = StageKind(__name__, version=4)


class ComparePairParams(TaskParams):
    """On which tasks two models are compared, by which scoring, and the seed of intervals and floors."""

    tasks: tuple[str, ...]
    scoring: str
    seed: int


def plan(
    context: StudyContext, student: EvaluatedModel, teacher: EvaluatedModel, control: EvaluatedModel | None
) -> Stage:
    """Everything about a student and a teacher in one table, beside the student's control, if it is another model."""
    names = context.tasks.names
    params = ComparePairParams(
        tasks=names,
        scoring=context.study.scoring,
        seed=context.study.fidelity.seed,
        own_tasks=context.own_tasks(*names),
        extensions=tuple(origins_of("fidelity measure")),
    )
    inputs = {**student.records("student"), **teacher.records("teacher")}
    readings = {"reading": compare_distributions.plan(context, student, teacher)}
    if control is not None:
        inputs |= control.records("control")
        readings["control_reading"] = compare_distributions.plan(context, control, teacher)
    inputs |= {f"ceiling/{task}": stage for task, stage in ceiling(context, teacher).items()}
    inputs |= {role: stage for role, stage in readings.items() if stage is not None}
    inputs |= audit_contamination.as_input(context)
    return KIND.stage(f"{student.label} ~ {teacher.label}", params, inputs, tolerates_missing=True)


@once
def ceiling(context: StudyContext, teacher: EvaluatedModel) -> dict[str, Stage]:
    """What stands at the ceiling, task by task; empty where the study wants none.

    Another run of the teacher, or for identity the teacher's own answers: compared with themselves they give every
    measure's value of a perfect copy.
    """
    settings, evaluation = context.study.fidelity, context.evaluation
    if settings.ceiling == "none":
        return {}
    if settings.ceiling == "second_seed" and "model" in teacher.made and isinstance(teacher.source, Teacher):
        again = {"model": adapt_teacher.plan(context, teacher.source, again=True)}
        return evaluate_model.plan(context, f"{teacher.label} with another seed", teacher.source, again)
    if settings.ceiling in ("second_seed", "identity"):
        return dict(teacher.evaluations)
    if evaluation.sampling_temperature > 0:
        seeds = tuple(seed + max(evaluation.decoding_seeds) + 1 for seed in evaluation.decoding_seeds)
        sampled = evaluation.model_copy(update={"decoding_seeds": seeds})
    else:
        sampled = evaluation.model_copy(update={"sampling_temperature": settings.ceiling_temperature})
    return evaluate_model.plan(context, f"{teacher.label} sampled", teacher.source, teacher.made, evaluation=sampled)


def run(context: StageContext) -> None:
    """Write fidelity.parquet, and items.parquet: how like the teacher the student writes, item by item.

    A task that one of the two has not answered is left out.
    """
    import pyarrow.parquet as pq

    from kdscope.evaluation.accuracy import without_items
    from kdscope.evaluation.distribution_fidelity import compare_readings
    from kdscope.evaluation.fidelity_per_task import Sampling
    from kdscope.evaluation.fidelity_table import fidelity_rows, item_likeness, measure_records, rows_frame

    params = ComparePairParams.of(context.stage)
    sides = {side: _records(context.inputs, side) for side in ("student", "teacher", "control", "ceiling")}
    kept = without_items(sides, audit_contamination.contaminated(context))
    both = [task for task in params.tasks if task in kept["student"] and task in kept["teacher"]]
    student, teacher, control, ceiling = ({t: kept[s][t] for t in both if t in kept[s]} for s in sides)
    registry, sampling = params.registry(), Sampling(seed=params.seed)
    measured = measure_records(
        *(student, teacher, params.scoring), registry=registry, control=control, ceiling=ceiling, sampling=sampling
    )
    rows = fidelity_rows(measured, registry)
    if (read := _reading(context.inputs, "reading")) is not None:
        clusters = {record.item_id: record.prompt for answered in teacher.values() for record in answered}
        with_control = _reading(context.inputs, "control_reading")
        rows += compare_readings(read, with_control, clusters, sampling)
    rows_frame(rows).to_parquet(context.output / "fidelity.parquet", index=False)
    pq.write_table(item_likeness(measured), context.output / "items.parquet")


def _records(inputs: Mapping[str, Path], side: str) -> dict[str, list[Record]]:
    from kdscope.evaluation.records import read_records

    found = {role.split("/", 1)[1]: folder for role, folder in inputs.items() if role.startswith(f"{side}/")}
    return {task: read_records(folder / "records.parquet") for task, folder in found.items()}


def _reading(inputs: Mapping[str, Path], role: str) -> PairReading | None:
    """What two models made of the same texts; None where they were not asked, or speak of other tokens."""
    from kdscope.evaluation.distribution_fidelity import PairReading

    return PairReading.load(inputs[role]) if role in inputs else None

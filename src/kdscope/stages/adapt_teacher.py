"""Fine-tune a teacher on the training set, so that it knows the task it will teach."""

from __future__ import annotations

from itertools import count

from kdscope.pipeline.run import StageContext
from kdscope.pipeline.stage import Stage
from kdscope.stages import prepare_data
from kdscope.stages.planning import StageKind, StudyContext, TrainingParams, ends_of, model_place, once, teacher_label
from kdscope.study.arms import Teacher

KIND = StageKind(__name__, version=2)

_ANOTHER_SEED = 1000
"""From the seed of a teacher to that of its other run: out of the way of seeds that people list."""


class AdaptTeacherParams(TrainingParams):
    """How the teacher is trained."""

    prompt_in_loss: bool


@once
def plan(context: StudyContext, teacher: Teacher, *, again: bool = False) -> Stage:
    """The teacher fine-tuned on the training set, with the first seed: one teacher serves every cell.

    `again`: the same with a seed that no model of the study has, and that stays the same when seeds are added.
    """
    study = context.study
    training, first = study.teacher_training or study.training, study.seeds[0]
    validation, another = context.validation(training), " again" if again else ""
    params = AdaptTeacherParams(
        model=context.model(teacher),
        prompt_in_loss=all(method.prompt_in_loss for method in study.methods),
        training=training,
        tuning=teacher.tuning,
        template=context.training_template,
        ends=ends_of(context.training_template),
        dtype=context.dtype,
        seed=next(s for s in count(first + _ANOTHER_SEED) if s not in study.seeds) if again else first,
        validation=validation,
    )
    cost = context.sizes.training(context.sizes.of(teacher), teacher.tuning, training)
    return KIND.stage(
        f"adapt {teacher.name}{another}",
        params,
        {"data": prepare_data.plan(context, teacher)},
        context=context.training_place(f"{teacher_label(teacher, 'adapted')}{another}", training, base=teacher),
        cost=cost + context.validation_cost(teacher, training, validation),
    )


def adapted(context: StudyContext, teacher: Teacher, condition: str) -> dict[str, Stage]:
    """The adapted teacher as an input of a stage that asks a teacher in this condition; none for one as it comes."""
    return {"teacher": plan(context, teacher)} if condition == "adapted" else {}


def run(context: StageContext) -> None:
    """Write model/ and training.parquet."""
    from kdscope.objectives import Objective
    from kdscope.stages.training import prepare, train_and_save, training_job

    params = AdaptTeacherParams.of(context.stage)
    prepared = prepare(context, params, model_place(context, "base"))
    objective = Objective("none", kd_weight=0.0)
    job = training_job(context, params, prepared, objective, prompt_in_loss=params.prompt_in_loss)
    train_and_save(context, params, prepared, job)

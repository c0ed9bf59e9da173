"""The stages that measure fidelity: another run of a teacher, two models reading the same texts, probes, the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kdscope.core.extensions import origins
from kdscope.pipeline.fingerprint import JSON
from kdscope.pipeline.stage import Cost, Stage
from kdscope.stages import make_stage
from kdscope.stages.factory import StageFactory
from kdscope.stages.identity import model_source_place, source_identity
from kdscope.stages.own_tasks import definitions_of
from kdscope.stages.parameters import threads_of
from kdscope.study.arms import ModelSource, Teacher

_PROBE_ANSWERS = 10
"""About so many answers is what the probes of an item cost."""
_ANSWER_TOKENS = 24
"""Enough for an answer that is asked for at once."""


@dataclass(frozen=True)
class Model:
    """A model that can be asked again.

    Attributes:
        label: What tables call it.
        source: Where its base comes from.
        made: The stages that pruned or trained it, by role (`base`, `model`).
        evaluations: The stage of each task.
    """

    label: str
    source: ModelSource
    made: Mapping[str, Stage]
    evaluations: Mapping[str, Stage]


def ceiling(factory: StageFactory, teacher: Model) -> dict[str, Stage]:
    """What stands at the ceiling, task by task; empty where the study wants none.

    Another run of the teacher, or for identity the teacher's own answers: compared with themselves they give every
    measure's value of a perfect copy.
    """
    settings, evaluation = factory.study.fidelity, factory.study.evaluation
    if settings.ceiling == "none":
        return {}
    if settings.ceiling == "second_seed" and "model" in teacher.made and isinstance(teacher.source, Teacher):
        again = {"model": factory.adapted(teacher.source, again=True)}
        return factory.evaluating.of(f"{teacher.label} with another seed", teacher.source, again)
    if settings.ceiling in ("second_seed", "identity"):
        return dict(teacher.evaluations)
    if evaluation.sampling_temperature > 0:
        seeds: tuple[int, ...] = tuple(seed + max(evaluation.decoding_seeds) + 1 for seed in evaluation.decoding_seeds)
        sampled = evaluation.model_copy(update={"decoding_seeds": seeds})
    else:
        sampled = evaluation.model_copy(update={"sampling_temperature": settings.ceiling_temperature})
    return factory.evaluating.of(f"{teacher.label} sampled", teacher.source, teacher.made, settings=sampled)


def reading(factory: StageFactory, student: Model, teacher: Model) -> Stage | None:
    """Student and teacher reading the same texts; None where the study wants none."""
    settings = factory.study.fidelity
    if settings.distribution_items == 0:
        return None
    parameters: dict[str, JSON] = {
        **_asked(factory, settings.distribution_items),
        "model": source_identity(student.source, factory.cache),
        "teacher": source_identity(teacher.source, factory.cache),
    }
    inputs = {**student.made, **_items(factory), **_side("student", student), **_side("teacher", teacher)}
    if "model" in teacher.made:
        inputs["teacher"] = teacher.made["model"]
    context = _context(factory, base=student.source, teacher_base=teacher.source)
    sizes = factory.sizes
    costs = [
        sizes.evaluation(sizes.of(model.source), task, factory.study.evaluation.max_new_tokens)
        for model in (student, teacher)
        for task in factory.study.tasks.names
    ]
    share = _share(factory, settings.distribution_items)
    cost = Cost(tokens=round(3 * share * sum(c.tokens for c in costs)), flops=3 * share * sum(c.flops for c in costs))
    label = f"{student.label} reads with {teacher.label}"
    return make_stage("compare_distributions", label, parameters, inputs, context=context, cost=cost)


def probes(factory: StageFactory, model: Model, teacher: Model | None) -> Stage | None:
    """A model's reasoning probed; None where the study wants no probes."""
    settings, evaluation = factory.study.fidelity, factory.study.evaluation
    if settings.probe_items == 0:
        return None
    parameters: dict[str, JSON] = {
        **_asked(factory, settings.probe_items),
        "model": source_identity(model.source, factory.cache),
        "evaluation": evaluation.model_dump(
            mode="json", include={"max_new_tokens", "stop_texts", "batch_size", "batch_tokens", "backend"}
        ),
        "answer_tokens": min(_ANSWER_TOKENS, evaluation.max_new_tokens),
    }
    if extensions := origins(("backend", evaluation.backend)):
        parameters["extensions"] = list(extensions)
    inputs = {**model.made, **_items(factory), **_side("own", model)}
    if teacher is not None:
        inputs |= _side("teacher", teacher)
    costs = [stage.cost for stage in model.evaluations.values()]
    share = _PROBE_ANSWERS * _share(factory, settings.probe_items)
    cost = Cost(tokens=round(share * sum(c.tokens for c in costs)), flops=share * sum(c.flops for c in costs))
    context = _context(factory, base=model.source)
    return make_stage("probe_reasoning", f"probes of {model.label}", parameters, inputs, context=context, cost=cost)


def pair(
    factory: StageFactory, student: Model, teacher: Model, control: Model | None, others: Mapping[str, Stage | None]
) -> Stage:
    """Everything about a student and a teacher in one table.

    Args:
        factory: Of the study.
        student: The student.
        teacher: The teacher.
        control: The student's control, if it is another.
        others: More that may be known: `ceiling/<task>`, `reading`, `control_reading`.
    """
    sides = {**_side("student", student), **_side("teacher", teacher)}
    if control is not None:
        sides |= _side("control", control)
    inputs = sides | {role: stage for role, stage in others.items() if stage is not None}
    names = factory.study.tasks.names
    parameters: dict[str, JSON] = {
        "tasks": list(names),
        "scoring": factory.study.scoring,
        "seed": factory.study.fidelity.seed,
        **definitions_of(factory.registry, names),
    }
    if factory.study.tasks.exclude_contaminated:
        inputs["audit"] = factory.audit()
    label = f"{student.label} ~ {teacher.label}"
    return make_stage("compare_pair", label, parameters, inputs, tolerates_missing=True)


def _asked(factory: StageFactory, items: int) -> dict[str, JSON]:
    names = factory.study.tasks.names
    return {
        "tasks": list(names),
        "items": items,
        "seed": factory.study.fidelity.seed,
        "template": factory.study.template,
        "dtype": factory.dtype,
        **definitions_of(factory.registry, names),
    }


def _items(factory: StageFactory) -> dict[str, Stage]:
    inputs = {f"items/{name}": factory.evaluating.items(name) for name in factory.study.tasks.names}
    return inputs | ({"audit": factory.audit()} if factory.study.tasks.exclude_contaminated else {})


def _side(role: str, model: Model) -> dict[str, Stage]:
    return {f"{role}/{task}": stage for task, stage in model.evaluations.items()}


def _context(factory: StageFactory, **sources: ModelSource) -> dict[str, JSON]:
    places: dict[str, JSON] = {name: model_source_place(source) for name, source in sources.items()}
    return {"device": factory.device, "threads": threads_of(factory.study.runtime), **places}


def _share(factory: StageFactory, items: int) -> float:
    """The part of all items that a subsample is."""
    counts = [factory.sizes.items[name] for name in factory.study.tasks.names]
    return sum(min(items, count) for count in counts) / max(1, sum(counts))

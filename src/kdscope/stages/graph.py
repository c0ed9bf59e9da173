"""From a study to one graph of stages: every model trained and evaluated, every pair compared, one report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdscope.core.extensions import load_extensions
from kdscope.pipeline.fingerprint import JSON, HashCache
from kdscope.pipeline.stage import Stage, in_order
from kdscope.results.methods import ADAPT, BASE
from kdscope.stages import make_stage
from kdscope.stages.comparisons import planned_comparisons
from kdscope.stages.controls import controls_of
from kdscope.stages.estimate import Sizes
from kdscope.stages.factory import StageFactory
from kdscope.stages.fidelity import Model, ceiling, pair, probes, reading
from kdscope.stages.own_tasks import definitions_of
from kdscope.stages.parameters import teacher_label
from kdscope.statistics.planning import Noise, PlannedComparison
from kdscope.study.arms import Student, Teacher
from kdscope.study.grid import Cell, expand_cells
from kdscope.study.schema import Study
from kdscope.tasks import TaskRegistry


@dataclass(frozen=True)
class Arm:
    """A model that is evaluated: a teacher, a trained student or an untrained one.

    Attributes:
        label: Unique within the study.
        role: teacher, student or base.
        facts: What the tables say of it (student, teacher, method, ...).
        model: Where it comes from, the stages that made it and those that evaluate it.
        teacher: Label of the teacher arm it learned from, if any.
    """

    label: str
    role: str
    facts: Mapping[str, JSON]
    model: Model
    teacher: str | None = None

    @property
    def trained(self) -> Stage | None:
        """The stage that trained it; None for a model used as it came."""
        return self.model.made.get("model")

    @property
    def evaluations(self) -> Mapping[str, Stage]:
        """The stage of each task."""
        return self.model.evaluations


@dataclass(frozen=True)
class StudyPlan:
    """A study as stages: `report` is the last, and everything else is behind it; `audit` is the contamination audit.

    `comparisons` has the minimum detectable gains.
    """

    report: Stage
    analysis: Stage
    audit: Stage
    arms: tuple[Arm, ...]
    device: str
    comparisons: tuple[PlannedComparison, ...]


def build_plan(
    study: Study,
    cache: HashCache,
    store_root: Path,
    sizes: Sizes,
    registry: TaskRegistry,
    noise: Noise = Noise(),
) -> StudyPlan:
    """All stages of a study.

    Args:
        study: The study, its task names canonical.
        cache: Content hashes of model and data files.
        store_root: Where the store lies, so that the analysis can name the causes of failures.
        sizes: What is known of the study's sizes, for costs.
        registry: The tasks, a person's own included.
        noise: What the study's numbers are expected to vary with.
    """
    load_extensions(study.extensions)
    factory = StageFactory(study, cache, sizes, registry, store_root)
    cells = expand_cells(study)
    arms = [*_teacher_arms(factory, cells), *_base_arms(factory), *(_student_arm(factory, cell) for cell in cells)]
    analysis = _analysis(factory, arms, store_root)
    report = make_stage(
        "write_report",
        "report",
        {"name": study.name, "description": study.description, "scoring": study.scoring},
        {"analysis": analysis},
        context={
            "study": study.model_dump(mode="json"),
            "device": factory.device,
            "dtype": factory.dtype,
            "stages": {arm.label: arm.trained.directory_name for arm in arms if arm.trained is not None},
        },
    )
    comparisons = planned_comparisons(study, sizes.questions, registry, noise)
    return StudyPlan(report, analysis, factory.audit(), tuple(arms), factory.device, tuple(comparisons))


def _teacher_arms(factory: StageFactory, cells: Sequence[Cell]) -> list[Arm]:
    """The teachers that some cell learns from, in each condition it does."""
    needed = {(cell.teacher.name, cell.teacher_condition) for cell in cells if cell.teacher is not None}
    # A teacher's own conditions in its own order; a method may ask for others.
    arms = [
        (teacher, condition)
        for teacher in factory.study.teachers
        for condition in dict.fromkeys((*teacher.condition, "adapted", "base"))
    ]
    return [_teacher_arm(factory, *arm) for arm in arms if (arm[0].name, arm[1]) in needed]


def _teacher_arm(factory: StageFactory, teacher: Teacher, condition: str) -> Arm:
    label = teacher_label(teacher, condition)
    adapted = factory.adapted(teacher) if condition == "adapted" else None
    method = ADAPT if adapted is not None else BASE
    facts: dict[str, JSON] = {"teacher": teacher.name, "teacher_condition": condition, "method": method}
    return Arm(label, "teacher", facts, _model(factory, label, teacher, adapted))


def _base_arms(factory: StageFactory) -> list[Arm]:
    """The untrained students, where the study asks for them."""
    students = factory.study.students if factory.study.evaluation.base_models else ()
    facts: list[dict[str, JSON]] = [{"student": student.name, "method": BASE} for student in students]
    models = [_model(factory, f"{student.name}/base", student, None) for student in students]
    return [Arm(model.label, "base", own, model) for model, own in zip(models, facts, strict=True)]


def _student_arm(factory: StageFactory, cell: Cell) -> Arm:
    stage = factory.distilled(cell)
    facts: dict[str, JSON] = {
        "student": cell.student.name,
        "teacher": cell.teacher.name if cell.teacher else None,
        "teacher_condition": cell.teacher_condition,
        "method": cell.method.name,
        "kd_temperature": cell.kd_temperature,
        "kd_weight": cell.kd_weight,
        "teacher_noise_std": cell.teacher_noise_std,
        "variant": cell.variant,
        "prompt_in_loss": cell.method.prompt_in_loss,
        "seed": cell.seed,
    }
    teacher = teacher_label(cell.teacher, str(cell.teacher_condition)) if cell.teacher else None
    return Arm(cell.label, "student", facts, _model(factory, cell.label, cell.student, stage), teacher)


def _model(factory: StageFactory, label: str, source: Teacher | Student, trained: Stage | None) -> Model:
    made = factory.made(source, trained)
    return Model(label, source, made, factory.evaluating.of(label, source, made))


def _analysis(factory: StageFactory, arms: Sequence[Arm], store_root: Path) -> Stage:
    """The stage that sees everything; what failed is left out of its inputs when it runs."""
    inputs: dict[str, Stage] = {"audit": factory.audit()}
    for number, arm in enumerate(arms):
        if arm.trained is not None:
            inputs[f"trained/{number}"] = arm.trained
        inputs |= {f"records/{number}/{task}": stage for task, stage in arm.evaluations.items()}
    inputs |= _comparisons(factory, arms)
    stages: dict[str, JSON] = {arm.label: [s.identity for s in _own_stages(arm)] for arm in arms}
    sweeps: dict[str, JSON] = {arm.label: {rate: s.identity for rate, s in _sweep(arm).items()} for arm in arms}
    parameters: dict[str, JSON] = {
        "arms": [{"label": arm.label, "role": arm.role, **arm.facts} for arm in arms],
        "tasks": list(factory.study.tasks.names),
        "scoring": factory.study.scoring,
        "exclude_contaminated": factory.study.tasks.exclude_contaminated,
        "analysis": factory.study.analysis.model_dump(mode="json"),
        **definitions_of(factory.registry, factory.study.tasks.names),
    }
    context: dict[str, JSON] = {"stages": stages, "sweeps": sweeps, "store": str(store_root)}
    return make_stage("analyse_study", "analysis", parameters, inputs, tolerates_missing=True, context=context)


def _comparisons(factory: StageFactory, arms: Sequence[Arm]) -> dict[str, Stage]:
    """Every pair's table, and every model's probes."""
    inputs: dict[str, Stage] = {}
    controls = controls_of([{"label": arm.label, "role": arm.role, **arm.facts} for arm in arms])
    by_label = {arm.label: arm.model for arm in arms}
    for number, arm in enumerate(arms):
        own = by_label.get(str(arm.teacher))
        if (probed := probes(factory, arm.model, own)) is not None:
            inputs[f"probes/{number}"] = probed
        for other, teacher in _compared_with(arm, arms):
            control = by_label.get(controls.get(arm.label, ""))
            others: dict[str, Stage | None] = {
                f"ceiling/{task}": stage for task, stage in ceiling(factory, teacher.model).items()
            }
            others["reading"] = reading(factory, arm.model, teacher.model)
            if control is not None:
                others["control_reading"] = reading(factory, control, teacher.model)
            inputs[f"pair/{number}/{other}"] = pair(factory, arm.model, teacher.model, control, others)
    return inputs


def _compared_with(arm: Arm, arms: Sequence[Arm]) -> list[tuple[int, Arm]]:
    """A distilled student is compared with its teacher; a control with every teacher."""
    if arm.role == "teacher":
        return []
    return [(n, a) for n, a in enumerate(arms) if a.role == "teacher" and arm.teacher in (None, a.label)]


def _own_stages(arm: Arm) -> list[Stage]:
    """What has to succeed for a model to be in the tables, in order; of the runs of a sweep, one is enough."""
    swept = set(_sweep(arm).values())
    return [stage for stage in in_order([*arm.model.made.values(), *arm.evaluations.values()]) if stage not in swept]


def _sweep(arm: Arm) -> dict[str, Stage]:
    """The runs that the learning rate of a model is chosen from, by the roles they have there; none without a sweep."""
    choice = arm.trained.inputs.get("choice") if arm.trained is not None else None
    return {} if choice is None else dict(choice.inputs)

"""From a study to one graph of stages: every model trained and evaluated, every pair compared, one report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdscope.core.extensions import load_extensions
from kdscope.pipeline.fingerprint import HashCache
from kdscope.pipeline.stage import Stage, in_order
from kdscope.results.methods import ADAPT, BASE, SFT
from kdscope.stages import (
    adapt_teacher,
    analyse_study,
    audit_contamination,
    compare_pair,
    distil_student,
    evaluate_model,
    prepare_student,
    probe_reasoning,
    write_report,
)
from kdscope.stages.analyse_study import ArmFacts, controls_of
from kdscope.stages.cost import Sizes
from kdscope.stages.evaluate_model import EvaluatedModel
from kdscope.stages.planning import StudyContext, teacher_label
from kdscope.statistics.planning import Noise, PlannedComparison, Runs, plan_comparisons
from kdscope.study.arms import Student, Teacher
from kdscope.study.grid import Cell, expand_cells
from kdscope.study.schema import Study
from kdscope.tasks import TaskRegistry


@dataclass(frozen=True)
class Arm:
    """A model that is evaluated: a teacher, a trained student or an untrained one.

    Attributes:
        facts: What the tables say of it (label, role, student, teacher, method, ...).
        model: Where it comes from, the stages that made it and those that evaluate it.
        teacher: Label of the teacher arm it learned from, if any.
    """

    facts: ArmFacts
    model: EvaluatedModel
    teacher: str | None = None

    @property
    def label(self) -> str:
        """Unique within the study."""
        return self.facts.label

    @property
    def role(self) -> str:
        """Teacher, student or base."""
        return self.facts.role

    @property
    def trained(self) -> Stage | None:
        """The stage that trained it; None for a model used as it came."""
        return self.model.made.get("model")

    @property
    def evaluations(self) -> Mapping[str, Stage]:
        """The stage of each task."""
        return self.model.evaluations

    @property
    def sweep(self) -> dict[str, Stage]:
        """The runs that its learning rate is chosen from, by the roles they have there; none without a sweep."""
        choice = self.trained.inputs.get("choice") if self.trained is not None else None
        return {} if choice is None else dict(choice.inputs)


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

    @property
    def targets(self) -> list[Stage]:
        """What a run leaves to people: page, tables, answers and models; all other stages are behind them."""
        made = [stage for arm in self.arms for stage in (*arm.model.made.values(), *arm.evaluations.values())]
        return list(dict.fromkeys((self.report, self.analysis, *made)))


def build_plan(
    study: Study, cache: HashCache, store_root: Path, sizes: Sizes, registry: TaskRegistry, noise: Noise = Noise()
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
    context = StudyContext.of(study, registry, cache, sizes, store_root)
    cells = expand_cells(study)
    arms = [*_teacher_arms(context, cells), *_base_arms(context), *(_student_arm(context, cell) for cell in cells)]
    analysis = _analysis(context, arms)
    report = write_report.plan(context, analysis, {arm.label: arm.trained for arm in arms if arm.trained is not None})
    comparisons = planned_comparisons(study, sizes.questions, registry, noise)
    audit = audit_contamination.plan(context)
    return StudyPlan(report, analysis, audit, tuple(arms), context.device, tuple(comparisons))


def _teacher_arms(context: StudyContext, cells: Sequence[Cell]) -> list[Arm]:
    """The teachers that some cell learns from, in each condition it does."""
    needed = {(cell.teacher.name, cell.teacher_condition) for cell in cells if cell.teacher is not None}
    # A teacher's own conditions in its own order; a method may ask for others.
    arms = [
        (teacher, condition)
        for teacher in context.study.teachers
        for condition in dict.fromkeys((*teacher.condition, "adapted", "base"))
    ]
    return [_teacher_arm(context, *arm) for arm in arms if (arm[0].name, arm[1]) in needed]


def _teacher_arm(context: StudyContext, teacher: Teacher, condition: str) -> Arm:
    label = teacher_label(teacher, condition)
    adapted = adapt_teacher.plan(context, teacher) if condition == "adapted" else None
    method = ADAPT if adapted is not None else BASE
    facts = ArmFacts(label=label, role="teacher", teacher=teacher.name, teacher_condition=condition, method=method)
    return Arm(facts, _model(context, label, teacher, adapted))


def _base_arms(context: StudyContext) -> list[Arm]:
    """The untrained students, where the study asks for them."""
    students = context.study.students if context.evaluation.base_models else ()
    return [
        Arm(
            ArmFacts(label=(label := f"{student.name}/base"), role="base", student=student.name, method=BASE),
            _model(context, label, student, None),
        )
        for student in students
    ]


def _student_arm(context: StudyContext, cell: Cell) -> Arm:
    facts = ArmFacts(
        label=cell.label,
        role="student",
        student=cell.student.name,
        teacher=cell.teacher.name if cell.teacher else None,
        teacher_condition=cell.teacher_condition,
        method=cell.method.name,
        kd_temperature=cell.kd_temperature,
        kd_weight=cell.kd_weight,
        teacher_noise_std=cell.teacher_noise_std,
        variant=cell.variant,
        prompt_in_loss=cell.method.prompt_in_loss,
        seed=cell.seed,
    )
    teacher = teacher_label(cell.teacher, str(cell.teacher_condition)) if cell.teacher else None
    return Arm(facts, _model(context, cell.label, cell.student, distil_student.plan(context, cell)), teacher)


def _model(context: StudyContext, label: str, source: Teacher | Student, trained: Stage | None) -> EvaluatedModel:
    pruned = prepare_student.plan(context, source) if isinstance(source, Student) else None
    made = {role: stage for role, stage in (("model", trained), ("base", pruned)) if stage is not None}
    return EvaluatedModel(label, source, made, evaluate_model.plan(context, label, source, made))


def _analysis(context: StudyContext, arms: Sequence[Arm]) -> Stage:
    """The stage that sees everything."""
    inputs: dict[str, Stage] = {"audit": audit_contamination.plan(context)}
    for number, arm in enumerate(arms):
        if arm.trained is not None:
            inputs[f"trained/{number}"] = arm.trained
        inputs |= {f"records/{number}/{task}": stage for task, stage in arm.evaluations.items()}
    inputs |= _comparisons(context, arms)
    return analyse_study.plan(
        context,
        [arm.facts for arm in arms],
        inputs,
        stages={arm.label: [stage.identity for stage in _own_stages(arm)] for arm in arms},
        sweeps={arm.label: {role: stage.identity for role, stage in arm.sweep.items()} for arm in arms},
    )


def _comparisons(context: StudyContext, arms: Sequence[Arm]) -> dict[str, Stage]:
    """Every pair's table, and every model's probes: a distilled student beside its teacher, a control beside all."""
    inputs: dict[str, Stage] = {}
    controls = controls_of([arm.facts for arm in arms])
    by_label = {arm.label: arm.model for arm in arms}
    teachers = [(number, arm) for number, arm in enumerate(arms) if arm.role == "teacher"]
    for number, arm in enumerate(arms):
        if (probed := probe_reasoning.plan(context, arm.model, by_label.get(str(arm.teacher)))) is not None:
            inputs[f"probes/{number}"] = probed
        control = by_label.get(controls.get(arm.label, ""))
        for other, teacher in teachers if arm.role != "teacher" else ():
            if arm.teacher in (None, teacher.label):
                inputs[f"pair/{number}/{other}"] = compare_pair.plan(context, arm.model, teacher.model, control)
    return inputs


def _own_stages(arm: Arm) -> list[Stage]:
    """What has to succeed for a model to be in the tables, in order; of the runs of a sweep, one is enough."""
    swept = set(arm.sweep.values())
    return [stage for stage in in_order([*arm.model.made.values(), *arm.evaluations.values()]) if stage not in swept]


ONE_TASK = "any model, "
"""How the name of a comparison on one task begins."""


def planned_comparisons(
    study: Study, items: Mapping[str, int], registry: TaskRegistry, noise: Noise = Noise()
) -> list[PlannedComparison]:
    """Each student against its control on all tasks of a domain, adjusted together; then any model on a single task.

    With one seed that is a difference of checkpoints, with several a gain of the student's settings.

    Tasks of free text have no right and wrong, so that nothing is said of them; they count among what is adjusted for.
    Without a control or a method beside it, nothing is compared.

    Args:
        study: The study.
        items: Independent items of each task.
        registry: The tasks.
        noise: What numbers are expected to vary with.
    """
    if len({method.name == SFT for method in study.methods}) < 2:
        return []
    domains: dict[str, list[str]] = {}
    free: set[str] = set()
    for name in study.tasks.names:
        task = registry.get(name)
        if task.is_text:
            free.add(task.domain)
        else:
            domains.setdefault(task.domain, []).append(task.name)
    primary = {
        f"{student.name}, {domain}": sum(items[task] for task in tasks)
        for student in study.students
        for domain, tasks in domains.items()
    }
    single = {f"{ONE_TASK}{task}": items[task] for tasks in domains.values() if len(tasks) > 1 for task in tasks}
    runs = Runs(len(study.seeds), _main_settings(study), len(study.students))
    further = len(free) * len(study.students)
    return plan_comparisons(primary | single, noise=noise, runs=runs, confirmatory=primary, further=further)


def _main_settings(study: Study) -> int:
    """Distilled settings of one student that the primary question is a mean over: teachers times methods."""
    ablated = {"kd_temperature", "teacher_noise_std", "kd_weight", "teacher_condition"}
    methods = {method.model_dump_json(exclude=ablated) for method in study.methods if method.name != SFT}
    return max(1, len(methods) * max(1, len(study.teachers)))

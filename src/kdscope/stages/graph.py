"""From a study to its stages: which step needs which, and what exactly names each of them.

Only what changes a result is a parameter; where things lie (paths, device, threads) is context.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdscope.models.hardware import resolve_device, resolve_dtype
from kdscope.pipeline.fingerprint import JSON, HashCache
from kdscope.pipeline.stage import Cost, Stage
from kdscope.stages import STAGE_VERSIONS, estimate
from kdscope.stages.identity import source_identity, source_place
from kdscope.study.grid import Cell, expand_cells
from kdscope.study.schema import DIVERGENCE_METHODS, ModelSource, Student, Study, Teacher, Tuning

_DIVERGENCES = {"sft": "none", "seqkd": "none", "gkd": "jsd"}


@dataclass(frozen=True)
class Arm:
    """A model that is evaluated: a teacher, a trained student or an untrained one.

    Attributes:
        label: Unique within the study.
        role: teacher, student or base.
        facts: What the tables say of it (student, teacher, method, ...).
        trained: The stage that trained it; None for a model used as it came.
        evaluations: The stage of each task.
        teacher: Label of the teacher arm it learned from, if any.
    """

    label: str
    role: str
    facts: Mapping[str, JSON]
    trained: Stage | None
    evaluations: Mapping[str, Stage]
    teacher: str | None = None


@dataclass(frozen=True)
class StudyPlan:
    """A study as stages: `report` is the last, and everything else is behind it."""

    study: Study
    report: Stage
    analysis: Stage
    arms: tuple[Arm, ...]
    device: str
    dtype: str


@dataclass
class GraphBuilder:
    """Builds the stages of one study; equal stages are made once.

    Attributes:
        study: The study.
        cache: Content hashes of model and data files.
        store_root: Where the store lies, for the causes of failures.
        sizes: What is known of the study's sizes, for costs.
    """

    study: Study
    cache: HashCache
    store_root: Path
    sizes: estimate.Sizes
    device: str = field(init=False)
    dtype: str = field(init=False)

    def __post_init__(self) -> None:
        self.device = resolve_device(self.study.runtime.device)
        self.dtype = resolve_dtype(self.study.runtime.dtype, self.device)

    def build(self) -> StudyPlan:
        """All stages of the study."""
        arms = [*self._teacher_arms(), *self._base_arms(), *map(self._student_arm, expand_cells(self.study))]
        analysis = self._analysis(arms)
        report = self._stage(
            "write_report",
            "report",
            {"name": self.study.name, "description": self.study.description, "scoring": self.study.scoring},
            {"analysis": analysis},
            context={"study": self.study.model_dump(mode="json"), "device": self.device, "dtype": self.dtype},
        )
        return StudyPlan(self.study, report, analysis, tuple(arms), self.device, self.dtype)

    def _stage(
        self, kind: str, label: str, parameters: Mapping[str, JSON], inputs: Mapping[str, Stage], **extra: Any
    ) -> Stage:
        return Stage(kind, label, STAGE_VERSIONS[kind], parameters, inputs, **extra)

    # Data

    def _data(self) -> Stage:
        data = self.study.data
        return self._stage(
            "prepare_data",
            "training data",
            {
                "content": self.cache.hash(data.path),
                "limit": data.limit,
                "validation_items": data.validation_items,
                "seed": data.seed,
            },
            {},
            context={"path": str(data.path)},
        )

    def _task(self, task: str) -> Stage:
        tasks = self.study.tasks
        content = self.cache.hash(tasks.folder / task / "test.json")
        return self._stage(
            "prepare_task",
            f"items of {task}",
            {"task": task, "content": content, "limit": tasks.limit},
            {},
            context={"folder": str(tasks.folder)},
        )

    # Models

    def _teacher_arms(self) -> list[Arm]:
        needed = {(c.teacher.name, c.teacher_condition) for c in expand_cells(self.study) if c.teacher is not None}
        arms = []
        for teacher in self.study.teachers:
            for condition in dict.fromkeys(teacher.condition):
                if (teacher.name, condition) in needed:
                    arms.append(self._teacher_arm(teacher, condition))
        return arms

    def _teacher_arm(self, teacher: Teacher, condition: str) -> Arm:
        label = teacher_label(teacher, condition)
        adapted = self._adapted(teacher) if condition == "adapted" else None
        facts = {"teacher": teacher.name, "teacher_condition": condition, "method": "adapt" if adapted else "base"}
        return Arm(label, "teacher", facts, adapted, self._evaluations(label, teacher, adapted, None, self.sizes.of(teacher)))

    def _base_arms(self) -> list[Arm]:
        if not self.study.evaluation.base_models:
            return []
        arms = []
        for student in self.study.students:
            label = f"{student.name}/base"
            tasks = self._evaluations(label, student, None, self._pruned(student), self.sizes.of(student))
            arms.append(Arm(label, "base", {"student": student.name, "method": "base"}, None, tasks))
        return arms

    def _adapted(self, teacher: Teacher) -> Stage:
        training = self.study.teacher_training or self.study.training
        prompt_in_loss = any(m.name == "sft" and m.prompt_in_loss for m in self.study.methods)
        return self._stage(
            "adapt_teacher",
            f"adapt {teacher.name}",
            {
                "model": self._identity(teacher),
                "prompt_in_loss": prompt_in_loss,
                **self._training_parameters(training, teacher.tuning, self.study.seeds[0]),
            },
            {"data": self._data()},
            context=self._context(training.checkpoint_every_steps, base=source_place(teacher)),
            cost=self.sizes.training(self.sizes.of(teacher), teacher.tuning, training),
        )

    def _pruned(self, student: Student) -> Stage | None:
        if student.keep_layers is None:
            return None
        keep = student.keep_layers
        return self._stage(
            "prepare_student",
            f"prune {student.name}",
            {"model": self._identity(student), "keep_layers": list(keep) if isinstance(keep, tuple) else keep},
            {},
            context={"source": source_place(student)},
            cost=Cost(disk_bytes=self.sizes.of(student).disk_bytes(4)),
        )

    def _student_arm(self, cell: Cell) -> Arm:
        pruned = self._pruned(cell.student)
        stage = self._distilled(cell, pruned)
        facts = {
            "student": cell.student.name,
            "teacher": cell.teacher.name if cell.teacher else None,
            "teacher_condition": cell.teacher_condition,
            "method": cell.method.name,
            "kd_temperature": cell.kd_temperature,
            "kd_weight": cell.kd_weight,
            "teacher_noise_std": cell.teacher_noise_std,
            "seed": cell.seed,
        }
        tasks = self._evaluations(cell.label, cell.student, stage, pruned, self.sizes.of(cell.student))
        teacher = teacher_label(cell.teacher, str(cell.teacher_condition)) if cell.teacher else None
        return Arm(cell.label, "student", facts, stage, tasks, teacher)

    def _distilled(self, cell: Cell, pruned: Stage | None) -> Stage:
        training = self.study.training
        places: dict[str, JSON] = {"base": source_place(cell.student)}
        inputs = {"data": self._data()}
        parameters: dict[str, Any] = {
            "model": self._identity(cell.student),
            "method": method_parameters(cell),
            **self._training_parameters(training, cell.student.tuning, cell.seed),
        }
        if pruned is not None:
            inputs["base"] = pruned
        if cell.method.name in DIVERGENCE_METHODS and cell.teacher is not None:
            parameters["teacher"] = self._identity(cell.teacher)
            places["teacher_base"] = source_place(cell.teacher)
            inputs |= self._adapted_input(cell.teacher, cell.teacher_condition)
        elif cell.teacher is not None:
            inputs["responses"] = self._responses(cell.teacher, str(cell.teacher_condition))
        cost = self.sizes.distillation(cell, training)
        context = self._context(training.checkpoint_every_steps, **places)
        return self._stage("distil_student", f"train {cell.label}", parameters, inputs, context=context, cost=cost)

    def _responses(self, teacher: Teacher, condition: str) -> Stage:
        generation = self.study.teacher_generation
        return self._stage(
            "record_teacher",
            f"responses of {teacher_label(teacher, condition)}",
            {
                "model": self._identity(teacher),
                "generation": generation.model_dump(mode="json"),
                "template": self.study.template,
                "dtype": self.dtype,
                "seed": self.study.seeds[0],
            },
            {"data": self._data(), **self._adapted_input(teacher, condition)},
            context=self._context(base=source_place(teacher)),
            cost=self.sizes.recording(self.sizes.of(teacher), generation.max_new_tokens),
        )

    def _adapted_input(self, teacher: Teacher, condition: str | None) -> dict[str, Stage]:
        return {"teacher": self._adapted(teacher)} if condition == "adapted" else {}

    # Measuring

    def _evaluations(
        self, label: str, source: ModelSource, trained: Stage | None, pruned: Stage | None, shape: estimate.Shape
    ) -> dict[str, Stage]:
        inputs = {role: stage for role, stage in (("model", trained), ("base", pruned)) if stage is not None}
        return {
            task: self._stage(
                "evaluate_model",
                f"{task}: {label}",
                {
                    "task": task,
                    "model": self._identity(source),
                    "evaluation": self.study.evaluation.model_dump(mode="json", exclude={"base_models"}),
                    "template": self.study.template,
                    "dtype": self.dtype,
                },
                {"items": self._task(task), **inputs},
                context=self._context(base=source_place(source)),
                cost=self.sizes.evaluation(shape, task, self.study.evaluation.max_new_tokens),
            )
            for task in self.study.tasks.names
        }

    def _analysis(self, arms: list[Arm]) -> Stage:
        inputs: dict[str, Stage] = {}
        by_label = {arm.label: arm for arm in arms}
        for number, arm in enumerate(arms):
            if arm.trained is not None:
                inputs[f"trained/{number}"] = arm.trained
            inputs |= {f"records/{number}/{task}": stage for task, stage in arm.evaluations.items()}
        for number, arm in enumerate(arms):
            for teacher in self._compared_with(arm, arms):
                inputs[f"pair/{number}/{arms.index(teacher)}"] = self._pair(arm, by_label[teacher.label])
        stages: dict[str, JSON] = {arm.label: [s.identity for s in _own_stages(arm)] for arm in arms}
        return self._stage(
            "analyse_study",
            "analysis",
            {
                "arms": [{"label": arm.label, "role": arm.role, **arm.facts} for arm in arms],
                "tasks": list(self.study.tasks.names),
                "scoring": self.study.scoring,
            },
            inputs,
            tolerates_missing=True,
            context={"stages": stages, "store": str(self.store_root)},
        )

    @staticmethod
    def _compared_with(arm: Arm, arms: list[Arm]) -> list[Arm]:
        """A distilled student is compared with its teacher; a control with every teacher."""
        if arm.role == "teacher":
            return []
        teachers = [other for other in arms if other.role == "teacher"]
        return [t for t in teachers if arm.teacher in (None, t.label)]

    def _pair(self, student: Arm, teacher: Arm) -> Stage:
        tasks = self.study.tasks.names
        sides = (("student", student), ("teacher", teacher))
        inputs = {f"{side}/{task}": arm.evaluations[task] for side, arm in sides for task in tasks}
        label = f"{student.label} ~ {teacher.label}"
        return self._stage("compare_pair", label, {"tasks": list(tasks), "scoring": self.study.scoring}, inputs)

    # Pieces of parameters and context

    def _identity(self, source: ModelSource) -> JSON:
        return source_identity(source, self.cache)

    def _training_parameters(self, training: Any, tuning: Tuning, seed: int) -> dict[str, JSON]:
        return {
            # When a run saves where it is changes nothing about where it goes.
            "training": training.model_dump(mode="json", exclude={"checkpoint_every_steps"}),
            "tuning": tuning.model_dump(mode="json") if tuning.kind == "lora" else _full_tuning(tuning),
            "template": self.study.template,
            "dtype": self.dtype,
            "seed": seed,
        }

    def _context(self, checkpoint_every_steps: int | None = None, **places: JSON) -> dict[str, JSON]:
        context: dict[str, JSON] = {"device": self.device, "threads": self.study.runtime.threads, **places}
        return context | ({"checkpoint_every_steps": checkpoint_every_steps} if checkpoint_every_steps else {})


def teacher_label(teacher: Teacher, condition: str) -> str:
    """How tables and labels name a teacher in one of its conditions."""
    return f"teacher/{teacher.name}" if condition == "adapted" else f"teacher/{teacher.name}@base"


def method_parameters(cell: Cell) -> dict[str, JSON]:
    """What a cell's method comes down to; settings that do not apply are left at neutral values."""
    method = cell.method
    sampled = method.name == "gkd"
    return {
        "divergence": _DIVERGENCES.get(method.name, method.name),
        "kd_weight": cell.kd_weight if cell.kd_weight is not None else 0.0,
        "temperature": cell.kd_temperature if cell.kd_temperature is not None else 1.0,
        "teacher_noise_std": cell.teacher_noise_std or 0.0,
        "beta": method.beta,
        "skew": method.skew,
        "on_policy_probability": method.on_policy_probability if sampled else 0.0,
        "sampling_temperature": method.sampling_temperature if sampled else 1.0,
        "t2_scale": method.t2_scale,
        "prompt_in_loss": method.prompt_in_loss,
        "reduction": method.reduction,
        "probability_epsilon": method.probability_epsilon,
    }


def _own_stages(arm: Arm) -> list[Stage]:
    """What has to succeed for a model to be in the tables, in order."""
    trained = [] if arm.trained is None else [*arm.trained.inputs.values(), arm.trained]
    return [*trained, *arm.evaluations.values()]


def _full_tuning(tuning: Tuning) -> dict[str, JSON]:
    return {"kind": "full", "learning_rate": tuning.learning_rate}



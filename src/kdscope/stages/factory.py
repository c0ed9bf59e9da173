"""How each stage of a study is named: its parameters, its inputs, and where it finds what it reads.

Only what changes a result is a parameter; where things lie (paths, device, threads) is context.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from kdscope.pipeline.fingerprint import JSON, HashCache, fingerprint
from kdscope.pipeline.stage import Cost, Stage
from kdscope.stages import make_stage
from kdscope.stages.choose_rate import role_of
from kdscope.stages.estimate import Sizes
from kdscope.stages.evaluations import Evaluations
from kdscope.stages.identity import model_source_place, source_identity
from kdscope.stages.parameters import (
    answering_parameters,
    expectation_label,
    method_parameters,
    teacher_label,
    threads_of,
    training_parameters,
    training_template,
)
from kdscope.stages.rows import content_of, source_place, split_settings
from kdscope.stages.signal import signal_of
from kdscope.study.arms import DataSource, Student, Teacher
from kdscope.study.grid import Cell
from kdscope.study.schema import Study, Training
from kdscope.tasks import TaskRegistry
from kdscope.training.trackers import check_trackers

TUNING_SEED = 2**31
"""The one seed of every sweep: beyond those that a study may have, so that no final run is among those compared, and
that a further seed of the study changes no sweep."""
_ANOTHER_SEED = 1000
"""From the seed of a teacher to that of its other run: out of the way of seeds that people list."""


@dataclass
class StageFactory:
    """Makes the stages of one study, a method for each kind; equal stages are equal objects.

    Attributes:
        study: The study.
        cache: Content hashes of model and data files.
        sizes: What is known of the study's sizes, for costs.
        registry: The tasks, a person's own included.
        store_root: Where the store lies.
    """

    study: Study
    cache: HashCache
    sizes: Sizes
    registry: TaskRegistry
    store_root: Path
    evaluating: Evaluations = field(init=False)
    _contents: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        study = self.study
        check_trackers(study.runtime.trackers)
        self.evaluating = Evaluations(
            study.tasks, study.evaluation, study.template, study.runtime, self.registry, self.cache, self.sizes
        )
        self.sizes = self.evaluating.sizes

    @property
    def device(self) -> str:
        """Where the study runs."""
        return self.evaluating.device

    @property
    def dtype(self) -> str:
        """The precision it computes in."""
        return self.evaluating.dtype

    def data(self, teacher: Teacher | None = None) -> Stage:
        """Training and validation examples: a teacher's own where it has some, or the study's."""
        own = teacher.data if teacher is not None else None
        data = own or self.study.data
        label = f"training data of {teacher.name}" if teacher is not None and own is not None else "training data"
        parameters: dict[str, JSON] = {"content": self._content_of(data), **split_settings(data)}
        return make_stage("prepare_data", label, parameters, {}, context=source_place(data))

    def prompts(self) -> Stage | None:
        """The unlabelled prompts; None where the study has none."""
        unlabelled = self.study.data.unlabelled
        if unlabelled is None:
            return None
        parameters: dict[str, JSON] = {
            "content": self._content_of(unlabelled),
            "limit": unlabelled.limit,
            "seed": unlabelled.seed,
        }
        return make_stage("prepare_prompts", "unlabelled prompts", parameters, {}, context=source_place(unlabelled))

    def audit(self) -> Stage:
        """Which items of which task stand in what the models learn from."""
        own = [teacher for teacher in self.study.teachers if teacher.data is not None]
        sets = {"data": (self.data(), "the training data")}
        sets |= {f"data/{t.name}": (self.data(t), f"the training data of teacher {t.name}") for t in own}
        if (prompts := self.prompts()) is not None:
            sets["prompts"] = (prompts, "the set of unlabelled prompts")
        names = self.study.tasks.names
        parameters: dict[str, JSON] = {
            "training": {role: name for role, (_, name) in sets.items()},
            "tasks": list(names),
        }
        inputs = {role: stage for role, (stage, _) in sets.items()}
        inputs |= {f"items/{name}": self.evaluating.items(name) for name in names}
        return make_stage("audit_contamination", "contamination audit", parameters, inputs)

    def pruned(self, student: Student) -> Stage | None:
        """The depth-pruned student; None for a student used as it comes."""
        keep = student.keep_layers
        if keep is None:
            return None
        return make_stage(
            "prepare_student",
            f"prune {student.name}",
            {
                "model": source_identity(student, self.cache),
                "keep_layers": list(keep) if isinstance(keep, tuple) else keep,
            },
            {},
            context={"source": model_source_place(student)},
            cost=Cost(disk_bytes=self.sizes.of(student).disk_bytes(4)),
        )

    def adapted(self, teacher: Teacher, *, again: bool = False) -> Stage:
        """The teacher fine-tuned on the training set, with the first seed: one teacher serves every cell.

        `again`: the same with a seed that no model of the study has, and that stays the same when seeds are added.
        """
        training = self.study.teacher_training or self.study.training
        first, seeds = self.study.seeds[0], self.study.seeds
        seed = next(s for s in count(first + _ANOTHER_SEED) if s not in seeds) if again else first
        parameters = {
            "model": source_identity(teacher, self.cache),
            "prompt_in_loss": all(m.prompt_in_loss for m in self.study.methods),
            **training_parameters(self.study, training, teacher.tuning, seed, self.dtype),
        }
        parameters |= self._answered_validation(training)
        cost = self.sizes.training(self.sizes.of(teacher), teacher.tuning, training)
        cost += self._answering(teacher, training, parameters)
        context = self._context(training.checkpoint_every_steps, base=model_source_place(teacher))
        context |= self._tracking(f"{teacher_label(teacher, 'adapted')}{' again' if again else ''}")
        inputs = {"data": self.data(teacher)}
        return make_stage(
            "adapt_teacher",
            f"adapt {teacher.name}{' again' if again else ''}",
            parameters,
            inputs,
            context=context,
            cost=cost,
        )

    def responses(self, teacher: Teacher, condition: str, prompts: Stage | None = None) -> Stage:
        """The teacher's own answers to the prompts of the training set, or to unlabelled ones."""
        generation = self.study.teacher_generation
        parameters = {
            "model": source_identity(teacher, self.cache),
            "generation": generation.model_dump(mode="json"),
            "template": training_template(self.study),
            "dtype": self.dtype,
            "seed": self.study.seeds[0],
        }
        asked = {"data": self.data()} if prompts is None else {"prompts": prompts}
        inputs = {**asked, **self._adapted_input(teacher, condition)}
        count = self.sizes.examples if prompts is None else self.sizes.unlabelled
        cost = self.sizes.recording(self.sizes.of(teacher), count, generation.max_new_tokens)
        context = self._context(base=model_source_place(teacher))
        to = "" if prompts is None else " to unlabelled prompts"
        label = f"responses of {teacher_label(teacher, condition)}{to}"
        return make_stage("record_teacher", label, parameters, inputs, context=context, cost=cost)

    def states(self, teacher: Teacher, condition: str, prompt_in_loss: bool) -> Stage:
        """The teacher's last hidden states on all training sequences."""
        parameters: dict[str, JSON] = {
            "model": source_identity(teacher, self.cache),
            "template": training_template(self.study),
            "dtype": self.dtype,
            "prompt_in_loss": prompt_in_loss,
            "max_length_tokens": self.study.training.max_length_tokens,
        }
        inputs = {"data": self.data(), **self._answered(teacher, condition), **self._adapted_input(teacher, condition)}
        cost = self.sizes.states(self.sizes.of(teacher), self.study.training, prompt_in_loss, bool(self.prompts()))
        context = self._context(teacher_base=model_source_place(teacher))
        prompts = ", prompts included" if prompt_in_loss else ""
        label = f"hidden states of {teacher_label(teacher, condition)}{prompts}"
        return make_stage("record_states", label, parameters, inputs, context=context, cost=cost)

    def expectation(self, cell: Cell, teacher: Teacher) -> Stage:
        """What a cell's student head is expected to say under the teacher; equal for all students with this head."""
        condition, prompt_in_loss = str(cell.teacher_condition), cell.method.prompt_in_loss
        noise = cell.teacher_noise_std or 0.0
        parameters: dict[str, JSON] = {
            "model": source_identity(cell.student, self.cache),
            "template": training_template(self.study),
            "dtype": self.dtype,
            "prompt_in_loss": prompt_in_loss,
            "max_length_tokens": self.study.training.max_length_tokens,
            "temperature": cell.kd_temperature,
            "teacher_noise_std": noise,
            "seed": cell.seed if noise else 0,  # of the noise, the only thing here that is drawn
        }
        inputs = {
            "states": self.states(teacher, condition, prompt_in_loss),
            "data": self.data(),
            **self._answered(teacher, condition),
        }
        cost = self.sizes.expectation(
            self.sizes.of(cell.student),
            self.sizes.of(teacher),
            self.study.training,
            prompt_in_loss,
            bool(self.prompts()),
        )
        context = self._context(base=model_source_place(cell.student), teacher_base=model_source_place(teacher))
        label = f"expectations of {teacher_label(teacher, condition)} for {expectation_label(cell)}"
        return make_stage("cache_expectation", label, parameters, inputs, context=context, cost=cost)

    def distilled(self, cell: Cell) -> Stage:
        """One trained student, at the learning rate of its arm."""
        choice = self.chosen(cell)
        return self._distilled(cell, {} if choice is None else {"choice": choice})

    def chosen(self, cell: Cell) -> Stage | None:
        """The learning rate of a cell's arm, which all its seeds share; None where the study gives the rate.

        Every arm, the control included, tries the same rates with the same seed.
        """
        rates = cell.student.tuning.learning_rate
        if not isinstance(rates, tuple):
            return None
        arm = cell.label.rpartition("/")[0]
        parameters: dict[str, JSON] = {"rates": list(rates)}
        runs = {role_of(rate): self._swept(cell, arm, rate) for rate in rates}
        return make_stage("choose_rate", f"learning rate of {arm}", parameters, runs, tolerates_missing=True)

    def _swept(self, cell: Cell, arm: str, rate: float) -> Stage:
        """A run of the sweep: the cell at one rate, its answers to the validation split scored."""
        tuning = cell.student.tuning.model_copy(update={"learning_rate": rate})
        student = cell.student.model_copy(update={"tuning": tuning})
        run = replace(cell, label=f"{arm}/lr{rate!r}", student=student, seed=TUNING_SEED)
        return self._distilled(run, {}, answered=True)

    def _distilled(self, cell: Cell, inputs: Mapping[str, Stage], *, answered: bool = False) -> Stage:
        training, signal = self.study.training, signal_of(cell, self.study.teacher_signal)
        places: dict[str, JSON] = {"base": model_source_place(cell.student)}
        inputs = {"data": self.data(), **inputs}
        parameters: dict[str, Any] = {
            "model": source_identity(cell.student, self.cache),
            "method": method_parameters(cell),
            **training_parameters(self.study, training, cell.student.tuning, cell.seed, self.dtype),
            **self._answered_validation(training, answered=answered),
        }
        if (pruned := self.pruned(cell.student)) is not None:
            inputs["base"] = pruned
        if cell.teacher is not None:
            places["teacher_base"] = model_source_place(cell.teacher)
            inputs |= self._taught(cell, cell.teacher, signal)
        if cell.teacher is not None and "live" in signal:
            parameters["teacher"] = source_identity(cell.teacher, self.cache)
        cost = self.sizes.distillation(cell, training, signal) + self._answering(cell.student, training, parameters)
        context = self._context(training.checkpoint_every_steps, signal=signal, **places)
        context |= self._tracking(cell.label)
        return make_stage("distil_student", f"train {cell.label}", parameters, inputs, context=context, cost=cost)

    def made(self, source: Teacher | Student, trained: Stage | None) -> dict[str, Stage]:
        """The stages that a model comes from, by role; none for a model used as it comes."""
        pruned = self.pruned(source) if isinstance(source, Student) else None
        return {role: stage for role, stage in (("model", trained), ("base", pruned)) if stage is not None}

    def _answered_validation(self, training: Training, *, answered: bool = False) -> dict[str, JSON]:
        """How the validation split is answered, where the rule or the sweep compares answers."""
        needed = answered or training.keep == "best_accuracy"
        return answering_parameters(self.study.evaluation) if needed else {}

    def _answering(self, model: Teacher | Student, training: Training, parameters: Mapping[str, JSON]) -> Cost:
        if "validation" not in parameters:
            return Cost()
        return self.sizes.answering(self.sizes.of(model), training, self.study.evaluation.max_new_tokens)

    def _content_of(self, source: DataSource) -> str:
        return self._once(source_place(source), lambda: content_of(source, self.cache))

    def _once(self, place: Mapping[str, JSON], make: Callable[[], str]) -> str:
        # Every cell asks for the same few contents, and making up problems takes longer than all other planning.
        key = fingerprint(dict(place))
        if key not in self._contents:
            self._contents[key] = make()
        return self._contents[key]

    def _taught(self, cell: Cell, teacher: Teacher, signal: str) -> dict[str, Stage]:
        """What a student gets from its teacher, by the path it takes; and the answers to unlabelled prompts."""
        condition = str(cell.teacher_condition)
        inputs = self._answered(teacher, condition)
        if signal == "words":
            inputs |= {"responses": self.responses(teacher, condition)}
        if signal == "expectation":
            inputs |= {"expectation": self.expectation(cell, teacher)}
        if "replay" in signal:
            inputs |= {"states": self.states(teacher, condition, cell.method.prompt_in_loss)}
        if "live" in signal:
            inputs |= self._adapted_input(teacher, condition)
        return inputs

    def _answered(self, teacher: Teacher, condition: str) -> dict[str, Stage]:
        """The unlabelled prompts, where the study has some, and the teacher's answers."""
        prompts = self.prompts()
        if prompts is None:
            return {}
        return {"prompts": prompts, "prompt_responses": self.responses(teacher, condition, prompts)}

    def _adapted_input(self, teacher: Teacher, condition: str) -> dict[str, Stage]:
        return {"teacher": self.adapted(teacher)} if condition == "adapted" else {}

    def _tracking(self, run: str) -> dict[str, JSON]:
        """Who is told of a training run; context, as it changes nothing about what comes out."""
        runtime = self.study.runtime
        if not runtime.trackers:
            return {}
        folder = (runtime.tracking_folder or self.store_root / "tracking").absolute() / self.study.name
        trackers: list[JSON] = list(dict.fromkeys(runtime.trackers))
        return {"tracking": {"trackers": trackers, "project": self.study.name, "run": run, "folder": str(folder)}}

    def _context(self, checkpoint_every_steps: int | None = None, **places: JSON) -> dict[str, JSON]:
        context: dict[str, JSON] = {"device": self.device, "threads": threads_of(self.study.runtime), **places}
        return context | ({"checkpoint_every_steps": checkpoint_every_steps} if checkpoint_every_steps else {})

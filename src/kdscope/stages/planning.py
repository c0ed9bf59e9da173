"""Planning shared by all kinds of stages: typed parameters, models named by content, stages made once.

Only what changes a result is a parameter; where things lie (paths, device, threads) is context, of which
`model_place` and `models.py` read what a running stage needs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import update_wrapper
from pathlib import Path
from typing import Annotated, Concatenate, Literal, ParamSpec, Self, TypeVar, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
)

from kdscope.core.errors import ModelError, StoreError
from kdscope.core.extensions import loaded_extensions
from kdscope.models.files import check_model, files_read
from kdscope.models.hardware import resolve_device, resolve_dtype
from kdscope.models.source import ModelPlace
from kdscope.pipeline.fingerprint import JSON, HashCache, fingerprint, hash_tree
from kdscope.pipeline.run import StageContext
from kdscope.pipeline.stage import Cost, Stage
from kdscope.stages.cost import Sizes
from kdscope.study.arms import ModelSource, Teacher, Tuning
from kdscope.study.schema import Evaluation, Runtime, Study, Tasks, Training
from kdscope.tasks import TaskRegistry, built_in_registry, get_template, task_from_json, task_to_json
from kdscope.training.trackers import check_trackers

Context = TypeVar("Context", bound="EvaluationContext")
Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")


class Params(BaseModel):
    """The parameters of a kind of stage: with its inputs, all that decides what comes out.

    Fields with a default are left out of the identity where they have it, so that a setting which came later changes
    no stage that does without it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    extensions: tuple[str, ...] = ()
    """SHA-256 of a user's files that add to kdscope something this stage uses."""

    @classmethod
    def of(cls, stage: Stage) -> Self:
        """The parameters of a stage.

        Raises:
            StoreError: They are not those of this kind of stage.
        """
        try:
            return cls.model_validate_json(json.dumps(stage.parameters))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in first["loc"])
            raise StoreError(f"{stage.label}: parameter {key} of {stage.kind}: {first['msg']}") from error

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        told: dict[str, object] = handler(self)
        return {name: value for name, value in told.items() if not self._is_left_out(name)}

    def _is_left_out(self, name: str) -> bool:
        field = type(self).model_fields[name]
        return not field.is_required() and bool(getattr(self, name) == field.default)


class ModelIdentity(Params):
    """A source model: the hash of a folder's files, or a hub repository at a commit; and whether it brings code."""

    content: str | None = None
    hub: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False


class TaskParams(Params):
    """Parameters of a stage that reads tasks."""

    own_tasks: tuple[dict[str, object], ...] = ()
    """A person's own tasks among these, declared in full, as a stage knows nothing but its parameters."""

    def registry(self) -> TaskRegistry:
        """The built-in tasks, and those that the parameters declare."""
        return built_in_registry().extended(task_from_json(told) for told in self.own_tasks)


Ends = Literal["eos", "turn"]


def ends_of(template: str) -> Ends:
    """What ends a response in a prompt template."""
    return "turn" if get_template(template).chat else "eos"


class PromptParams(Params):
    """Parameters of a stage that puts questions into a prompt template."""

    template: str
    ends: Ends = "eos"
    """What ends a response: the tokenizer's end token or, in a chat template, the token that ends its turns."""


class TaskSampleParams(TaskParams, PromptParams):
    """Parameters of a stage that reads a subsample of every task's items."""

    tasks: tuple[str, ...]
    items: int | None
    """Of each task; None for all."""
    seed: int
    """Decides which."""
    dtype: str


class AnswerSettings(Params):
    """How answers are written where it is not the evaluation itself that asks: greedily, in this batch plan."""

    max_new_tokens: int
    batch_size: int
    batch_tokens: int
    stop_texts: tuple[str, ...]
    backend: str | None = None


def _training_json(training: Training) -> dict[str, object]:
    # When a run saves where it is changes nothing about where it goes.
    left_out = {"checkpoint_every_steps", *training.idle_settings()}
    return training.model_dump(mode="json", exclude=left_out, exclude_none=True)


def _tuning_json(tuning: Tuning) -> dict[str, object]:
    return tuning.model_dump(mode="json", exclude=set(tuning.idle_settings()))


class TrainingParams(PromptParams):
    """What decides how a model is trained, beside its method and its data."""

    model: ModelIdentity
    training: Annotated[Training, PlainSerializer(_training_json)]
    tuning: Annotated[Tuning, PlainSerializer(_tuning_json)]
    dtype: str
    seed: int
    validation: AnswerSettings | None = None
    """How the validation split is answered, where the rule or the sweep compares answers."""


@dataclass(frozen=True)
class StageKind:
    """A kind of stage.

    Attributes:
        module: The module with its parameters, its plan and its `run`; the kind is called as the module.
        version: Goes up when the code changes what it writes: its outputs, and all that follow from them, are made
            anew.
    """

    module: str
    version: int

    @property
    def name(self) -> str:
        """What stages of the kind have as their kind."""
        return self.module.rpartition(".")[2]

    def stage(
        self,
        label: str,
        parameters: Params,
        inputs: Mapping[str, Stage],
        *,
        context: Mapping[str, JSON] | None = None,
        cost: Cost = Cost(),
        tolerates_missing: bool = False,
    ) -> Stage:
        """A stage of this kind, at its present version; its context tells the extensions that are loaded."""
        place = dict(context or {})
        if extensions := loaded_extensions():
            place["extensions"] = extensions
        told = parameters.model_dump(mode="json")
        return Stage(self.name, label, self.version, told, inputs, cost, tolerates_missing, place)


def once(plan: Callable[Concatenate[Context, Arguments], Value]) -> Callable[Concatenate[Context, Arguments], Value]:
    """A function of a planning context that remembers there what it returned: every cell asks for the same stages."""

    def remembered(context: Context, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Value:
        return context.remember((plan, args, tuple(kwargs.items())), lambda: plan(context, *args, **kwargs))

    update_wrapper(remembered, plan)
    return remembered


@dataclass
class EvaluationContext:
    """What planning the evaluation of models needs to know.

    Attributes:
        tasks: What is asked, task names canonical.
        evaluation: How it is answered.
        template: The prompt template.
        runtime: Where it runs.
        registry: The tasks, a person's own included.
        cache: Content hashes of model and data files.
        sizes: What is known of sizes, for costs.
        device: The device resolved.
        dtype: The precision resolved.
        memory: What `once` remembers.
    """

    tasks: Tasks
    evaluation: Evaluation
    template: str
    runtime: Runtime
    registry: TaskRegistry
    cache: HashCache
    sizes: Sizes
    device: str = field(init=False)
    dtype: str = field(init=False)
    memory: dict[Hashable, object] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self.device = resolve_device(self.runtime.device)
        self.dtype = resolve_dtype(self.runtime.dtype, self.device)
        self.sizes = replace(self.sizes, bytes_per_weight=4 if self.dtype == "float32" else 2)

    def remember(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """What `make` returned when it was first asked for under this key."""
        if key not in self.memory:
            self.memory[key] = make()
        return cast(Value, self.memory[key])

    @property
    def threads(self) -> int | None:
        """CPU threads of every process that works on the study; None leaves it to torch."""
        runtime = self.runtime
        if runtime.threads is not None or runtime.workers == 1:
            return runtime.threads
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cores // runtime.workers)

    @once
    def model(self, source: ModelSource) -> ModelIdentity:
        """`source_identity`, with the content hashes of this plan."""
        return source_identity(source, self.cache)

    def place(self, **sources: ModelSource) -> dict[str, JSON]:
        """Where a stage computes and finds its models, by role: context of a stage."""
        places: dict[str, JSON] = {role: model_source_place(source) for role, source in sources.items()}
        return {"device": self.device, "threads": self.threads, **places}

    def share(self, items: int) -> float:
        """The part of all items that a subsample of so many of each task is."""
        counts = [self.sizes.items[name] for name in self.tasks.names]
        return sum(min(items, count) for count in counts) / max(1, sum(counts))

    def own_tasks(self, *names: str) -> tuple[dict[str, object], ...]:
        """A person's own tasks among these, declared in full."""
        return own_tasks_among(self.registry, names)


@dataclass
class StudyContext(EvaluationContext):
    """What planning a study needs to know.

    Attributes:
        study: The study.
        store_root: Where the store lies.
    """

    study: Study
    store_root: Path

    @classmethod
    def of(cls, study: Study, registry: TaskRegistry, cache: HashCache, sizes: Sizes, store_root: Path) -> Self:
        """The context of a study."""
        asked = (study.tasks, study.evaluation, study.template, study.runtime)
        return cls(*asked, registry, cache, sizes, study, store_root)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_trackers(self.study.runtime.trackers)

    @property
    def training_template(self) -> str:
        """The prompt template of training; the published code trains and evaluates on prompts that differ in spaces."""
        return "published_training" if self.template == "published" else self.template

    def training_place(self, run: str, training: Training, **sources: ModelSource) -> dict[str, JSON]:
        """`place`, how often the run saves where it is, and who is told of it."""
        place = self.place(**sources) | {"checkpoint_every_steps": training.checkpoint_every_steps}
        if not self.runtime.trackers:
            return place
        folder = (self.runtime.tracking_folder or self.store_root / "tracking").absolute() / self.study.name
        trackers: list[JSON] = list(dict.fromkeys(self.runtime.trackers))
        told: JSON = {"trackers": trackers, "project": self.study.name, "run": run, "folder": str(folder)}
        return place | {"tracking": told}

    def validation(self, training: Training, *, answered: bool = False) -> AnswerSettings | None:
        """How the validation split is answered, where the rule (or the caller) compares answers."""
        if not answered and training.keep != "best_accuracy":
            return None
        return answer_settings(self.evaluation)

    def validation_cost(self, model: ModelSource, training: Training, validation: AnswerSettings | None) -> Cost:
        """What the answers to the validation split cost."""
        if validation is None:
            return Cost()
        return self.sizes.answering(self.sizes.of(model), training, validation.max_new_tokens)


def own_tasks_among(registry: TaskRegistry, names: Iterable[str]) -> tuple[dict[str, object], ...]:
    """Those of these tasks that do not come with kdscope, declared in full."""
    built_in = built_in_registry()
    own = [task for name in names if (task := registry.get(name)).name not in built_in]
    # Where a task's file lies changes nothing; what stands in it is told apart.
    return tuple({key: value for key, value in task_to_json(task).items() if key != "file"} for task in own)


def answer_settings(evaluation: Evaluation, backend: str | None = None) -> AnswerSettings:
    """Settings of a study's evaluation, greedy."""
    return AnswerSettings(
        max_new_tokens=evaluation.max_new_tokens,
        batch_size=evaluation.batch_size,
        batch_tokens=evaluation.batch_tokens,
        stop_texts=evaluation.stop_texts,
        backend=backend,
    )


def source_identity(source: ModelSource, cache: HashCache) -> ModelIdentity:
    """Content hash of a folder's model files, or repository and pinned commit.

    Raises:
        ModelError: A file of the model cannot be read or is no such file, or a local folder hides the hub repository.
    """
    if source.path is None:
        if Path(str(source.hub)).is_dir():
            # transformers would load the folder and ignore the pinned commit.
            raise ModelError(f"hub model {source.hub}: a folder of that name lies here and would be loaded instead")
        return ModelIdentity(hub=source.hub, revision=source.revision, trust_remote_code=source.trust_remote_code)
    check_model(source.path, trusted=source.trust_remote_code)
    try:
        content = fingerprint(hash_tree(source.path, files_read(source.path), cache))
    except OSError as error:
        raise ModelError(f"cannot read the model in {source.path}: {error.strerror or error}") from error
    return ModelIdentity(content=content, trust_remote_code=source.trust_remote_code)


def model_source_place(source: ModelSource) -> dict[str, JSON]:
    """Where to load a source model from, as the context of a stage."""
    location = str(source.path) if source.path is not None else str(source.hub)
    return asdict(ModelPlace(location, source.revision, trust_remote_code=source.trust_remote_code))


def model_place(context: StageContext, base: str, trained: str | None = None) -> ModelPlace:
    """Where a running stage finds a model: a source or a prepared student, and what was trained on it, if anything.

    Args:
        context: The running stage's.
        base: Role of the base model: where it comes from is in the stage's context; if it was prepared, it is an input.
        trained: Role of the stage that trained it.
    """
    place = TypeAdapter(ModelPlace).validate_python(context.stage.context[base])
    if base in context.inputs:
        place = ModelPlace(str(context.inputs[base] / "model"), trust_remote_code=place.trust_remote_code)
    if trained is None or trained not in context.inputs:
        return place
    folder = context.inputs[trained] / "model"
    if (folder / "adapter_config.json").exists():
        return replace(place, adapter=str(folder))
    return ModelPlace(str(folder), trust_remote_code=place.trust_remote_code)


def teacher_label(teacher: Teacher, condition: str) -> str:
    """How tables and labels name a teacher in one of its conditions."""
    return f"teacher/{teacher.name}" if condition == "adapted" else f"teacher/{teacher.name}@base"

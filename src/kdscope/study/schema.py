"""The schema of a study: every setting, with its unit, its default and its possible values.

Everything is frozen and unknown keys are forbidden. A field that says "list" takes one value or several; several
values multiply the grid. Durations are steps, lengths are tokens, temperatures divide logits.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from kdscope.results.backends import BACKENDS
from kdscope.results.methods import SFT, has_divergence
from kdscope.study.arms import (
    Method,
    Student,
    Teacher,
    TrainingData,
)
from kdscope.study.fields import (
    MAX_ENTRIES,
    BatchSize,
    BatchTokens,
    Items,
    LearningRate,
    MiniRows,
    Name,
    OneOf,
    PathField,
    Points,
    Rows,
    SamplingTemperature,
    Seed,
    SeedList,
    Settings,
    Steps,
    Temperature,
    Tokens,
    as_list,
    check_name,
    name_only,
)

TeacherSignal = Literal["auto", "replay", "live"]
KeepRule = Literal["last", "best_accuracy", "best_loss"]


MAX_TRAININGS = 10_000
"""Of a study, those that compare learning rates included."""
MAX_EVALUATIONS = 100_000
"""Of a study: trained models times tasks times decoding seeds."""


def _trials(student: Student) -> int:
    """Trainings of each arm that compare learning rates."""
    rates = student.tuning.learning_rate
    return len(rates) if isinstance(rates, tuple) else 0


class Tasks(Settings):
    """What is asked of every model."""

    folder: PathField | None = None
    """Folder with <task>/test.json; relative to the study file. The mini tasks need none: they are generated."""
    definitions: PathField | None = None
    """Folder with tasks of your own (YAML or Python files); relative to the study file. docs/tasks.md shows one."""
    names: Annotated[tuple[str, ...], Field(max_length=MAX_ENTRIES), BeforeValidator(as_list)]
    """List of task names; `kdscope tasks` shows them. [] trains the students without evaluating them."""
    limit: Rows | None = None
    """Use the first this many items of each task."""
    mini_items: MiniRows = 200
    """Items of each mini task, from its test split."""
    mini_seed: Seed = 0
    """Another seed, other items of the mini tasks."""
    exclude_contaminated: bool = False
    """Leave items that a training set holds out of the conclusions. Both results are always in the tables."""

    @field_validator("names")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"task '{name}' is listed twice")
        return names


class Training(Settings):
    """Optimisation, the same for every arm."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 3
    """Passes over the training set."""
    max_steps: Steps | None = None
    """Optimiser steps, each of a full batch, instead of epochs: arms with more and with fewer examples train alike."""
    batch_size_sequences: BatchSize = 16
    """Sequences per optimiser step, over all devices."""
    micro_batch_tokens: BatchTokens = 2048
    """Most tokens (padding included) in one forward pass; gradients accumulate over the rest of the step."""
    learning_rate: LearningRate = 3e-4
    """Peak learning rate of AdamW."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """After warm-up; linear and cosine end at 0."""
    warmup_steps: Annotated[float, Field(ge=0, le=10_000_000)] = 0.05
    """Steps of linear warm-up; below 1, a share of all steps."""
    weight_decay: Annotated[float, Field(ge=0, le=100)] = 0.0
    """AdamW's decoupled weight decay."""
    gradient_clip_norm: Annotated[float, Field(gt=0, le=1e9)] = 1.0
    """Gradients are scaled down to this norm."""
    max_length_tokens: Annotated[int, Field(ge=8, le=1_000_000)] = 512
    """Prompt and response together; longer ones lose the end of the response."""
    checkpoint_every_steps: Steps = 50
    """How often a running cell saves where it is; changes no result."""
    validate_every_steps: Steps = 50
    """How often validation is measured, for every arm alike; the last step is always among these."""
    keep: KeepRule = "last"
    """Whose weights a model has in the end. last: of the last step; best_accuracy: of the step with the best score on
    greedy answers to the validation split, ties to the later one (docs/distillation.md tells the score); best_loss: of
    the step with the lowest cross-entropy on its references, which favours methods that minimise it."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""

    @model_validator(mode="after")
    def _settings_apply(self) -> Self:
        self.refuse_idle("training that is counted in max_steps")
        return self

    def idle_settings(self) -> frozenset[str]:
        """Epochs, where steps are given."""
        return frozenset() if self.max_steps is None else frozenset({"epochs"})


class TeacherGeneration(Settings):
    """How the teacher writes the responses that seqkd trains on."""

    sampling_temperature: SamplingTemperature = 0.0
    """0 is greedy."""
    max_new_tokens: Tokens = 256
    """Tokens, at most."""
    batch_size: BatchSize = 32
    """Prompts generated together."""


class Evaluation(Settings):
    """Zero-shot generative evaluation."""

    max_new_tokens: Tokens = 256
    """Tokens, at most, per completion."""
    batch_size: BatchSize = 32
    """Most items generated together; part of the fixed batch plan."""
    batch_tokens: BatchTokens = 32768
    """Most tokens generated together: items times the longest prompt and its answer."""
    sampling_temperature: SamplingTemperature = 0.0
    """0 is greedy decoding."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus sampling, when sampling."""
    decoding_seeds: SeedList = (0,)
    """List. Seeds of the sampling; every item is answered once for each, and its score is the mean."""
    stop_texts: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...], Field(max_length=MAX_ENTRIES), BeforeValidator(as_list)
    ] = ("### Instruction",)
    """List. A completion ends where one of these begins: a model that writes the next instruction is done."""
    backend: Annotated[str, OneOf(lambda: tuple(BACKENDS))] = "transformers"
    """What generates; vllm needs a GPU and `pip install kdscope[vllm]`."""
    base_models: bool = False
    """Evaluate the untrained students too."""


class Fidelity(Settings):
    """How like their teachers the students are."""

    ceiling: Literal["second_seed", "resampled", "identity", "none"] = "second_seed"
    """What a student's likeness is held against from above. second_seed: the teacher adapted once more with another
    seed, decoded as the students are; a teacher that is not adapted has no second seed, and its ceiling is identity.
    resampled: the same teacher, its answers sampled. identity: the teacher against itself, as a perfect copy is."""
    ceiling_temperature: Temperature = 1.0
    """Sampling temperature of a resampled teacher, where the evaluation itself is greedy."""
    distribution_items: Items = 100
    """Items of each task that teacher and student both read, token by token; 0 leaves distributions and calibration
    out. Students with another vocabulary than their teacher have none."""
    probe_items: Items = 0
    """Items of each task on which reasoning is probed: answered early, from a trace with a mistake, from the teacher's
    trace. Each costs about as much as ten answers; 0 leaves the probes out."""
    seed: Seed = 0
    """Decides which items these are, and the draws of intervals and floors."""


class Analysis(Settings):
    """What is asked of the results, settled before they are seen."""

    primary_temperature: Temperature | None = None
    """Temperature of the primary question, whether each student gains over its SFT control. Where absent: 1 if the
    study has it, else its first. Other temperatures are explored."""
    equivalence_margin: Points = 1.0
    """Methods that differ by less than this many percentage points count as equal."""
    fidelity_margin: Points = 1.0
    """A method whose fidelity is lower than another's by less than this many percentage points counts as not less
    faithful."""


class Runtime(Settings):
    """Where and in which precision; 'auto' looks at the machine."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto: a GPU where there is one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 where CPU or GPU compute in it, else float32."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """CPU threads of each worker; where absent, torch's choice for one, and an equal share of the cores for several."""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Processes that work side by side, each on stages of its own. Worth it for small models on a CPU."""
    trackers: Annotated[tuple[Literal["tensorboard", "wandb", "trackio", "mlflow"], ...], BeforeValidator(as_list)] = ()
    """List. Who else is told of every training step as it is done; changes no result. They come with
    `pip install kdscope[trackers]`."""
    tracking_folder: PathField | None = None
    """Where trackers write their files, a folder for each study; 'tracking' in the store where absent."""


class Study(Settings):
    """A whole study: every teacher, student and method, trained and evaluated alike."""

    name: Name
    """Names the folder of the results."""
    description: str = ""
    """A sentence or two for the report."""
    preset: Literal["published"] | None = None
    """Start from these settings: 'published' follows the code of arXiv 2505.15442."""
    extensions: Annotated[tuple[PathField, ...], Field(max_length=MAX_ENTRIES), BeforeValidator(as_list)] = ()
    """List. Python files of yours that add methods, tasks, measures and more (docs/extending.md); relative to the study
    file. They are run."""
    data: TrainingData
    tasks: Tasks
    teachers: Annotated[tuple[Teacher, ...], Field(max_length=MAX_ENTRIES), BeforeValidator(as_list)] = ()
    students: Annotated[tuple[Student, ...], Field(min_length=1, max_length=MAX_ENTRIES), BeforeValidator(as_list)]
    methods: Annotated[
        tuple[Annotated[Method, BeforeValidator(name_only)], ...],
        BeforeValidator(as_list),
        Field(min_length=1, max_length=MAX_ENTRIES),
    ]
    seeds: SeedList = (0,)
    """List. Seeds of data order, adapters and sampling; each is a repetition of every cell."""
    template: Literal["alpaca", "published", "plain", "chat"] = "alpaca"
    """Prompt template of training and evaluation. chat: the template of each model's tokenizer; plain: none."""
    scoring: Literal["robust", "published"] = "robust"
    """The scoring that the conclusions use; both are always recorded."""
    training: Training = Training()
    teacher_training: Training | None = None
    """How teachers are adapted, with the first of the seeds; what it does not say is as in 'training'."""
    teacher_signal: TeacherSignal = "auto"
    """How students that compare distributions hear their teacher. auto: it reads the training set once, and every
    student replays that recording (forward KL with a frozen head: condensed further, to one vector a token). replay:
    without condensing. live: the teacher runs beside each student; needs no disk. What a gkd student samples is always
    read live."""
    teacher_generation: TeacherGeneration = TeacherGeneration()
    evaluation: Evaluation = Evaluation()
    fidelity: Fidelity = Fidelity()
    analysis: Analysis = Analysis()
    runtime: Runtime = Runtime()

    _name = field_validator("name")(check_name)

    @field_validator("evaluation")
    @classmethod
    def _greedy_has_one_seed(cls, evaluation: Evaluation) -> Evaluation:
        if evaluation.sampling_temperature == 0 and len(evaluation.decoding_seeds) > 1:
            raise ValueError(
                "several decoding_seeds need a sampling_temperature above 0: greedy decoding knows no seed"
            )
        return evaluation

    @field_validator("teachers", "students")
    @classmethod
    def _names_differ(cls, models: tuple[Teacher | Student, ...]) -> tuple[Teacher | Student, ...]:
        names = [model.name for model in models]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two are named '{name}'; every name must be its own")
        return models

    @model_validator(mode="after")
    def _steps_are_equal(self) -> Self:
        if self.data.unlabelled is not None and self.training.max_steps is None:
            raise ValueError(
                "with 'data.unlabelled', students that see those prompts have more examples than the SFT control, and "
                "epochs would give them more steps too: set training.max_steps"
            )
        return self

    @model_validator(mode="after")
    def _validation_is_there(self) -> Self:
        """A rule that compares steps or learning rates needs items to compare them on."""
        if self.data.validation_items == 0:
            if self.training.keep != "last":
                raise ValueError(f"'training.keep' is {self.training.keep}, and 'data.validation_items' is 0")
            if any(isinstance(student.tuning.learning_rate, tuple) for student in self.students):
                raise ValueError(
                    "a list of learning rates is compared on validation items, and 'data.validation_items' is 0"
                )
        training = self.teacher_training or self.training
        for teacher in self.teachers:
            if training.keep != "last" and (teacher.data or self.data).validation_items == 0:
                raise ValueError(
                    f"'teacher_training.keep' is {training.keep}, and {teacher.name} has no validation items"
                )
        return self

    @model_validator(mode="after")
    def _grid_can_be_held(self) -> Self:
        """Counted before anything is multiplied out."""
        arms = sum(map(self._arms, self.methods))
        trained = arms * sum(len(self.seeds) + _trials(student) for student in self.students)
        answered = trained * len(self.tasks.names) * len(self.evaluation.decoding_seeds)
        for count, what, limit in ((trained, "trainings", MAX_TRAININGS), (answered, "evaluations", MAX_EVALUATIONS)):
            if count > limit:
                raise ValueError(
                    f"'methods' and the other lists multiply to {count} {what}; a study has at most {limit}"
                )
        return self

    def _arms(self, method: Method) -> int:
        """How many arms of each student and seed an entry of `methods` makes."""
        if method.name == SFT:
            return 1
        points = len(method.kd_temperature) * len(method.kd_weight) * len(method.teacher_noise_std)
        pairs = sum(len(method.teacher_condition or teacher.condition) for teacher in self.teachers)
        return pairs * (points if has_divergence(method.name) else 1)

    @field_validator("methods")
    @classmethod
    def _teachers_exist(cls, methods: tuple[Method, ...], info: ValidationInfo) -> tuple[Method, ...]:
        needing = [method.name for method in methods if method.name != SFT]
        if needing and info.data.get("teachers") == ():
            raise ValueError(f"method '{needing[0]}' needs at least one teacher")
        return methods

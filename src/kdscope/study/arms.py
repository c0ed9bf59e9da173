"""Settings of what a study trains: data, teachers, students, and the methods between them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from kdscope.results.methods import (
    FORWARD_KL,
    METHODS,
    SFT,
    Value,
    has_divergence,
    method_names,
    training_texts,
    usual_share,
)
from kdscope.study.fields import (
    MAX_ENTRIES,
    MAX_OWN_NUMBER,
    Fraction,
    FractionList,
    Items,
    LearningRate,
    MiniRows,
    Name,
    NoiseStdList,
    OneOf,
    OwnSettings,
    PathField,
    Rows,
    Seed,
    Settings,
    Temperature,
    TemperatureList,
    as_list,
    check_name,
    frozen_list,
    list_or_none,
    one_or_several,
    tuning_kind_only,
)

Condition = Literal["adapted", "base"]
MethodName = Annotated[str, OneOf(method_names)]
WarmStart = Annotated[str, OneOf(lambda: (SFT, FORWARD_KL))]
LearningRates = Annotated[
    LearningRate
    | Annotated[tuple[LearningRate, ...], Field(min_length=2, max_length=100, json_schema_extra={"uniqueItems": True})],
    BeforeValidator(one_or_several),
]
_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_TYPES = {
    bool: "true or false",
    float: f"a number of at most {MAX_OWN_NUMBER:g}",
    int: f"a whole number of at most {MAX_OWN_NUMBER:g}",
    str: "text",
}
_HUB = re.compile(r"^(?:[A-Za-z0-9][A-Za-z0-9._-]*/)?[A-Za-z0-9][A-Za-z0-9._-]*$")


def _only(key: str, kind: str) -> dict[str, Any]:
    """JSON schema of the rule `DataSource._one_source`: this key is there, and not null."""
    return {"required": [key], "properties": {key: {"type": kind}}}


class MiniProblems(Settings):
    """Generated problems of the mini tasks' training split, instead of a file."""

    tasks: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_ENTRIES), BeforeValidator(as_list)]
    """List of mini tasks; `kdscope tasks` shows them."""
    rows_per_task: MiniRows
    """Problems of each of these tasks."""
    skip_per_task: Items = 0
    """Leave out this many first, so that two sets of the same seed have no text in common; quantities may recur."""
    seed: Seed = 0
    """Another seed, other problems."""


class DataSource(Settings):
    """Where rows come from: a file, or the generator of the mini tasks."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_only("path", "string"), _only("mini", "object")]})

    path: PathField | None = None
    """JSON (a list) or JSONL; relative to the study file."""
    mini: MiniProblems | None = None
    """Generated problems, instead of a file."""
    limit: Rows | None = None
    """Use this many rows, drawn with the data seed, instead of all."""
    seed: Seed = 0
    """Decides which rows are used and which are held out; the same for every arm."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.mini is None):
            raise ValueError("give either 'path' (a file) or 'mini' (generated problems)")
        return self


class UnlabelledPrompts(DataSource):
    """Prompts without an answer: the teacher answers them, and every student but the SFT control learns from that.

    Rows as in the training set; an output they may have is not looked at.
    """


class LabelledData(DataSource):
    """A training set: rows with instruction, input (may be empty) and output."""

    validation_items: Items = 100
    """Rows held out for the validation loss."""


class TrainingData(LabelledData):
    """The students' training set, and the teachers' where they have none of their own."""

    unlabelled: UnlabelledPrompts | None = None
    """Prompts without an answer that the teacher answers for the students; needs training.max_steps."""


class ModelSource(Settings):
    """Where a causal LM comes from: a Hugging Face folder, or a hub repository at a pinned commit."""

    path: PathField | None = None
    """Folder with config.json, safetensors weights and a tokenizer; relative to the study file."""
    hub: str | None = None
    """Hub repository, such as Qwen/Qwen2.5-0.5B."""
    revision: str | None = None
    """The commit of the hub repository, 40 hexadecimal digits: a branch or tag can move."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Off unless you have read that code."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.hub is None):
            raise ValueError("give either 'path' (a local folder) or 'hub' with 'revision'")
        if self.hub is not None and not _HUB.fullmatch(self.hub):
            raise ValueError("'hub' is 'owner/name' or 'name', with letters, digits, '.', '_' and '-'")
        if self.hub is not None and not _COMMIT.fullmatch(self.revision or ""):
            raise ValueError("a hub model needs 'revision': its commit, 40 hexadecimal digits (a branch can move)")
        if self.path is not None and self.revision is not None:
            raise ValueError("'revision' belongs to a hub model, not to a folder")
        return self


class Tuning(Settings):
    """Which weights train."""

    kind: Literal["lora", "full"] = "lora"
    """lora: a low-rank adapter through peft; full: every weight."""
    rank: Annotated[int, Field(ge=1, le=16_384)] = 8
    """LoRA rank r."""
    alpha: Annotated[float, Field(gt=0, le=1_000_000)] = 16.0
    """LoRA alpha; the update is scaled by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """LoRA dropout probability."""
    target_modules: Annotated[
        Literal["all-linear"] | Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_ENTRIES)],
        BeforeValidator(frozen_list),
    ] = "all-linear"
    """Modules that get an adapter, or all linear layers but the head."""
    learning_rate: LearningRates | None = None
    """Peak learning rate for this model; training.learning_rate where absent. A list, for students: every arm tries
    each of them with one seed of its own and takes the one that answers the validation split best."""

    @field_validator("learning_rate")
    @classmethod
    def _rates_differ(cls, value: float | tuple[float, ...] | None) -> float | tuple[float, ...] | None:
        rates = value if isinstance(value, tuple) else ()
        for rate in rates:
            if rates.count(rate) > 1:
                raise ValueError(f"the learning rate {rate:g} is listed twice")
        return value

    @model_validator(mode="after")
    def _settings_apply(self) -> Self:
        self.refuse_idle("a model tuned in full")
        return self

    def idle_settings(self) -> frozenset[str]:
        """LoRA settings, where every weight trains."""
        return frozenset(Tuning.model_fields) - {"kind", "learning_rate"} if self.kind == "full" else frozenset()


TuningField = Annotated[Tuning, BeforeValidator(tuning_kind_only)]


class Teacher(ModelSource):
    """A teacher; each condition is an arm of the grid."""

    name: Name
    condition: Annotated[tuple[Condition, ...], BeforeValidator(as_list), Field(min_length=1)] = ("adapted",)
    """List. adapted: fine-tuned on the training set first; base: as it comes, unaware of the task."""
    data: LabelledData | None = None
    """What the teacher is adapted on, if not the students' training set."""
    tuning: TuningField = Tuning()
    """How the teacher is adapted."""

    _name = field_validator("name")(check_name)

    @model_validator(mode="after")
    def _one_learning_rate(self) -> Self:
        if isinstance(self.tuning.learning_rate, tuple):
            raise ValueError(
                "'tuning.learning_rate' is one value for a teacher: only students try several, each of its arms alike"
            )
        return self


class Student(ModelSource):
    """A student, possibly cut in depth from a bigger model."""

    name: Name
    keep_layers: Annotated[
        Annotated[int, Field(ge=1, le=10_000)]
        | Annotated[tuple[Annotated[int, Field(ge=0, le=10_000)], ...], Field(min_length=1, max_length=10_000)]
        | None,
        BeforeValidator(frozen_list),
    ] = None
    """Depth pruning: how many layers to keep (evenly spaced, first and last kept), or their indices from 0."""
    tuning: TuningField = Tuning()
    """How the student is trained."""

    _name = field_validator("name")(check_name)

    @field_validator("keep_layers")
    @classmethod
    def _increasing(cls, value: int | tuple[int, ...] | None) -> int | tuple[int, ...] | None:
        if isinstance(value, tuple) and list(value) != sorted(set(value)):
            raise ValueError("layer indices must increase, each once")
        return value


class Method(Settings):
    """One way to train a student. Lists multiply the grid."""

    name: MethodName
    teacher_condition: Annotated[
        Annotated[tuple[Condition, ...], Field(min_length=1)] | None, BeforeValidator(list_or_none)
    ] = None
    """List. Teachers in these conditions only; those that each teacher lists where absent."""
    text: Literal["gold", "teacher", "both"] | None = None
    """What a method trains on for labelled prompts. gold: the reference answers; teacher: what the teacher wrote in
    their place; both: every prompt once with each. Unlabelled prompts always have the teacher's. Default: teacher for
    seqkd, gold for all others."""
    kd_temperature: TemperatureList = (1.0,)
    """List. T in softmax(z / T), for teacher and student alike."""
    kd_weight: FractionList = (1.0,)
    """List. w in (1 - w) * cross-entropy + w * divergence; not for gkd, whose own samples are no reference."""
    teacher_noise_std: NoiseStdList = (0.0,)
    """List. Standard deviation of Gaussian noise added to the teacher's logits, before the temperature."""
    beta: Fraction = 0.5
    """jsd and gkd: 0 is forward KL, 1 is reverse KL (TRL's convention)."""
    skew: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """skew_kl and skew_reverse_kl: the share mixed in (DistiLLM's alpha)."""
    head_mass: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """adaptive_kl: the share of the teacher's probability that makes the head of its distribution."""
    on_policy_probability: Fraction = 0.0
    """Probability that an optimiser step trains on sequences sampled from the student (GKD's lambda), on the divergence
    alone, as samples are no reference. Default: 0.5 for gkd, 0 for all others."""
    on_policy_divergence: MethodName | None = None
    """What the steps on samples minimise: a method whose divergence it is; its own `settings` have their defaults.
    Default: the method's own."""
    sampling_temperature: Temperature = 1.0
    """Temperature the student samples at; not the KD temperature."""
    warm_start_steps: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """The first steps train another way on the same sequences: from a student that has not met the format yet, reverse
    KL and samples of its own teach little."""
    warm_start: WarmStart = SFT
    """How the first steps train. sft: with cross-entropy; forward_kl: with forward KL to the teacher, at the same
    temperature."""
    t2_scale: bool = False
    """Multiply the divergence by T squared."""
    prompt_in_loss: bool = False
    """Train on prompt tokens as well as on the response; teachers are adapted so where every method is trained so."""
    reduction: Literal["token", "sequence"] = "token"
    """token: mean over all target tokens of the step; sequence: mean of per-sequence means."""
    probability_epsilon: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Added to probabilities inside forward_kl and reverse_kl, as the published code does (1e-9)."""

    settings: OwnSettings = Field(default={})
    """Settings that no other method has, those of an extension included."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_an_extension(cls, values: Any) -> Any:
        name = values.get("name") if isinstance(values, dict) else None
        if not isinstance(name, str) or name not in METHODS:
            return values
        merged = {**METHODS[name].defaults, **values}
        usual, own = METHODS[name].defaults.get("settings"), values.get("settings")
        return {**merged, "settings": {**usual, **own}} if isinstance(usual, dict) and isinstance(own, dict) else merged

    @field_validator("settings")
    @classmethod
    def _settings_exist(cls, settings: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        name = info.data.get("name", SFT)
        own = METHODS[name].own_settings
        for key in settings if own else ():
            if key not in own:
                raise ValueError(f"method '{name}' has no setting '{key}' of its own (known: {', '.join(own)})")
        return {key: value_like(key, value, own[key]) if own else value for key, value in settings.items()}

    @model_validator(mode="after")
    def _settings_apply(self) -> Self:
        if self.warm_start != SFT and not self.warm_start_steps and "warm_start" in applicable_settings(self.name):
            raise ValueError("'warm_start' says how the first steps train: give 'warm_start_steps', or leave it out")
        self.refuse_idle(f"method '{self.name}'")
        texts = training_texts(self.name)
        if self.text is not None and self.text not in texts:
            raise ValueError(f"'text' of method '{self.name}' is {' or '.join(texts)}, not {self.text}")
        if self.on_policy_divergence is not None and not has_divergence(self.on_policy_divergence):
            raise ValueError(f"'on_policy_divergence' is a method with a divergence, not {self.on_policy_divergence}")
        METHODS[self.name].check(self.setting)
        return self

    @property
    def training_text(self) -> str:
        """What labelled prompts are trained with: gold, teacher or both."""
        return self.text or training_texts(self.name)[0]

    def setting(self, key: str) -> Any:
        """A setting by name, one that only this method has included."""
        own = METHODS[self.name].own_settings
        if key == "text":
            return self.training_text
        return self.settings.get(key, own[key]) if key in own else getattr(self, key)

    def idle_settings(self) -> frozenset[str]:
        """Settings of other methods, how a warm start of no steps would train, and how samples that are not taken."""
        without = frozenset() if self.warm_start_steps else frozenset({"warm_start"})
        if not self.on_policy_probability:
            usual = () if usual_share(self.name) else ("on_policy_probability",)
            without |= {"on_policy_divergence", "sampling_temperature", *usual}
        elif self.on_policy_probability == 1.0:
            without |= {"kd_weight"}  # no step has a reference that cross-entropy could be taken on
        return (frozenset(Method.model_fields) - applicable_settings(self.name) - {"name"}) | without


def value_like(key: str, value: Any, default: Value) -> Value:
    """A value of a setting in the type of its default, so that 2 and 2.0 are one setting.

    Raises:
        ValueError: It has another type, or is too large; names the setting.

    Example:
        >>> value_like("power", 2, 1.5)
        2.0
    """
    held = not isinstance(value, (int, float)) or abs(value) <= MAX_OWN_NUMBER
    if type(default) is float and type(value) is int and held:
        value = float(value)
    if type(value) is not type(default) or not held:
        raise ValueError(f"'{key}' is {_TYPES[type(default)]}, not {value!r:.60}")
    found: Value = value
    return found


def applicable_settings(method: str) -> frozenset[str]:
    """The keys of `Method` that change what the method does."""
    if method not in METHODS:  # of an extension that is not loaded where a finished run is read
        return frozenset(Method.model_fields)
    entry = METHODS[method]
    return entry.settings | ({"settings"} if entry.own_settings else set())

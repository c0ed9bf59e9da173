"""One student of the grid, trained by one method; `sft` is the control.

The teacher's signal is what the stage's inputs offer: an expectation of the student's head, a recording of the
teacher's hidden states, or the teacher itself, which a student that learns from its own samples needs in any case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from kdscope.core.errors import ModelError
from kdscope.core.extensions import origins
from kdscope.core.seeds import derive_seed
from kdscope.models.configuration import read_config, text_config
from kdscope.models.source import SOFTCAPS
from kdscope.pipeline.run import StageContext
from kdscope.pipeline.stage import Stage
from kdscope.results.methods import FORWARD_KL, METHODS, SFT, Value, has_divergence, usual_share
from kdscope.stages import (
    adapt_teacher,
    cache_expectation,
    choose_rate,
    prepare_data,
    prepare_student,
    record_states,
    record_teacher,
)
from kdscope.stages.planning import ModelIdentity, Params, StageKind, StudyContext, TrainingParams, ends_of, model_place
from kdscope.study.arms import Student, Teacher
from kdscope.study.grid import Cell

if TYPE_CHECKING:
    from kdscope.objectives import Objective
    from kdscope.stages.training import Prepared
    from kdscope.teacher.teacher_logits import LiveTeacher
    from kdscope.training.loop import Job

KIND = StageKind(__name__, version=2)

TUNING_SEED = 2**31
"""The one seed of every sweep: beyond those that a study may have, so that no final run is among those compared, and
that a further seed of the study changes no sweep."""

Signal = Literal["none", "words", "live", "replay", "replay + live", "expectation"]

# What modules that hold an output head are called; an adapter on one makes the head train.
_HEADS = frozenset({"lm_head", "embed_out", "output", "output_layer"})


class MethodParams(Params):
    """What a cell's method comes down to; settings that do not apply have neutral values."""

    divergence: str
    kd_weight: float
    temperature: float
    teacher_noise_std: float
    beta: float
    skew: float
    on_policy_probability: float
    sampling_temperature: float
    t2_scale: bool
    prompt_in_loss: bool
    reduction: Literal["token", "sequence"]
    probability_epsilon: float
    head_mass: float | None = None
    warm_start_steps: int = 0
    warm_start: str = SFT
    settings: dict[str, Value] | None = None
    """Those that only this method has."""
    on_policy_divergence: str | None = None
    """On the student's samples, where it is another."""

    @classmethod
    def of_cell(cls, cell: Cell) -> MethodParams:
        """The method of a cell of the grid."""
        method, entry = cell.method, METHODS[cell.method.name]
        divergence, on_samples = entry.divergence or "none", method.on_policy_divergence
        sampled = method.on_policy_probability > 0 or usual_share(method.name) > 0
        other = METHODS[on_samples].divergence if on_samples is not None else None
        more = [("divergence", other)] if other is not None and other != divergence else []
        return cls(
            divergence=divergence,
            kd_weight=cell.kd_weight if cell.kd_weight is not None else 0.0,
            temperature=cell.kd_temperature if cell.kd_temperature is not None else 1.0,
            teacher_noise_std=cell.teacher_noise_std or 0.0,
            beta=method.beta,
            skew=method.skew,
            on_policy_probability=method.on_policy_probability,
            on_policy_divergence=other if other != divergence else None,
            sampling_temperature=method.sampling_temperature if sampled else 1.0,
            t2_scale=method.t2_scale,
            prompt_in_loss=method.prompt_in_loss,
            reduction=method.reduction,
            probability_epsilon=method.probability_epsilon,
            head_mass=method.head_mass if "head_mass" in entry.settings else None,
            warm_start_steps=method.warm_start_steps,
            warm_start=method.warm_start,
            settings={key: method.setting(key) for key in entry.own_settings} or None,
            extensions=tuple(origins(("method", method.name), ("divergence", divergence), *more)),
        )

    def settings_of(self, divergence: str, names: Iterable[str]) -> dict[str, Value]:
        """What the study says of these settings of a divergence; the method's own are of its own divergence only.

        Those that only another divergence has keep their defaults: the `beta` of alpha_beta is not that of jsd.
        """
        own = (self.settings or {}) if divergence == self.divergence else {}
        others = METHODS[divergence].own_settings if divergence in METHODS else {}
        shared = {name: getattr(self, name, None) for name in names if name not in others}
        return {name: value for name, value in {**shared, **own}.items() if value is not None}


class DistilStudentParams(TrainingParams):
    """How the student is trained."""

    method: MethodParams
    teacher: ModelIdentity | None = None
    """The teacher where it runs beside the student; what it left behind is an input."""


def plan(context: StudyContext, cell: Cell) -> Stage:
    """One trained student, at the learning rate of its arm.

    A list of rates is a sweep: every arm, the control included, tries the same rates with the same seed, and all its
    seeds share the best.
    """
    rates = cell.student.tuning.learning_rate
    if not isinstance(rates, tuple):
        return _plan(context, cell, {})
    arm = cell.label.rpartition("/")[0]
    choice = context.remember((KIND, arm), lambda: _choice(context, arm, replace(cell, seed=TUNING_SEED), rates))
    return _plan(context, cell, {"choice": choice})


def _choice(context: StudyContext, arm: str, cell: Cell, rates: tuple[float, ...]) -> Stage:
    """The learning rate of an arm, from a run of its cell at each rate, the validation split answered and scored."""
    runs: dict[float, Stage] = {}
    for rate in rates:
        tuning = cell.student.tuning.model_copy(update={"learning_rate": rate})
        student = cell.student.model_copy(update={"tuning": tuning})
        runs[rate] = _plan(context, replace(cell, label=f"{arm}/lr{rate!r}", student=student), {}, answered=True)
    return choose_rate.plan(arm, runs)


def _plan(context: StudyContext, cell: Cell, inputs: Mapping[str, Stage], *, answered: bool = False) -> Stage:
    training, signal = context.study.training, signal_of(cell, context.study.teacher_signal)
    validation, student, teacher = context.validation(training, answered=answered), cell.student, cell.teacher
    live = teacher is not None and "live" in signal
    params = DistilStudentParams(
        model=context.model(student),
        method=MethodParams.of_cell(cell),
        training=training,
        tuning=student.tuning,
        template=context.training_template,
        ends=ends_of(context.training_template),
        dtype=context.dtype,
        seed=cell.seed,
        validation=validation,
        teacher=context.model(teacher) if teacher is not None and live else None,
    )
    inputs = {"data": prepare_data.plan(context), **inputs}
    if (pruned := prepare_student.plan(context, student)) is not None:
        inputs["base"] = pruned
    if teacher is not None:
        inputs |= _taught(context, cell, teacher, signal)
    sources = {"base": student} if teacher is None else {"base": student, "teacher_base": teacher}
    place = context.training_place(cell.label, training, **sources)
    sizes = context.sizes.trained_on(cell.method.training_text)
    cost = sizes.distillation(cell, training, signal) + context.validation_cost(student, training, validation)
    return KIND.stage(f"train {cell.label}", params, inputs, context={**place, "signal": signal}, cost=cost)


def _taught(context: StudyContext, cell: Cell, teacher: Teacher, signal: Signal) -> dict[str, Stage]:
    """What a student gets from its teacher, by the path it takes; and the answers to unlabelled prompts."""
    condition = str(cell.teacher_condition)
    text, in_loss = cell.method.training_text, cell.method.prompt_in_loss
    inputs = record_teacher.texts_of(context, teacher, condition, text)
    if signal == "expectation":
        inputs |= {"expectation": cache_expectation.plan(context, cell, teacher)}
    if "replay" in signal:
        inputs |= {"states": record_states.plan(context, teacher, condition, in_loss, text)}
    if "live" in signal:
        inputs |= adapt_teacher.adapted(context, teacher, condition)
    return inputs


def signal_of(cell: Cell, asked: str) -> Signal:
    """Where a student's knowledge of its teacher comes from: decided before anything runs.

    - none: `sft`. words: `seqkd`, which learns from text the teacher wrote.
    - live: the teacher runs on every batch, as the study may ask (`teacher_signal: live`), and as it must on every
      sample of the student's own (on_policy_probability 1).
    - replay: recorded hidden states of the teacher, for all other divergences; one that samples in part of its steps
      replays where it trains on given text, and asks live where it trains on samples.
    - expectation: forward KL with a frozen head that is linear, of which one vector a token is left to know.

    It depends on the cell and on `asked` only: another cell in the study never changes how this one is trained.
    """
    method = cell.method
    if not has_divergence(method.name):
        return "none" if cell.teacher is None else "words"
    sampled = method.on_policy_probability > 0
    if asked == "live" or (sampled and method.on_policy_probability == 1):
        return "live"
    if sampled:
        return "replay + live"
    condensed = method.name == FORWARD_KL and method.probability_epsilon == 0 and has_frozen_linear_head(cell.student)
    return "expectation" if condensed and asked == "auto" else "replay"


def has_frozen_linear_head(student: Student) -> bool:
    """Whether the output head keeps its weights, and its logits are not capped.

    Of a hub model nothing is read before it runs: should its head turn out to be capped, the expectation is refused.
    """
    tuning = student.tuning
    if tuning.kind == "full":
        return False
    targets = () if isinstance(tuning.target_modules, str) else tuning.target_modules
    if any(name.split(".")[-1] in _HEADS for name in targets):
        return False
    try:
        config = read_config(student.path) if student.path is not None else {}
    except ModelError:
        return True  # the model's own check will say what is wrong with it
    return not any(text_config(config).get(name) for name in SOFTCAPS)


def run(context: StageContext) -> None:
    """Write model/ and training.parquet."""
    from kdscope.models.limits import longest_text
    from kdscope.stages.training import generator_of, prepare, train_and_save, training_job
    from kdscope.teacher.teacher_logits import LiveTeacher
    from kdscope.training.generated import OnPolicySampling

    params = DistilStudentParams.of(context.stage)
    method = params.method
    prepared = prepare(context, params, model_place(context, "base"))
    job = training_job(
        context,
        params,
        prepared,
        _objective(method, method.divergence, method.kd_weight),
        prompt_in_loss=method.prompt_in_loss,
    )
    job = replace(job, warm_start_steps=method.warm_start_steps, warm_start=_warm_start(method))
    context.facts.update(warm_start_steps=method.warm_start_steps)
    if method.divergence != "none":
        job = _with_teacher(context, params, prepared, job)
    if method.on_policy_probability > 0:
        readers = [prepared.model.base]
        if isinstance(job.sample_teacher, LiveTeacher):
            readers.append(job.sample_teacher.states.model)
        sampling = OnPolicySampling(
            generator=generator_of(context, params, prepared),
            probability=method.on_policy_probability,
            temperature=method.sampling_temperature,
            max_length_tokens=min(params.training.max_length_tokens, *map(longest_text, readers)),
            seed=derive_seed(params.seed, "on-policy"),
        )
        job = replace(job, on_policy=sampling, sample_objective=_on_samples(method))
    train_and_save(context, params, prepared, job)


def _on_samples(method: MethodParams) -> Objective:
    """What steps on the student's samples minimise: a divergence alone, as samples are no reference."""
    return _objective(method, method.on_policy_divergence or method.divergence, kd_weight=1.0)


def _objective(method: MethodParams, divergence: str, kd_weight: float) -> Objective:
    from kdscope.objectives import DIVERGENCES, Objective

    taken = DIVERGENCES[divergence].settings if divergence in DIVERGENCES else ()
    return Objective(
        divergence,
        kd_weight=kd_weight,
        temperature=method.temperature,
        t2_scale=method.t2_scale,
        reduction=method.reduction,
        settings=method.settings_of(divergence, taken),
    )


def _warm_start(method: MethodParams) -> Objective | None:
    """What the first steps minimise in place of cross-entropy: forward KL alone, at the method's temperature."""
    from kdscope.objectives import Objective

    if method.warm_start != FORWARD_KL:
        return None
    return Objective(FORWARD_KL, 1.0, method.temperature, method.t2_scale, method.reduction)


def _with_teacher(context: StageContext, params: DistilStudentParams, prepared: Prepared, job: Job) -> Job:
    """The job with what the teacher says of its sequences, and with the teacher itself for the student's samples."""
    from kdscope.models.forward import head_of
    from kdscope.models.limits import least
    from kdscope.models.packing import can_pack, longest_together
    from kdscope.stages.models import (
        TEACHER_ROWS,
        check_ends,
        match_models,
        open_recording,
        replay,
        shared_passes,
    )
    from kdscope.teacher.expectation import ExpectationTeacher

    student, method = head_of(prepared.model.base).weight, params.method
    recorded = next((context.inputs[role] for role in ("expectation", "states") if role in context.inputs), None)
    sampled = method.on_policy_probability > 0
    if recorded is None or sampled:
        live = _live(context, params, prepared, len(student))
        asked, pack = live.states.model, job.pack and can_pack(live.states.model)
        own, theirs = longest_together(prepared.model.base, pack), shared_passes(context, asked, pack, prepared.train)
        job = replace(job, teacher=live, shared_vocabulary=live.vocabulary.shared_size, pack=pack)
        job = replace(job, longest_together=least((own, theirs)), sample_teacher=live if sampled else None)
    if recorded is None:
        return job
    check_ends(context, prepared.tokenizer)  # the recording ends as the teacher does
    reader = open_recording(recorded, prepared.tokenizer, prepared.train, prompt_in_loss=method.prompt_in_loss)
    match = match_models(context, prepared.tokenizer, int(reader.facts[TEACHER_ROWS]), len(student))
    if "expectation" in context.inputs:
        context.facts["teacher_cut_mass"] = reader.facts["cut_mass"]
        return replace(job, teacher=ExpectationTeacher(reader), shared_vocabulary=match.shared_size)
    noise_seed = derive_seed(params.seed, "teacher noise")
    teacher = replay(reader, student.device, match, method.teacher_noise_std, noise_seed)
    return replace(job, teacher=teacher, shared_vocabulary=match.shared_size)


def _live(context: StageContext, params: DistilStudentParams, prepared: Prepared, student_rows: int) -> LiveTeacher:
    from kdscope.models.forward import SelectedStates, head_of
    from kdscope.models.limits import check_texts
    from kdscope.stages.models import device_of, load_frozen, match_models
    from kdscope.teacher.teacher_logits import LiveTeacher

    model = load_frozen(model_place(context, "teacher_base", "teacher"), params.dtype, device_of(context))
    check_texts(model, [s.token_ids for s in (*prepared.train, *prepared.validation)], prepared.tokenizer)
    head = head_of(model)
    match = match_models(context, prepared.tokenizer, len(head.weight), student_rows)
    noise_seed = derive_seed(params.seed, "teacher noise")
    return LiveTeacher(SelectedStates(model), head, match, params.method.teacher_noise_std, noise_seed)

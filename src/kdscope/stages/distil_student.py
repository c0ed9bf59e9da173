"""One student of the grid, trained by one method; `sft` is the control.

The teacher's signal is what the stage's inputs offer: an expectation of the student's head, a recording of the
teacher's hidden states, or the teacher itself, which a student that learns from its own samples needs in any case.
"""

from __future__ import annotations

from typing import Any

from kdscope.core.seeds import derive_seed
from kdscope.models.forward import SelectedStates, head_of
from kdscope.models.packing import can_pack
from kdscope.objectives import DIVERGENCES, Objective
from kdscope.pipeline.run import StageContext
from kdscope.results.methods import FORWARD_KL
from kdscope.stages.files import model_place
from kdscope.stages.recordings import TEACHER_ROWS, match_models, open_recording, replay
from kdscope.stages.training_setup import Prepared, generator_of, load_frozen, prepare, run_training
from kdscope.teacher.expectation import ExpectationTeacher
from kdscope.teacher.teacher_logits import LiveTeacher
from kdscope.training.on_policy import OnPolicySampling


def run(context: StageContext) -> None:
    """Write model/ and training.parquet."""
    method: Any = context.stage.parameters["method"]
    prepared = prepare(context, model_place(context, "base"))
    extra: dict[str, Any] = {"warm_start_steps": method.get("warm_start_steps", 0), "warm_start": _warm_start(method)}
    context.facts.update(warm_start_steps=extra["warm_start_steps"])
    if method["divergence"] != "none":
        extra |= _signal(context, prepared)
    if method["on_policy_probability"] > 0:
        extra |= {"on_policy": _on_policy(context, prepared), "sample_teacher": extra.pop("live")}
    extra.pop("live", None)
    run_training(context, prepared, _objective(method), prompt_in_loss=method["prompt_in_loss"], **extra)


def _objective(method: dict[str, Any]) -> Objective:
    names = ("divergence", "kd_weight", "temperature", "t2_scale", "reduction")
    taken = DIVERGENCES[method["divergence"]].settings if method["divergence"] in DIVERGENCES else ()
    settings = {name: method[name] if name in method else method["settings"][name] for name in taken}
    return Objective(**{name: method[name] for name in names}, settings=settings)


def _warm_start(method: dict[str, Any]) -> Objective | None:
    """What the first steps minimise in place of cross-entropy: forward KL alone, at the method's temperature."""
    if method.get("warm_start") != FORWARD_KL:
        return None
    same = {name: method[name] for name in ("temperature", "t2_scale", "reduction")}
    return Objective(FORWARD_KL, kd_weight=1.0, **same)


def _signal(context: StageContext, prepared: Prepared) -> dict[str, Any]:
    """What the job is told of the teacher, and `live` if the teacher itself is here."""
    settings: Any = context.stage.parameters
    student = head_of(prepared.model.base).weight
    recorded = next((context.inputs[role] for role in ("expectation", "states") if role in context.inputs), None)
    live = None if recorded is not None and not _samples(context) else _live(context, prepared, len(student))
    signal: dict[str, Any] = {"live": live, "teacher": live}
    if live is not None:
        signal |= {"shared_vocabulary": live.vocabulary.shared_size, "pack": can_pack(live.states.model)}
    if recorded is None:
        return signal
    reader = open_recording(
        recorded, prepared.tokenizer, prepared.train, prompt_in_loss=settings["method"]["prompt_in_loss"]
    )
    match = match_models(context, prepared.tokenizer, int(reader.facts[TEACHER_ROWS]), len(student))
    signal["shared_vocabulary"] = match.shared_size
    if "expectation" in context.inputs:
        signal["teacher"] = ExpectationTeacher(reader)
        context.facts["teacher_cut_mass"] = reader.facts["cut_mass"]
    else:
        noise: float = settings["method"]["teacher_noise_std"]
        signal["teacher"] = replay(reader, student.device, match, noise, _noise_seed(context))
    return signal


def _live(context: StageContext, prepared: Prepared, student_rows: int) -> LiveTeacher:
    settings: Any = context.stage.parameters
    place = model_place(context, "teacher_base", "teacher")
    model = load_frozen(place, settings["dtype"], str(context.stage.context["device"]))
    head = head_of(model)
    match = match_models(context, prepared.tokenizer, len(head.weight), student_rows)
    noise: float = settings["method"]["teacher_noise_std"]
    return LiveTeacher(SelectedStates(model), head, match, noise, _noise_seed(context))


def _samples(context: StageContext) -> bool:
    method: Any = context.stage.parameters["method"]
    return bool(method["on_policy_probability"] > 0)


def _noise_seed(context: StageContext) -> int:
    settings: Any = context.stage.parameters
    return derive_seed(settings["seed"], "teacher noise")


def _on_policy(context: StageContext, prepared: Prepared) -> OnPolicySampling:
    settings: Any = context.stage.parameters
    return OnPolicySampling(
        generator=generator_of(context, prepared),
        probability=settings["method"]["on_policy_probability"],
        temperature=settings["method"]["sampling_temperature"],
        max_length_tokens=settings["training"]["max_length_tokens"],
        seed=derive_seed(settings["seed"], "on-policy"),
    )

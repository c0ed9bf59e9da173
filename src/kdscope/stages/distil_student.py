"""Stage 6: one student of the grid, trained by one method; `sft` is the control."""

from __future__ import annotations

from typing import Any

from kdscope.errors import ModelError
from kdscope.models.forward import SelectedLogits
from kdscope.models.generate import HuggingFaceGenerator
from kdscope.models.load import load_tokenizer, torch_dtype
from kdscope.models.vocabulary import match_vocabularies
from kdscope.objectives import Objective
from kdscope.pipeline.run import StageContext
from kdscope.seeds import derive_seed
from kdscope.stages.files import model_place, read_rows
from kdscope.stages.training_setup import Prepared, load_frozen, prepare, run_training
from kdscope.teacher.live import LiveTeacher
from kdscope.training.on_policy import OnPolicySampling


def run(context: StageContext) -> None:
    """Write model/ and training.parquet."""
    method: Any = context.stage.parameters["method"]
    responses = None
    if "responses" in context.inputs:
        responses = [row["token_ids"] for row in read_rows(context.inputs["responses"] / "responses.jsonl")]
    prepared = prepare(context, model_place(context, "base"), responses)
    extra: dict[str, Any] = {}
    if method["divergence"] != "none":
        extra["teacher"] = _teacher(context, prepared)
    if method["on_policy_probability"] > 0:
        extra["on_policy"] = _on_policy(context, prepared)
    run_training(context, prepared, _objective(method), prompt_in_loss=method["prompt_in_loss"], **extra)


def _objective(method: dict[str, Any]) -> Objective:
    names = ("divergence", "kd_weight", "temperature", "beta", "skew", "t2_scale", "probability_epsilon", "reduction")
    return Objective(**{name: method[name] for name in names})


def _teacher(context: StageContext, prepared: Prepared) -> LiveTeacher:
    settings: Any = context.stage.parameters
    place = model_place(context, "teacher_base", "teacher")
    model = load_frozen(place, settings["dtype"], str(context.stage.context["device"]))
    student = prepared.model.base
    try:
        match = match_vocabularies(
            load_tokenizer(place).get_vocab(),
            prepared.tokenizer.get_vocab(),
            model.get_output_embeddings().weight.shape[0],
            student.get_output_embeddings().weight.shape[0],
        )
    except ModelError as error:
        raise ModelError(
            f"teacher {place.location} and this student cannot be compared token by token: {error}"
        ) from error
    noise: float = settings["method"]["teacher_noise_std"]
    return LiveTeacher(SelectedLogits(model), match, noise, derive_seed(settings["seed"], "teacher noise"))


def _on_policy(context: StageContext, prepared: Prepared) -> OnPolicySampling:
    settings: Any = context.stage.parameters
    autocast = torch_dtype("bfloat16") if settings["dtype"] == "bfloat16" else None
    return OnPolicySampling(
        generator=HuggingFaceGenerator(prepared.model.base, prepared.tokenizer, autocast),
        probability=settings["method"]["on_policy_probability"],
        temperature=settings["method"]["sampling_temperature"],
        max_length_tokens=settings["training"]["max_length_tokens"],
        seed=derive_seed(settings["seed"], "on-policy"),
    )

"""Stage 7: one student of the grid, trained by one method; `sft` is the control."""

from __future__ import annotations

from functools import partial
from typing import Any

from transformers import PreTrainedTokenizerBase

from kdscope.data.encode import encode_recorded
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

_WORDS = ("responses", "prompt_responses")


def run(context: StageContext) -> None:
    """Write model/ and training.parquet."""
    method: Any = context.stage.parameters["method"]
    words = (partial(_responses, context, role) if role in context.inputs else None for role in _WORDS)
    prepared = prepare(context, model_place(context, "base"), *words)
    extra: dict[str, Any] = {}
    if method["divergence"] != "none":
        extra["teacher"] = _teacher(context, prepared)
    if method["on_policy_probability"] > 0:
        extra["on_policy"] = _on_policy(context, prepared)
    extra["warm_start_steps"] = method.get("warm_start_steps", 0)
    run_training(context, prepared, _objective(method), prompt_in_loss=method["prompt_in_loss"], **extra)


def _responses(context: StageContext, role: str, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """What the teacher wrote, in the student's tokens."""
    same = load_tokenizer(model_place(context, "teacher_base")).get_vocab() == tokenizer.get_vocab()
    rows = read_rows(context.inputs[role] / "responses.jsonl")
    unfinished: Any = context.facts.get("responses_unfinished", 0)
    context.facts["responses_unfinished"] = unfinished + sum(row["finish_reason"] == "length" for row in rows)
    return [
        encode_recorded(
            tokenizer, row["token_ids"], row["text"], finished=row["finish_reason"] == "stop", same_vocabulary=same
        )
        for row in rows
    ]


def _objective(method: dict[str, Any]) -> Objective:
    names = ("divergence", "kd_weight", "temperature", "beta", "skew", "t2_scale", "probability_epsilon", "reduction")
    return Objective(**{name: method[name] for name in names})


def _teacher(context: StageContext, prepared: Prepared) -> LiveTeacher:
    settings: Any = context.stage.parameters
    place = model_place(context, "teacher_base", "teacher")
    model = load_frozen(place, settings["dtype"], str(context.stage.context["device"]))
    student, tokenizer = prepared.model.base, load_tokenizer(place)
    _check_end_tokens(tokenizer, prepared.tokenizer)
    try:
        match = match_vocabularies(
            tokenizer.get_vocab(),
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


def _check_end_tokens(teacher: PreTrainedTokenizerBase, student: PreTrainedTokenizerBase) -> None:
    """A student that learns to end like its teacher must also stop there when it is evaluated.

    Raises:
        ModelError: The two end their responses with different tokens.
    """
    if teacher.eos_token_id != student.eos_token_id:
        raise ModelError(
            f"the teacher ends its responses with {teacher.eos_token!r}, the student with {student.eos_token!r}: the "
            "student would learn an end it does not stop at. Give both the same eos_token in tokenizer_config.json, or "
            "use seqkd"
        )


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

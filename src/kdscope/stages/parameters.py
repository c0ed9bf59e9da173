"""What a cell and a machine come down to as parameters, and how tables and labels name them."""

from __future__ import annotations

import os

from kdscope.core.extensions import origins
from kdscope.pipeline.fingerprint import JSON
from kdscope.results.methods import METHODS, SFT, samples_student
from kdscope.study.arms import Teacher, Tuning
from kdscope.study.grid import Cell
from kdscope.study.schema import Evaluation, Runtime, Study, Training


def threads_of(runtime: Runtime) -> int | None:
    """CPU threads of every process that works on the study; None leaves it to torch."""
    if runtime.threads is not None or runtime.workers == 1:
        return runtime.threads
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // runtime.workers)


def teacher_label(teacher: Teacher, condition: str) -> str:
    """How tables and labels name a teacher in one of its conditions."""
    return f"teacher/{teacher.name}" if condition == "adapted" else f"teacher/{teacher.name}@base"


def expectation_label(cell: Cell) -> str:
    """How the temperature and noise of an expectation are told."""
    noise = f", noise {cell.teacher_noise_std:g} seed {cell.seed}" if cell.teacher_noise_std else ""
    return f"{cell.student.name}'s head at T {cell.kd_temperature:g}{noise}"


def method_parameters(cell: Cell) -> dict[str, JSON]:
    """What a cell's method comes down to; settings that do not apply are left at neutral values."""
    method = cell.method
    sampled = samples_student(method.name)
    optional: dict[str, JSON] = {"warm_start_steps": method.warm_start_steps} if method.warm_start_steps else {}
    if method.warm_start != SFT:
        optional["warm_start"] = method.warm_start
    entry = METHODS[method.name]
    divergence = entry.divergence or "none"
    if extensions := origins(("method", method.name), ("divergence", divergence)):
        optional["extensions"] = list(extensions)
    if entry.own_settings:
        optional["settings"] = {key: method.setting(key) for key in entry.own_settings}
    adaptive: dict[str, JSON] = {"head_mass": method.head_mass} if "head_mass" in METHODS[method.name].settings else {}
    return (
        optional
        | adaptive
        | {
            "divergence": divergence,
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
    )


def training_parameters(study: Study, training: Training, tuning: Tuning, seed: int, dtype: str) -> dict[str, JSON]:
    """What decides how a model is trained, beside its method and its data."""
    # When a run saves where it is changes nothing about where it goes.
    left_out = {"checkpoint_every_steps", *training.idle_settings()}
    settings = training.model_dump(mode="json", exclude=left_out, exclude_none=True)
    told = tuning.model_dump(mode="json")
    return {
        "training": settings,
        "tuning": {key: told[key] for key in ("kind", "learning_rate")} if tuning.kind == "full" else told,
        "template": training_template(study),
        "dtype": dtype,
        "seed": seed,
    }


def answering_parameters(evaluation: Evaluation) -> dict[str, JSON]:
    """How the validation split is answered where it is: as evaluation asks, but greedily and with one backend."""
    keys = ("max_new_tokens", "batch_size", "batch_tokens", "stop_texts")
    told = evaluation.model_dump(mode="json")
    return {"validation": {key: told[key] for key in keys}}


def training_template(study: Study) -> str:
    """The prompt template of training; the published code trains and evaluates on prompts that differ in spaces."""
    return "published_training" if study.template == "published" else study.template

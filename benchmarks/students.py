"""The models that all arms share: a teacher, and a student cut from it with the same adapter on it."""

from __future__ import annotations

from typing import Any

from settings import Settings

from kdscope.models.load import TrainableModel, add_lora, load_model, load_tokenizer, prune_depth
from kdscope.models.source import ModelPlace


def make_tokenizer(settings: Settings) -> Any:
    """The tokenizer of both."""
    return load_tokenizer(ModelPlace(settings.model))


def make_teacher(settings: Settings) -> Any:
    """The whole model, frozen."""
    return load_model(ModelPlace(settings.model), settings.dtype, settings.device).requires_grad_(False)


def make_student(settings: Settings, layers: int | None = None) -> TrainableModel:
    """The cut model, frozen but for a LoRA adapter whose first weights follow from the seed."""
    model = prune_depth(make_teacher(settings), settings.student_layers if layers is None else layers)
    return add_lora(
        model,
        rank=settings.lora_rank,
        alpha=settings.lora_alpha,
        dropout=0.0,
        target_modules=settings.target_modules.split(","),
        seed=settings.seed,
    )

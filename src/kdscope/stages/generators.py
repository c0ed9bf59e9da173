"""The model that a stage asks, kept in memory for the next stage that asks it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from transformers import PreTrainedTokenizerBase

from kdscope.models.generate import Generator, HuggingFaceGenerator
from kdscope.models.load import load_model, load_tokenizer
from kdscope.models.vllm_backend import load_vllm
from kdscope.pipeline.run import StageContext
from kdscope.stages.files import model_place


def open_generator(context: StageContext) -> tuple[Generator, PreTrainedTokenizerBase]:
    """The model of the stage, by the backend its evaluation names."""
    settings: Any = context.stage.parameters
    place, device = model_place(context, "base", "model"), str(context.stage.context["device"])
    backend = settings["evaluation"]["backend"]

    def load() -> tuple[Generator, PreTrainedTokenizerBase]:
        tokenizer = load_tokenizer(place)
        if backend == "vllm":
            return load_vllm(place, settings["dtype"]), tokenizer
        return HuggingFaceGenerator(load_model(place, settings["dtype"], device), tokenizer), tokenizer

    return context.resources.get(json.dumps([asdict(place), settings["dtype"], device, backend]), load)

"""The model that a stage asks, kept in memory for the next stage that asks it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from transformers import PreTrainedTokenizerBase

from kdscope.generation.base import Generator
from kdscope.models.load import load_tokenizer
from kdscope.pipeline.run import StageContext
from kdscope.results.backends import BACKENDS
from kdscope.stages.files import model_place


def open_generator(context: StageContext) -> tuple[Generator, PreTrainedTokenizerBase]:
    """The model of the stage, by the backend its evaluation names."""
    settings: Any = context.stage.parameters
    place, device = model_place(context, "base", "model"), str(context.stage.context["device"])
    backend = settings["evaluation"]["backend"]

    def load() -> tuple[Generator, PreTrainedTokenizerBase]:
        tokenizer = load_tokenizer(place)
        generator: Generator = BACKENDS[backend].load(place, tokenizer, dtype=settings["dtype"], device=device)
        return generator, tokenizer

    return context.resources.get(json.dumps([asdict(place), settings["dtype"], device, backend]), load)

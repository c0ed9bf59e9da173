"""The teacher answers every prompt once, for all students that will learn from its words."""

from __future__ import annotations

from typing import Any

from kdscope.data.sources import Example
from kdscope.generation.base import Decoding
from kdscope.generation.huggingface import HuggingFaceGenerator
from kdscope.generation.resumable import generate_all
from kdscope.models.load import load_model, load_tokenizer
from kdscope.pipeline.run import StageContext
from kdscope.stages.files import model_place, read_prepared_examples, write_rows
from kdscope.stages.prompts import prompts_of
from kdscope.stages.training_setup import use_threads


def run(context: StageContext) -> None:
    """Write responses.jsonl: token ids (with the end token if the teacher stopped), text, finish reason."""
    settings: Any = context.stage.parameters
    context.resources.clear()
    use_threads(context)
    place = model_place(context, "base", "teacher")
    tokenizer = load_tokenizer(place)
    _, prompts = prompts_of(_examples(context), settings["template"], tokenizer)
    model = load_model(place, settings["dtype"], str(context.stage.context["device"]))
    decoding = Decoding(
        max_new_tokens=settings["generation"]["max_new_tokens"],
        temperature=settings["generation"]["sampling_temperature"],
        seed=settings["seed"],
    )
    completions = generate_all(
        HuggingFaceGenerator(model, tokenizer),
        prompts,
        decoding,
        batch_size=settings["generation"]["batch_size"],
        scratch=context.scratch,
        progress=lambda done, total: context.progress.update(done, total, "prompts"),
    )
    write_rows(completions, context.output / "responses.jsonl")
    unfinished = sum(c.finish_reason == "length" for c in completions)
    context.facts.update(responses=len(completions), unfinished=unfinished)


def _examples(context: StageContext) -> list[Example]:
    if "prompts" in context.inputs:
        return read_prepared_examples(context.inputs["prompts"] / "prompts.jsonl")
    return read_prepared_examples(context.inputs["data"] / "train.jsonl")

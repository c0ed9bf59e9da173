"""Stage 8: one model answers one task; every answer is kept with both of its scorings."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from kdscope.data.encode import encode_prompt
from kdscope.evaluation.generative import score_items
from kdscope.evaluation.records import write_records
from kdscope.models.batched import generate_all
from kdscope.models.generate import Decoding, HuggingFaceGenerator
from kdscope.models.load import load_model, load_tokenizer
from kdscope.pipeline.run import StageContext
from kdscope.stages.files import model_place, read_prepared_items
from kdscope.stages.training_setup import use_threads
from kdscope.tasks import get_task, get_template


def run(context: StageContext) -> None:
    """Write records.parquet."""
    settings: Any = context.stage.parameters
    evaluation = settings["evaluation"]
    use_threads(context)
    generator = _generator(context)
    template = get_template(settings["template"])
    items = read_prepared_items(context.inputs["items"])
    prompts = [template.render(item.instruction, item.input) for item in items]
    decoding = Decoding(
        evaluation["max_new_tokens"],
        evaluation["sampling_temperature"],
        evaluation["top_p"],
        evaluation["decoding_seed"],
    )
    completions = generate_all(
        generator,
        [encode_prompt(generator.tokenizer, prompt) for prompt in prompts],
        decoding,
        batch_size=evaluation["batch_size"],
        scratch=context.scratch,
        progress=lambda done, total: context.progress.update(done, total, "items"),
    )
    records = score_items(get_task(settings["task"]), items, prompts, completions, decoding.seed)
    write_records(records, context.output / "records.parquet")
    context.facts.update(items=len(items), generated_tokens=sum(r.completion_tokens for r in records))


def _generator(context: StageContext) -> HuggingFaceGenerator:
    """The model, kept in memory for its next task."""
    settings: Any = context.stage.parameters
    place, device = model_place(context, "base", "model"), str(context.stage.context["device"])

    def load() -> HuggingFaceGenerator:
        return HuggingFaceGenerator(load_model(place, settings["dtype"], device), load_tokenizer(place))

    return context.resources.get(json.dumps([asdict(place), settings["dtype"], device]), load)

"""One model answers one task; every answer is kept with both of its scorings."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from transformers import PreTrainedTokenizerBase

from kdscope.evaluation.generative import score_items
from kdscope.evaluation.records import Record, write_records
from kdscope.models.batched import generate_all
from kdscope.models.generate import Completion, Decoding, Generator, HuggingFaceGenerator
from kdscope.models.load import load_model, load_tokenizer
from kdscope.models.vllm_backend import load_vllm
from kdscope.pipeline.run import StageContext
from kdscope.stages.files import model_place, read_prepared_items
from kdscope.stages.own_tasks import registry_of
from kdscope.stages.prompts import prompts_of
from kdscope.stages.training_setup import use_threads


def run(context: StageContext) -> None:
    """Write records.parquet: for every decoding seed one record an item."""
    settings: Any = context.stage.parameters
    evaluation = settings["evaluation"]
    use_threads(context)
    task = registry_of(settings).get(settings["task"])
    items = read_prepared_items(context.inputs["items"])
    generator, tokenizer = _generator(context)
    prompts, encoded = prompts_of(items, task.template or settings["template"], tokenizer)
    records: list[Record] = []
    for number, seed in enumerate(evaluation["decoding_seeds"]):
        records += score_items(
            task, items, prompts, _complete(context, generator, encoded, seed, number * len(items)), seed
        )
    write_records(records, context.output / "records.parquet")
    context.facts.update(items=len(items), generated_tokens=sum(r.completion_tokens for r in records))


def _complete(
    context: StageContext, generator: Generator, prompts: list[list[int]], seed: int, already: int
) -> list[Completion]:
    """What the model writes under one decoding seed; `already` completions were written under others."""
    settings: Any = context.stage.parameters
    evaluation = settings["evaluation"]
    decoding = Decoding(
        evaluation["max_new_tokens"],
        evaluation["sampling_temperature"],
        evaluation["top_p"],
        seed,
        stop_texts=tuple(evaluation["stop_texts"]),
    )
    scratch = context.scratch / f"seed-{seed}"
    scratch.mkdir(exist_ok=True)
    total = len(prompts) * len(evaluation["decoding_seeds"])
    return generate_all(
        generator,
        prompts,
        decoding,
        batch_size=evaluation["batch_size"],
        batch_tokens=evaluation["batch_tokens"],
        scratch=scratch,
        progress=lambda done, _: context.progress.update(already + done, total, "items"),
    )


def _generator(context: StageContext) -> tuple[Generator, PreTrainedTokenizerBase]:
    """The model, kept in memory for its next task."""
    settings: Any = context.stage.parameters
    place, device = model_place(context, "base", "model"), str(context.stage.context["device"])
    backend = settings["evaluation"]["backend"]

    def load() -> tuple[Generator, PreTrainedTokenizerBase]:
        tokenizer = load_tokenizer(place)
        if backend == "vllm":
            return load_vllm(place, settings["dtype"]), tokenizer
        return HuggingFaceGenerator(load_model(place, settings["dtype"], device), tokenizer), tokenizer

    return context.resources.get(json.dumps([asdict(place), settings["dtype"], device, backend]), load)

"""One model answers one task; every answer is kept with both of its scorings."""

from __future__ import annotations

from typing import Any

from kdscope.evaluation.records import Record, write_records
from kdscope.evaluation.score import score_items
from kdscope.generation.base import Completion, Decoding, Generator
from kdscope.generation.resumable import generate_all
from kdscope.pipeline.run import StageContext
from kdscope.stages.files import read_prepared_items
from kdscope.stages.generators import open_generator
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
    generator, tokenizer = open_generator(context)
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

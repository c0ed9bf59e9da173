"""Labelled rows become training and validation examples."""

from __future__ import annotations

from kdscope.pipeline.run import StageContext
from kdscope.stages.files import write_rows
from kdscope.stages.rows import read_split


def run(context: StageContext) -> None:
    """Write train.jsonl and validation.jsonl."""
    settings = {name: context.stage.parameters[name] for name in ("limit", "validation_items", "seed")}
    split, rows = read_split(context.stage.context, settings)
    write_rows(split.train, context.output / "train.jsonl")
    write_rows(split.validation, context.output / "validation.jsonl")
    context.facts.update(rows=rows, train=len(split.train), validation=len(split.validation))

"""Stage 1: the training file becomes training and validation examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kdscope.data.sources import read_examples, split_examples
from kdscope.pipeline.run import StageContext
from kdscope.stages.files import write_rows


def run(context: StageContext) -> None:
    """Write train.jsonl and validation.jsonl."""
    settings: Any = context.stage.parameters
    examples = read_examples(Path(str(context.stage.context["path"])))
    split = split_examples(
        examples, limit=settings["limit"], validation_items=settings["validation_items"], seed=settings["seed"]
    )
    write_rows(split.train, context.output / "train.jsonl")
    write_rows(split.validation, context.output / "validation.jsonl")
    context.facts.update(rows=len(examples), train=len(split.train), validation=len(split.validation))

"""A bigger model becomes a student with fewer layers, as an ordinary model folder."""

from __future__ import annotations

from typing import Any

from kdscope.models.load import load_model, load_tokenizer, prune_depth, save_model
from kdscope.pipeline.run import StageContext
from kdscope.stages.files import model_place


def run(context: StageContext) -> None:
    """Write model/: the pruned model in float32, and its tokenizer."""
    settings: Any = context.stage.parameters
    context.resources.clear()
    place = model_place(context, "source")
    keep = settings["keep_layers"]
    model = prune_depth(load_model(place, "float32", "cpu"), tuple(keep) if isinstance(keep, list) else keep)
    save_model(model, load_tokenizer(place), context.output / "model")
    context.facts.update(parameters=model.num_parameters(), layers=model.config.num_hidden_layers)

"""Fine-tune a teacher on the training set, so that it knows the task it will teach."""

from __future__ import annotations

from kdscope.objectives import Objective
from kdscope.pipeline.run import StageContext
from kdscope.stages.files import model_place
from kdscope.stages.training_setup import prepare, run_training


def run(context: StageContext) -> None:
    """Write model/ and training.parquet."""
    prepared = prepare(context, model_place(context, "base"))
    prompt_in_loss = bool(context.stage.parameters["prompt_in_loss"])
    run_training(context, prepared, Objective("none", kd_weight=0.0), prompt_in_loss=prompt_in_loss)

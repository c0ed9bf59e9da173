"""Find the code of a stage when it is about to run: planning never pays for importing torch."""

from __future__ import annotations

from importlib import import_module

from kdscope.pipeline.run import StageContext
from kdscope.pipeline.stage import Stage
from kdscope.stages import STAGE_VERSIONS


def execute(stage: Stage, context: StageContext) -> None:
    """Run one stage in this process.

    Raises:
        KeyError: The stage's kind is not one of `STAGE_VERSIONS`.
    """
    if stage.kind not in STAGE_VERSIONS:
        raise KeyError(stage.kind)
    import_module(f"kdscope.stages.{stage.kind}").run(context)

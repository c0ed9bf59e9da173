"""Find the code of a stage when it is about to run: planning never pays for importing torch."""

from __future__ import annotations

import platform
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any

from kdscope.core.extensions import load_planned
from kdscope.models.hardware import forget_peak_memory, peak_memory_bytes
from kdscope.pipeline.attempt import collecting_new_garbage
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
    planned: Any = stage.context.get("extensions", {})
    load_planned(planned)
    context.facts["software"] = _software(stage)
    device = str(stage.context.get("device"))
    forget_peak_memory(device)
    try:
        with collecting_new_garbage():
            import_module(f"kdscope.stages.{stage.kind}").run(context)
            context.facts["peak_memory_bytes"] = peak_memory_bytes(device)
    finally:
        _free_device_memory()


def _software(stage: Stage) -> str:
    """What decides numbers beside the parameters: the machine's kind and the versions of what computes."""
    device = stage.context.get("device")
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "peft", "accelerate"))
    return f"{platform.machine()} {device}, {packages}" if device is not None else packages


def _free_device_memory() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()

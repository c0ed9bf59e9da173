"""The kinds of stages of a study, in order, and how one is executed.

1. `prepare_data`     training rows -> training and validation examples
2. `prepare_prompts`  unlabelled rows -> prompts (studies with `data.unlabelled` only)
3. `prepare_task`     task rows -> evaluation items
4. `audit_contamination`  training examples + evaluation items -> which items the models have learnt from
5. `prepare_student`  model folder -> the same model with fewer layers (depth-pruned students only)
6. `adapt_teacher`    teacher + training examples -> teacher that knows the task
7. `record_teacher`   teacher + prompts -> the teacher's own responses
8. `record_states`    teacher + training sequences -> its last hidden states, for every student to replay
9. `cache_expectation`  recording + a frozen student head -> all that forward KL needs, a vector a token
10. `choose_rate`     the runs of a sweep, stages of the kind below -> the learning rate of an arm (with a list only)
11. `distil_student`   student + method (+ teacher, as `signal_of` decides) -> trained student; `sft` is the control
12. `evaluate_model`  any model + one task -> one record per item
13. `compare_distributions`  teacher + student + the same texts -> how alike they read them, how sure they are
14. `probe_reasoning`  any model + traces cut short, wrong or its teacher's -> what it then answers
15. `compare_pair`    all of that of a student and a teacher, with control and ceiling -> fidelity, item likeness
16. `analyse_study`   everything measured -> tidy tables
17. `write_report`    tables -> page

Each is one file and one entry of `KINDS`: its parameters, `plan(...)`, which makes the stage, and `run(context)`.
Planning imports all of them, so that what needs torch, transformers or pandas is imported inside `run`.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import cast

from kdscope.core.extensions import load_planned
from kdscope.models.hardware import forget_peak_memory, peak_memory_bytes
from kdscope.pipeline.attempt import StageContext, collecting_new_garbage
from kdscope.pipeline.stage import Stage

KINDS = (
    "prepare_data",
    "prepare_prompts",
    "prepare_task",
    "audit_contamination",
    "prepare_student",
    "adapt_teacher",
    "record_teacher",
    "record_states",
    "cache_expectation",
    "choose_rate",
    "distil_student",
    "evaluate_model",
    "compare_distributions",
    "probe_reasoning",
    "compare_pair",
    "analyse_study",
    "write_report",
)


def execute(stage: Stage, context: StageContext) -> None:
    """Run one stage in this process.

    Raises:
        KeyError: The stage's kind is not one of `KINDS`.
    """
    if stage.kind not in KINDS:
        raise KeyError(stage.kind)
    load_planned(cast(Mapping[str, str], stage.context.get("extensions", {})))
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

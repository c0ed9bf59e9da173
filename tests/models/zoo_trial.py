"""One optimiser step of a student of any architecture, along every path that a teacher's signal can take."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml
from transformers import PreTrainedModel

from kdscope.api import plan_study
from kdscope.core.errors import ModelError
from kdscope.generation.base import Decoding
from kdscope.generation.huggingface import HuggingFaceGenerator
from kdscope.models.packing import can_pack, longest_together
from kdscope.pipeline.run import run_plan
from kdscope.pipeline.stage import Stage, in_order
from kdscope.pipeline.store import Store
from kdscope.stages import execute
from tests.builders import make_rows, make_tokenizer
from tests.models.zoo import tiny_model

PATHS = ("live", "replay", "gkd")
TUNINGS = ("lora", "full")


@dataclass(frozen=True)
class Trial:
    """What became of an architecture.

    Attributes:
        losses: Of the one step, by (path, tuning); those that failed are not there.
        messages: Why some failed.
    """

    losses: Mapping[tuple[str, str], float]
    messages: tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """How a model reads and writes.

    Attributes:
        reads: packed, padded, or alone.
        writes: loop (kdscope's own), generate (transformers'), or alone.
        alike: Whether a batch of prompts gets the answers that each gets alone.
        refuses: Whether it is refused, by `ModelError`, with weights that are not numbers.
    """

    reads: str
    writes: str
    alike: bool
    refuses: bool


def read_and_write(model: PreTrainedModel) -> Reading:
    """Ask a model, and then spoil its weights."""
    generator, pack = HuggingFaceGenerator(model, make_tokenizer()), can_pack(model)
    reads = "packed" if pack else "alone" if longest_together(model, pack) == 0 else "padded"
    prompts, decoding = [list(text.encode()) for text in ("12 + 30 =", "Ann has 3 pens.", "x")], Decoding(8)
    with torch.no_grad():
        together = generator.generate(prompts, decoding)
        alike = together == [generator.generate([prompt], decoding)[0] for prompt in prompts]
        for _, weight in (pair for pair in model.named_parameters() if "embed" not in pair[0]):
            weight.fill_(float("nan"))
        try:
            written = HuggingFaceGenerator(model, generator.tokenizer).generate(prompts, decoding)
        except ModelError as error:
            refuses = "not numbers" in str(error)
        else:
            refuses = not written

    writes = "loop" if generator.decodes_itself else "generate" if generator.generates_alike else "alone"
    return Reading(reads, writes, alike, refuses)


def try_architecture(model_type: str, folder: Path, **changes: Any) -> Trial:
    """Train a student of an architecture for a step, by LoRA and in full, with a teacher of the same architecture."""
    for name, seed in (("teacher", 1), ("student", 0)):
        tiny_model(model_type, seed, **changes).save_pretrained(folder / name)
        make_tokenizer().save_pretrained(folder / name)
    rows = [{**row, "instruction": row["instruction"][-20:]} for row in make_rows(6)]
    for file in (folder / "train.json", folder / "tasks" / "SVAMP" / "test.json"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(rows))
    replayed, live = _trained(folder, "replay", "forward_kl"), _trained(folder, "live", "forward_kl", "gkd")
    stages = {("replay", tuning): replayed["forward_kl", tuning] for tuning in TUNINGS}
    stages |= {(path, tuning): live[method, tuning] for path, method in _LIVE for tuning in TUNINGS}
    store = Store(folder / "store")
    result = run_plan(stages.values(), store, execute)
    done = {key: final for key, stage in stages.items() if (final := result.final(stage)) is not None}
    losses = {key: pd.read_parquet(store.path(stage) / "training.parquet")["loss"][0] for key, stage in done.items()}
    return Trial({key: float(loss) for key, loss in losses.items()}, tuple(dict.fromkeys(result.messages.values())))


_LIVE = (("live", "forward_kl"), ("gkd", "gkd"))


def _trained(folder: Path, signal: str, *methods: str) -> dict[tuple[str, str], Stage]:
    """The stages that train, by (method, tuning)."""
    lora = {"kind": "lora", "rank": 2, "dropout": 0.0}
    study = {
        "name": signal,
        "data": {"path": str(folder / "train.json"), "validation_items": 1},
        "tasks": {"folder": str(folder / "tasks"), "names": ["SVAMP"]},
        "template": "plain",
        "teachers": [{"name": "big", "path": str(folder / "teacher"), "condition": "base"}],
        "students": [
            {"name": name, "path": str(folder / "student"), "tuning": tuning}
            for name, tuning in (("lora", lora), ("full", "full"))
        ],
        "methods": [{"name": name} | ({"on_policy_probability": 1.0} if name == "gkd" else {}) for name in methods],
        "teacher_signal": signal,
        "training": {"max_steps": 1, "batch_size_sequences": 4, "max_length_tokens": 100, "validate_every_steps": 9},
        "runtime": {"device": "cpu", "dtype": "float32", "threads": 1},
    }
    file = folder / f"{signal}.yaml"
    file.write_text(yaml.safe_dump(study))
    plan, _ = plan_study(file, folder / "store")
    stages = in_order([plan.report])
    named = {(name, tuning): f"train {tuning}/{name}-" for name in methods for tuning in TUNINGS}
    return {key: next(s for s in stages if s.label.startswith(start)) for key, start in named.items()}

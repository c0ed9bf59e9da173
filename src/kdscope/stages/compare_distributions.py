"""Teacher and student read the same texts: how alike their distributions are, and how sure each is of its answers."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from typing import Any

from transformers import PreTrainedTokenizerBase

from kdscope.core.errors import ModelError
from kdscope.data.sources import Item
from kdscope.evaluation.continuations import choose_items
from kdscope.evaluation.distribution_fidelity import PairReading, kept_reading, read_pair
from kdscope.evaluation.distributions import ForcedModel, ForcedPair
from kdscope.evaluation.records import read_records
from kdscope.models.load import load_tokenizer
from kdscope.pipeline.run import StageContext
from kdscope.stages.audit_contamination import read_audit
from kdscope.stages.files import model_place, read_prepared_items
from kdscope.stages.own_tasks import registry_of
from kdscope.stages.prompts import prompts_of
from kdscope.stages.recordings import match_models
from kdscope.stages.training_setup import load_frozen, use_threads


def run(context: StageContext) -> None:
    """Write distributions.parquet and confidence.parquet; a kill loses at most the task that was being read.

    Both are empty where the two speak of different tokens.
    """
    settings: Any = context.stage.parameters
    use_threads(context)
    opened = _open(context)
    if isinstance(opened, str):
        context.facts["left_out"] = opened
        PairReading.joined(()).save(context.output)
        return
    pair, tokenizer = opened
    left_out = read_audit(context.inputs["audit"]).items if "audit" in context.inputs else frozenset()
    every = {task: read_prepared_items(context.inputs[f"items/{task}"]) for task in settings["tasks"]}
    chosen = {t: choose_items(own, settings["items"], settings["seed"], left_out) for t, own in every.items()}
    total, done, parts = sum(map(len, chosen.values())), 0, []
    for number, (task, items) in enumerate(chosen.items()):
        if items:
            read = partial(_read, context, pair, tokenizer, task, items, done, total)
            parts.append(kept_reading(context.scratch / f"task-{number}", read))
        done += len(items)
        context.progress.update(done, total, "items")
    PairReading.joined(parts).save(context.output)
    context.facts.update(items=total)


def _read(
    context: StageContext,
    pair: ForcedPair,
    tokenizer: PreTrainedTokenizerBase,
    name: str,
    items: list[Item],
    done: int,
    total: int,
) -> PairReading:
    settings: Any = context.stage.parameters
    task = registry_of(settings).get(name)
    _, prompts = prompts_of(items, task.template or settings["template"], tokenizer)
    records: Any = {s: read_records(context.inputs[f"{s}/{name}"] / "records.parquet") for s in ("teacher", "student")}

    def tell(texts: int, of: int) -> None:
        context.progress.update(done + len(items) * texts / of, total, "items")

    return read_pair(pair, task, items, prompts, records, tokenizer, tell)


def _open(context: StageContext) -> tuple[ForcedPair, PreTrainedTokenizerBase] | str:
    """Both models, or why they cannot be compared token by token; the teacher is kept for the next student."""
    settings: Any = context.stage.parameters
    dtype, device = settings["dtype"], str(context.stage.context["device"])
    place, student_place = model_place(context, "teacher_base", "teacher"), model_place(context, "base", "model")
    key = json.dumps(["forced", asdict(place), dtype, device])
    teacher = context.resources.get(key, lambda: ForcedModel.of(load_frozen(place, dtype, device)))
    student = ForcedModel.of(load_frozen(student_place, dtype, device))
    tokenizer = load_tokenizer(student_place)
    try:
        match = match_models(context, tokenizer, teacher.head.vocabulary, student.head.vocabulary)
    except ModelError as error:
        return str(error)
    return ForcedPair(teacher, student, match), tokenizer

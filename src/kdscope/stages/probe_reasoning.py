"""Does a model mean what it writes? Its answers once its trace is cut short, wrong, or its teacher's."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase

from kdscope.evaluation.continuations import choose_items
from kdscope.evaluation.probes import ProbeRow, ProbeSettings, Subject, run_probes, subjects_of
from kdscope.evaluation.records import read_records, write_row_file
from kdscope.generation.base import Decoding
from kdscope.pipeline.run import StageContext
from kdscope.stages.audit_contamination import read_audit
from kdscope.stages.files import read_prepared_items
from kdscope.stages.generators import open_generator
from kdscope.stages.own_tasks import registry_of
from kdscope.stages.prompts import prompts_of
from kdscope.stages.training_setup import use_threads
from kdscope.tasks import Task


def run(context: StageContext) -> None:
    """Write probes.parquet; a kill loses at most the batch that was being written."""
    settings: Any = context.stage.parameters
    evaluation = settings["evaluation"]
    use_threads(context)
    generator, tokenizer = open_generator(context)
    tasks = [task for name in settings["tasks"] if (task := registry_of(settings).get(name)).answer_kind != "text"]
    subjects = [subject for task in tasks for subject in _subjects(context, task, tokenizer)]
    rows = run_probes(
        generator,
        tokenizer,
        subjects,
        ProbeSettings(
            Decoding(evaluation["max_new_tokens"], stop_texts=tuple(evaluation["stop_texts"])),
            settings["seed"],
            evaluation["batch_size"],
            settings["answer_tokens"],
            evaluation["batch_tokens"],
        ),
        scratch=context.scratch,
        progress=lambda done, total: context.progress.update(done, total, "generations"),
    )
    write_row_file(rows, ProbeRow, context.output / "probes.parquet")
    context.facts.update(items=len(subjects), probes=len(rows))


def _subjects(context: StageContext, task: Task, tokenizer: PreTrainedTokenizerBase) -> list[Subject]:
    """The subsample of a task, and what the model and its teacher (if it has one here) answered."""
    settings: Any = context.stage.parameters
    left_out = read_audit(context.inputs["audit"]).items if "audit" in context.inputs else frozenset()
    every = read_prepared_items(context.inputs[f"items/{task.name}"])
    items = choose_items(every, settings["items"], settings["seed"], left_out)
    if not items:
        return []
    _, prompts = prompts_of(items, task.template or settings["template"], tokenizer)
    roles = [role for role in (f"own/{task.name}", f"teacher/{task.name}") if role in context.inputs]
    return subjects_of(task, items, prompts, *(read_records(context.inputs[r] / "records.parquet") for r in roles))

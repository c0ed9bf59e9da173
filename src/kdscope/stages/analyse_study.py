"""Everything measured becomes the study's tidy tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from kdscope.core.errors import StatisticsError
from kdscope.evaluation.accuracy import (
    accuracy_table,
    decontaminated_results,
    gains_table,
    published_tests_table,
    without_items,
)
from kdscope.evaluation.analysis_settings import AnalysisSettings, save_analysis_settings, task_facts
from kdscope.evaluation.conclusions import NEEDED_COLUMNS, draw_conclusions
from kdscope.evaluation.probes import ProbeRow, probe_table
from kdscope.evaluation.records import CELL, Record, read_records, read_row_file
from kdscope.pipeline.manifest import read_manifest
from kdscope.pipeline.run import StageContext
from kdscope.results.methods import BASE, SFT
from kdscope.results.tables import ReportTables, save_tables
from kdscope.stages.audit_contamination import read_audit
from kdscope.stages.controls import controls_of
from kdscope.stages.notes import collect_notes
from kdscope.stages.own_tasks import registry_of

_TRAINING_FACTS = ("parameters", "trained_parameters", "steps", "target_tokens", "validation_loss")
_KEPT_FACTS = ("kept_step", "keep", "warm_start_steps", "learning_rate", "tuning_runs", "validation_accuracy")
_COSTS = ("training_seconds", "peak_memory_bytes")


def run(context: StageContext) -> None:
    """Write the tables of `ReportTables`, each as parquet and CSV, notes.json, and the settings of the analysis."""
    settings: Any = context.stage.parameters
    arms, registry = settings["arms"], registry_of(settings)
    records = {arm["label"]: _records(context, number, settings["tasks"]) for number, arm in enumerate(arms)}
    answered = {label: tasks for label, tasks in records.items() if tasks}
    done = {
        arm["label"]
        for number, arm in enumerate(arms)
        if len(records[arm["label"]]) == len(settings["tasks"]) and not _untrained(context, number, arm)
    }
    cells = pd.DataFrame([_cell(context, number, arm, arm["label"] in done) for number, arm in enumerate(arms)])
    controls = controls_of([arm for arm in arms if arm["label"] in answered])
    audit = read_audit(context.inputs["audit"])
    conclusive = without_items(answered, audit.items) if settings["exclude_contaminated"] else answered
    controls = {cell: control for cell, control in controls.items() if {cell, control} <= {*conclusive}}
    accuracy = accuracy_table(conclusive, registry=registry)
    questions = AnalysisSettings(
        scoring=settings["scoring"],
        tasks=task_facts(settings["tasks"], registry),
        contaminated=audit.items,
        exclude_contaminated=settings["exclude_contaminated"],
        controls=controls,
        likeness=_likeness(context, arms),
        **settings["analysis"],
    )
    save_analysis_settings(questions, context.output / "questions.json")
    statistics, untold = _conclusions(context, arms, cells, questions)
    tables = ReportTables(
        cells=cells,
        accuracy=accuracy,
        gains=gains_table(conclusive, controls, registry=registry),
        fidelity=_stacked(context, "pair", "fidelity.parquet", arms),
        tests=published_tests_table(accuracy, cells, controls),
        training=_stacked(context, "trained", "training.parquet", arms).drop(columns="cut_mass", errors="ignore"),
        probes=_probes(context, arms),
        contamination=audit.table(),
        clean=decontaminated_results(answered, controls, audit.items, registry),
        statistics=statistics,
    )
    save_tables(tables, context.output)
    notes = [*collect_notes(context, arms), *untold]
    (context.output / "notes.json").write_text(json.dumps(notes, indent=1))


def _records(context: StageContext, number: int, tasks: list[str]) -> dict[str, list[Record]]:
    roles = {task: f"records/{number}/{task}" for task in tasks}
    return {t: read_records(context.inputs[r] / "records.parquet") for t, r in roles.items() if r in context.inputs}


def _untrained(context: StageContext, number: int, arm: dict[str, Any]) -> bool:
    """Whether a model that should have been trained is not there: without tasks no missing answer tells so."""
    return arm["method"] != BASE and f"trained/{number}" not in context.inputs


def _conclusions(
    context: StageContext, arms: list[dict[str, Any]], cells: pd.DataFrame, questions: AnalysisSettings
) -> tuple[pd.DataFrame, list[str]]:
    """What can be concluded, and a note if nothing can: what else was measured is told all the same."""
    try:
        return draw_conclusions(_asked(context, arms), cells, questions), []
    except StatisticsError as error:
        return pd.DataFrame(), [f"the primary question has no answer: {error}"]


def _asked(context: StageContext, arms: list[dict[str, Any]]) -> pa.Table:
    """What conclusions need of the records of all models."""
    parts = []
    for role, folder in context.inputs.items():
        if role.startswith("records/"):
            table = pq.ParquetFile(folder / "records.parquet").read(columns=list(NEEDED_COLUMNS[1:]))
            label = pa.array([arms[int(role.split("/")[1])]["label"]] * len(table), pa.string())
            parts.append(table.add_column(0, CELL, label))
    return pa.concat_tables(parts) if parts else pa.table({name: pa.array([], pa.string()) for name in NEEDED_COLUMNS})


def _likeness(context: StageContext, arms: list[dict[str, Any]]) -> pa.Table | None:
    """Every distilled student's likeness to its own teacher, item by item; None without such a student."""
    parts = []
    for role, folder in context.inputs.items():
        kind, *numbers = role.split("/")
        if kind == "pair" and (arm := arms[int(numbers[0])]).get("teacher"):
            table = pq.ParquetFile(folder / "items.parquet").read()
            parts.append(table.add_column(0, CELL, pa.array([arm["label"]] * len(table), pa.string())))
    return pa.concat_tables(parts) if parts else None


def _probes(context: StageContext, arms: list[dict[str, Any]]) -> pd.DataFrame:
    """What every model's probes come to, task by task."""
    frames = [
        probe_table(read_row_file(ProbeRow, folder / "probes.parquet")).assign(
            cell=arms[int(role.split("/")[1])]["label"]
        )
        for role, folder in context.inputs.items()
        if role.startswith("probes/")
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _cell(context: StageContext, number: int, arm: dict[str, Any], done: bool) -> dict[str, Any]:
    columns = (
        *("student", "teacher", "teacher_condition", "variant"),
        *("kd_temperature", "kd_weight", "teacher_noise_std", "seed"),
    )
    row = {"cell": arm["label"], "role": arm["role"], "method": arm["method"], "state": "done" if done else "failed"}
    row |= {column: arm.get(column) for column in columns}
    facts: dict[str, Any] = {}
    if f"trained/{number}" in context.inputs:
        manifest = read_manifest(context.inputs[f"trained/{number}"] / "manifest.json")
        facts = {**manifest.facts, "training_seconds": manifest.seconds}
    cause = None if done else _cause(context, arm["label"])
    told = {name: facts.get(name) for name in (*_TRAINING_FACTS, *_COSTS, *_KEPT_FACTS, "other_rule_step")}
    return row | told | _sequences(facts) | _learned(arm, facts) | {"cause": cause}


def _learned(arm: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Whether a student was distilled, and the learning rates it was chosen from.

    One whose kept step lies in its warm start was not: its method never came to bear on these weights.
    """
    taught = arm["role"] == "student" and arm["method"] != SFT and "kept_step" in facts
    rates = facts.get("rates_tried")
    return {
        "distilled": facts["kept_step"] > facts.get("warm_start_steps", 0) if taught else None,
        "rates_tried": None if rates is None else ", ".join(f"{float(rate):g}" for rate in rates),
    }


def _sequences(facts: dict[str, Any]) -> dict[str, int | None]:
    """What a model trained on; a stage that trained tells all its sequences, and the prompts among them if any."""
    if (examples := facts.get("examples")) is None:
        return {"labelled_examples": None, "unlabelled_prompts": None}
    prompts = facts.get("unlabelled_prompts", 0)
    return {"labelled_examples": examples - prompts, "unlabelled_prompts": prompts}


def _cause(context: StageContext, label: str) -> str:
    """What the first of this model's stages that failed said."""
    where: Any = context.stage.context
    for identity in where["stages"].get(label, []):
        if (message := _failure(Path(where["store"]), identity)) is not None:
            return message
    sweep = [_failure(Path(where["store"]), identity) for identity in where.get("sweeps", {}).get(label, {}).values()]
    if sweep and all(message is not None for message in sweep):
        return f"no learning rate of its sweep could be trained; the first: {sweep[0]}"
    return "something it needs failed"


def _failure(store: Path, identity: str) -> str | None:
    """What a stage that failed said; None for any other."""
    file = store / "failures" / f"{identity}.json"
    return str(json.loads(file.read_text(encoding="utf-8")).get("message", "")) if file.is_file() else None


def _stacked(context: StageContext, prefix: str, file: str, arms: list[dict[str, Any]]) -> pd.DataFrame:
    """One table of all arms' (or pairs of arms') tables."""
    frames = []
    for role, folder in context.inputs.items():
        if role.split("/")[0] != prefix:
            continue
        labels = [arms[int(number)]["label"] for number in role.split("/")[1:]]
        names = dict(zip(("cell", "teacher_cell"), labels, strict=False))
        frames.append(pd.read_parquet(folder / file).assign(**names))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

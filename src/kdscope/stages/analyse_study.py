"""Stage 9: everything measured becomes the study's tidy tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from kdscope.evaluation.records import Record, read_records
from kdscope.evaluation.tables import accuracy_table, gains_table, published_tests_table
from kdscope.pipeline.manifest import read_manifest
from kdscope.pipeline.run import StageContext
from kdscope.report.tables import ReportTables, save_tables

_TRAINING_FACTS = ("parameters", "trained_parameters", "steps", "target_tokens", "validation_loss")


def run(context: StageContext) -> None:
    """Write cells, accuracy, gains, fidelity, tests and training, each as parquet and CSV."""
    settings: Any = context.stage.parameters
    arms = settings["arms"]
    records = {arm["label"]: _records(context, number, settings["tasks"]) for number, arm in enumerate(arms)}
    complete = {label: tasks for label, tasks in records.items() if len(tasks) == len(settings["tasks"])}
    cells = pd.DataFrame([_cell(context, number, arm, arm["label"] in complete) for number, arm in enumerate(arms)])
    controls = _controls(arms, complete)
    accuracy = accuracy_table(complete)
    tables = ReportTables(
        cells=cells,
        accuracy=accuracy,
        gains=gains_table(complete, controls),
        fidelity=_stacked(context, "pair", "fidelity.parquet", arms),
        tests=published_tests_table(accuracy, cells, controls),
        training=_stacked(context, "trained", "training.parquet", arms).drop(columns="cut_mass", errors="ignore"),
    )
    save_tables(tables, context.output)
    notes = [note for number, arm in enumerate(arms) for note in _notes(context, number, arm["label"])]
    (context.output / "notes.json").write_text(json.dumps(notes, indent=1))


def _records(context: StageContext, number: int, tasks: list[str]) -> dict[str, list[Record]]:
    roles = {task: f"records/{number}/{task}" for task in tasks}
    return {t: read_records(context.inputs[r] / "records.parquet") for t, r in roles.items() if r in context.inputs}


def _controls(arms: list[dict[str, Any]], complete: dict[str, Any]) -> dict[str, str]:
    """The SFT student of the same base and seed, for every other student; the first, where a study has several."""
    students = [arm for arm in arms if arm["role"] == "student" and arm["label"] in complete]
    control = {(a["student"], a["seed"]): a["label"] for a in reversed(students) if a["method"] == "sft"}
    keys = {a["label"]: (a["student"], a["seed"]) for a in students if a["method"] != "sft"}
    return {label: control[key] for label, key in keys.items() if key in control}


def _cell(context: StageContext, number: int, arm: dict[str, Any], done: bool) -> dict[str, Any]:
    columns = ("student", "teacher", "teacher_condition", "kd_temperature", "kd_weight", "teacher_noise_std", "seed")
    row = {"cell": arm["label"], "role": arm["role"], "method": arm["method"], "state": "done" if done else "failed"}
    row |= {column: arm.get(column) for column in columns}
    facts: dict[str, Any] = {}
    if f"trained/{number}" in context.inputs:
        facts = dict(read_manifest(context.inputs[f"trained/{number}"] / "manifest.json").facts)
    cause = None if done else _cause(context, arm["label"])
    return row | {name: facts.get(name) for name in _TRAINING_FACTS} | {"cause": cause}


def _notes(context: StageContext, number: int, label: str) -> list[str]:
    """What a reader should know of how a model was trained, from what its stage wrote down."""
    if f"trained/{number}" not in context.inputs:
        return []
    folder = context.inputs[f"trained/{number}"]
    facts: dict[str, Any] = dict(read_manifest(folder / "manifest.json").facts)
    notes = []
    if facts["examples_left_out"]:
        notes.append(f"{label}: {facts['examples_left_out']} training examples left out, no room for a response")
    if facts["examples_cut"]:
        notes.append(
            f"{label}: {facts['examples_cut']} of {facts['examples']} training examples cut at max_length_tokens"
        )
    lost = pd.read_parquet(folder / "training.parquet", columns=["cut_mass"])["cut_mass"].max()
    if lost > 0:
        notes.append(f"{label}: up to {lost:.2g} of the teacher's probability lay on ids the student lacks")
    return notes


def _cause(context: StageContext, label: str) -> str:
    """What the first of this model's stages that failed said."""
    where: Any = context.stage.context
    for identity in where["stages"].get(label, []):
        file = Path(where["store"]) / "failures" / f"{identity}.json"
        if file.is_file():
            return str(json.loads(file.read_text(encoding="utf-8")).get("message", ""))
    return "something it needs failed"


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

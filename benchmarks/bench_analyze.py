"""A run of a million item records, analysed as `kdscope analyze RUN` does: how long, in how much memory.

    python benchmarks/bench_analyze.py
    python benchmarks/bench_analyze.py --models 12 --items 200     # a small one

Made up: seven students, each as SFT control and distilled by three methods from three teachers, some at a second
temperature, on 14 tasks; prompts of about 400 characters; answers right by chance and by the model's skill; a likeness
to the teacher for each item, as a run keeps it, so that how long the answers are plays no part. What is measured is a
process of its own, from its start: reading the run's folder and the rigorous protocol.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from kdscope.evaluation.analysis_settings import AnalysisSettings, TaskFacts, save_analysis_settings
from kdscope.evaluation.records import run_record_schema
from kdscope.results.measures import ITEM_MEASURE
from kdscope.results.tables import ReportTables, save_tables

TASKS = {f"task-{number:02}": TaskFacts("math" if number < 6 else "commonsense") for number in range(14)}
_TEACHERS, _METHODS = ("t-1", "t-2", "t-3"), ("forward_kl", "reverse_kl", "gkd")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the run, analyse it, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=63)
    parser.add_argument("--items", type=int, default=1150, help="Of each of the 14 tasks.")
    parser.add_argument("--analyse", type=Path, help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    if parsed.analyse is not None:
        analyse(parsed.analyse)
        return
    with tempfile.TemporaryDirectory() as place:
        count = make_run(Path(place), parsed.models, parsed.items)
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, __file__, "--analyse", place], capture_output=True, text=True, check=True
        )
        print(f"{count:,} records: {time.perf_counter() - began:.1f} s, {done.stdout.strip()}")


def analyse(run: Path) -> None:
    """What the command does, and the most memory it took."""
    from kdscope.api import analyze_table

    found = analyze_table(run)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak {peak:.2f} GiB, {len(found.statistics)} results")


def make_run(folder: Path, models: int, items: int) -> int:
    """Tables, questions and records of a run; returns how many records there are."""
    cells = _cells(models)
    none = pd.DataFrame()
    save_tables(ReportTables(cells, _accuracy(cells), none, none, none, none), folder / "tables")
    controls = {row["cell"]: f"{row['student']}/sft" for row in cells.to_dict("records") if row["method"] != "sft"}
    rng = np.random.default_rng(0)
    questions = AnalysisSettings("robust", TASKS, controls=controls, likeness=_likeness(list(controls), items, rng))
    save_analysis_settings(questions, folder / "tables/questions.json")
    (folder / "records").mkdir()
    skill = rng.uniform(0.3, 0.7, models)
    for task in TASKS:
        prompts = [f"{task} question {number}: " + "how many are there in all " * 15 for number in range(items)]
        with pq.ParquetWriter(folder / f"records/{task}.parquet", run_record_schema(), compression="zstd") as writer:
            for label, own in zip(cells["cell"], skill, strict=True):
                writer.write_table(_answers(label, task, prompts, rng.random(items) < own))
    return models * items * len(TASKS)


def _cells(models: int) -> pd.DataFrame:
    students = [f"student-{size}B" for size in (1, 2, 3, 5, 7, 9, 13)]
    distilled = [
        (student, teacher, method, temperature)
        for temperature in (1.0, 2.0)
        for teacher in _TEACHERS
        for method in _METHODS
        for student in students
    ]
    settings = [(student, None, "sft", None) for student in students] + distilled
    rows = pd.DataFrame(settings[:models], columns=["student", "teacher", "method", "kd_temperature"])
    labels = rows.astype(object).fillna("").astype(str).agg("/".join, axis=1).str.replace("//", "/").str.strip("/")
    labels = labels.where(rows["method"] != "sft", rows["student"] + "/sft")
    condition = rows["teacher"].map(lambda name: None if pd.isna(name) else "adapted")
    columns = ("variant", "kd_weight", "teacher_noise_std", "cause", "parameters", "trained_parameters", "steps")
    missing = dict.fromkeys((*columns, "target_tokens", "validation_loss"))
    return rows.assign(cell=labels, role="student", teacher_condition=condition, seed=0, state="done", **missing)


def _accuracy(cells: pd.DataFrame) -> pd.DataFrame:
    columns = ("items", "correct", "low", "high", "unparsed_rate", "truncated_rate", "chance", "below_chance")
    rows = [
        {"cell": cell, "task": task, "scoring": "robust", "accuracy": 0.5} for cell in cells["cell"] for task in TASKS
    ]
    return pd.DataFrame(rows).assign(**dict.fromkeys(columns))


def _likeness(distilled: list[str], items: int, rng: np.random.Generator) -> pa.Table:
    names = [(task, f"{task}/{number}") for task in TASKS for number in range(items)]
    tasks, ids = (list(column) * len(distilled) for column in zip(*names, strict=True))
    cells = [label for label in distilled for _ in names]
    return pa.table({"cell": cells, "task": tasks, "item_id": ids, ITEM_MEASURE: rng.random(len(cells))})


def _answers(label: str, task: str, prompts: list[str], right: np.ndarray) -> pa.Table:
    count = len(prompts)
    values = np.where(right, "4", "5")
    columns = {
        "cell": [label] * count,
        "task": [task] * count,
        "item_id": [f"{task}/{number}" for number in range(count)],
        "item_hash": [f"{number}" for number in range(count)],
        "prompt": prompts,
        "completion": [f"so the answer is {value}" for value in values],
        "robust_value": values,
        "published_value": values,
        "correct_robust": right,
        "correct_published": right,
        "rouge_l": [None] * count,
        **{name: [0] * count for name in ("decoding_seed", "completion_tokens")},
        **{name: ["stop"] * count for name in ("finish_reason", "gold", "robust_rule", "robust_status")},
        "truncated": [False] * count,
    }
    schema = run_record_schema()
    return pa.Table.from_pydict({name: columns[name] for name in schema.names}, schema=schema)


if __name__ == "__main__":
    main()

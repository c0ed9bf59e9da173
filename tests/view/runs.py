"""Folders of runs as `kdscope run` leaves them, with answers that a test chooses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from kdscope.evaluation.records import Record, write_records, write_run_records
from kdscope.results.tables import ReportTables, save_tables

TEACHER, SFT, KD, LATER = "teacher/big", "small/sft/s0", "small/forward_kl/big/s0", "small/gkd/big/s0"
CELLS = (TEACHER, SFT, KD, LATER)
FRAME = "Below is an instruction.\n\n### Instruction:\n{}\n\n### Response:\n"
EVIL = (
    "<script>document.title = 'owned'; alert(1)</script></script><img src=x onerror=alert(2)> &lt;b&gt; &amp; "
    "\x1b[31mred\x1b[0m nul\x00 \u202egnp.exe\u202c {{ 7 * 7 }} \"quoted\" 'single' `tick` --> ]]>"
)


def record(item: int, value: str | None = "1", **changes: Any) -> Record:
    """One answer to item number `item`, whose right answer is 1."""
    values: dict[str, Any] = {
        "task": "sums",
        "item_id": f"sums/{item}",
        "item_hash": f"{item:064x}",
        "decoding_seed": 0,
        "prompt": FRAME.format(f"Question {item} about pens?"),
        "completion": f"Item {item}. The answer is {value}.",
        "finish_reason": "stop",
        "gold": "1",
        "published_value": value,
        "correct_published": value == "1",
        "robust_value": value,
        "robust_rule": "none" if value is None else "marker",
        "robust_status": "unparsed" if value is None else "explicit",
        "truncated": False,
        "correct_robust": value == "1",
        "completion_tokens": 12,
    }
    return Record(**values | changes)


def write_run(
    folder: Path, records: Mapping[str, Mapping[str, Sequence[Record]]], *, failed: Mapping[str, str] | None = None
) -> Path:
    """A run whose cells (outer key) have these records of these tasks (inner key)."""
    cells = dict.fromkeys([*records, *(failed or {})])
    empty = pd.DataFrame()
    frame = pd.DataFrame([_cell(cell, (failed or {}).get(cell)) for cell in cells])
    save_tables(ReportTables(frame, empty, empty, empty, empty, empty), folder / "tables")
    files: dict[str, dict[str, Path]] = {}
    for number, (cell, by_task) in enumerate(records.items()):
        for task, answers in by_task.items():
            file = folder.parent / f"{folder.name}-stages" / str(number) / task / "records.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_records(answers, file)
            files.setdefault(cell, {})[task] = file
    write_run_records(files, folder / "records")
    (folder / "run.json").write_text(json.dumps({"study": "my study", "scoring": "robust", "store": "/", "models": {}}))
    return folder


def school(folder: Path, *, items: int = 120) -> Path:
    """Four models on a task of sums: every way of being right and wrong together occurs, and every kind of trouble."""
    records = {
        cell: {"sums": [_school_record(place, item) for item in range(items)]} for place, cell in enumerate(CELLS)
    }
    records[TEACHER]["letters"] = [record(0, "A", task="letters", item_id="letters/0", gold="A", correct_robust=True)]
    return write_run(folder, records)


def _school_record(place: int, item: int) -> Record:
    wrong = item // (place + 1) % (place + 2) == 0 if place else item % 5 == 0
    if item == 3:
        return record(item, "1", completion=EVIL + " The answer is 1.", prompt=FRAME.format(EVIL))
    if item % 11 == 10 and place == 2:
        return record(item, None, truncated=True, finish_reason="length", completion="It is, I think, about")
    shared = "7" if place in (0, 2) else f"{8 + place}"
    return record(item, shared if wrong else "1")


def _cell(cell: str, cause: str | None) -> dict[str, Any]:
    parts = cell.split("/")
    is_teacher = parts[0] == "teacher"
    has_teacher = is_teacher or len(parts) > 3
    return {
        "cell": cell,
        "role": "teacher" if is_teacher else "student",
        "student": None if is_teacher else parts[0],
        "teacher": (parts[1] if is_teacher else parts[2]) if has_teacher else None,
        "teacher_condition": "adapted" if has_teacher else None,
        "method": "adapt" if is_teacher else parts[1],
        "variant": None if is_teacher else "",
        **dict.fromkeys(("kd_temperature", "kd_weight", "teacher_noise_std")),
        "seed": None if is_teacher else 0,
        "state": "failed" if cause else "done",
        "cause": cause,
        **dict.fromkeys(("parameters", "trained_parameters", "steps", "target_tokens", "validation_loss")),
    }

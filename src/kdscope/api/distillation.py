"""One student from one teacher, without a study file: a study is made, run like any other, its student exported."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdscope.api.distil_study import Asked, checked_study, study_values
from kdscope.api.export import Exported, check_free, export_models
from kdscope.api.study import StudyResult, run_study
from kdscope.pipeline.events import Events
from kdscope.results.methods import SFT
from kdscope.study.dump import values_yaml
from kdscope.study.grid import expand_cells
from kdscope.study.schema import Study


@dataclass(frozen=True)
class Distilled:
    """What a distillation left behind.

    Attributes:
        folder: The student, a Hugging Face or peft folder; None where training failed.
        card: Its model card; None likewise.
        exported: The student's files, how to load it, its results in sentences; None likewise.
        study: The study that was run.
        result: What became of it: report, tables, stages.
        run: The folder of report, tables and records.
    """

    folder: Path | None
    card: Path | None
    exported: Exported | None
    study: Study
    result: StudyResult
    run: Path


def distill(
    teacher: str | Path,
    student: str | Path,
    method: str,
    data: str | Path,
    *,
    out: Path | None = None,
    store: Path | None = None,
    merge: bool = False,
    events: Events | None = None,
    **settings: Any,
) -> Distilled:
    """Train one student from one teacher, evaluate both where tasks are given, and export the student with its card.

    It is a study of one method (with the control beside it, where there are tasks): what is done is reused, what was
    interrupted continues, and the results are where those of any study are, in runs/NAME.

    Args:
        teacher: A Hugging Face folder, a hub repository (`name@revision`), or an embedded model (`kdscope:tiny-l`).
        student: Likewise.
        method: How the student learns.
        data: The training set: JSON, JSONL or parquet.
        out: The student's folder; runs/NAME/student where absent.
        store: Where finished work is kept.
        merge: Export a whole model where an adapter was trained.
        events: Who listens.
        settings: Further attributes of `distil_study.Asked`.

    Raises:
        StudyError: Something asked for cannot be; names the argument.
        DataError: A row of the data cannot be used; the folder `out` is in use by something else.
        MachineError: The machine lacks something that was asked for.
    """
    study = checked_study(study_values(Asked(teacher, student, method, data, **settings)))
    run = Path("runs") / study.name
    folder = Path(out) if out is not None else run / "student"
    check_free(folder)
    result = run_study(study, store=store, out=run, events=events)
    cell = next(cell.label for cell in expand_cells(study) if cell.method.name != SFT)
    made = json.loads((run / "run.json").read_text(encoding="utf-8"))["models"].get(cell)
    if made is None or result.tables is None or result.report is None:
        return Distilled(None, None, None, study, result, run)
    exported = export_models(run, cell, out=folder, merge=merge)[0]
    return Distilled(exported.folder, exported.card, exported, study, result, run)


def distil_yaml(teacher: str | Path, student: str | Path, method: str, data: str | Path, **settings: Any) -> str:
    """The study that `distill` runs when it is called so, as YAML to grow from.

    Raises:
        StudyError: As `distill`.
    """
    values = study_values(Asked(teacher, student, method, data, **settings))
    checked_study(values)
    return values_yaml(values)

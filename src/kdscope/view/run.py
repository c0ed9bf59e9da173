"""The folder of a run: its models, which of them failed, where their records lie, and which are shown first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from kdscope.core.errors import DataError
from kdscope.evaluation.records import SCORINGS, run_record_schema
from kdscope.results.formatting import is_missing
from kdscope.results.labels import CellName, name_cells
from kdscope.results.methods import SFT
from kdscope.results.run_file import check_run_files, load_run_file

_CELL_COLUMNS = (
    *("cell", "role", "student", "teacher", "teacher_condition", "method", "kd_temperature", "kd_weight"),
    *("teacher_noise_std", "seed", "state", "cause"),
)
_LATER = frozenset({"rouge_l"})


@dataclass(frozen=True)
class Model:
    """A cell of the study: one model.

    Attributes:
        name: How the report calls it.
        teacher: Of a distilled student: its teacher; of a teacher: itself.
        condition: Of that teacher: adapted or base; empty where there is none.
        cause: Why the cell failed; empty where it did not.
    """

    name: CellName
    teacher: str
    condition: str
    cause: str

    @property
    def cell(self) -> str:
        """The cell's label."""
        return self.name.cell

    @property
    def title(self) -> str:
        """Model and method, as a heading says them."""
        return f"{self.name.model} · {self.name.short}"


@dataclass(frozen=True)
class RunFolder:
    """A run as it lies on disk.

    Attributes:
        folder: The folder.
        study: The study's name.
        scoring: The scoring that its conclusions use.
        models: Every cell, by its label, in the study's order.
        tasks: The file with the records of each task.
    """

    folder: Path
    study: str
    scoring: str
    models: Mapping[str, Model]
    tasks: Mapping[str, Path]

    @property
    def failed(self) -> list[Model]:
        """The cells that have no model."""
        return [model for model in self.models.values() if model.cause]


def open_run(folder: Path) -> RunFolder:
    """Look at a run: its cells, and the header of every file of records.

    Raises:
        DataError: It is not the folder of a run, was made before runs kept their records, or a file is damaged.
    """
    _check_folder(folder)
    check_run_files(folder, "tables/cells.parquet", "records/*.parquet")
    models = _models(folder / "tables" / "cells.parquet")
    files = sorted((folder / "records").glob("*.parquet"))
    if not files:
        raise DataError(_no_records(models), file=folder / "records")
    for file in files:
        _check_header(file)
    facts = load_run_file(folder) or {}  # a run without it is shown all the same
    scoring = facts.get("scoring")
    return RunFolder(
        folder=folder,
        study=str(facts.get("study") or folder.resolve().name),
        scoring=str(scoring) if scoring in SCORINGS else SCORINGS[0],
        models=models,
        tasks={file.stem: file for file in files},
    )


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        what = "this is a file; give the folder it is in" if folder.exists() else "there is no such folder"
        raise DataError(f"{what}. `kdscope run STUDY.yaml` makes the folder of a run, runs/NAME", file=folder)
    if not (folder / "tables" / "cells.parquet").is_file():
        raise DataError(
            "this is not the folder of a run: it has no tables/cells.parquet. `kdscope run STUDY.yaml` makes one, "
            "runs/NAME",
            file=folder,
        )
    if not (folder / "records").is_dir():
        raise DataError(
            "this run has no records/: an older version made it. Run `kdscope run STUDY.yaml` again, with the same "
            "store; nothing is trained again",
            file=folder,
        )


def _no_records(models: Mapping[str, Model]) -> str:
    failed = [f"{model.cell} ({model.cause})" for model in models.values() if model.cause]
    told = f"; failed: {', '.join(failed)}" if failed else ""
    return (
        f"no model of this run has answered a task{told}. `kdscope run STUDY.yaml` goes on where the run stopped, and "
        "copies the records here; nothing is trained again"
    )


def _models(file: Path) -> dict[str, Model]:
    try:
        table = pd.read_parquet(file, engine="pyarrow")
    except (OSError, ValueError) as error:
        raise DataError(f"not a readable parquet file ({error})", file=file) from error
    for column in _CELL_COLUMNS:
        if column not in table.columns:
            raise DataError("this column of the table of cells is missing", file=file, key=column)
    names = name_cells(table)
    return {str(row["cell"]): _model(row, names[str(row["cell"])]) for row in table.to_dict("records")}


def _model(row: Mapping[object, object], name: CellName) -> Model:
    failed = row["state"] == "failed"
    return Model(
        name=name,
        teacher=_text(row["teacher"]),
        condition=_text(row["teacher_condition"]),
        cause=(_text(row["cause"]) or "no cause is told") if failed else "",
    )


def _text(value: object) -> str:
    return "" if is_missing(value) else str(value)


def _check_header(file: Path) -> None:
    try:
        names = pq.read_schema(file).names
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"records cannot be read: {error}", file=file) from error
    for column in run_record_schema().names:
        if column not in names and column not in _LATER:
            raise DataError("this column of the records is missing", file=file, key=column)


def default_cells(models: Sequence[Model]) -> list[str]:
    """The first distilled student, the plain fine-tuned student of its kind, and its teacher before them.

    Args:
        models: Those that have records, in the study's order.
    """
    students = [model for model in models if model.name.role == "student"]
    distilled = next((model for model in students if model.name.method != SFT), None)
    kind = distilled or next(iter(students), None)
    plain = next(
        (m for m in students if m.name.method == SFT and kind is not None and m.name.model == kind.name.model), None
    )
    chosen = [_teacher(models, distilled), plain, distilled]
    found = [model.cell for model in chosen if model is not None]
    return found if len(found) > 1 else [model.cell for model in models[:3]]


def _teacher(models: Sequence[Model], student: Model | None) -> Model | None:
    teachers = [model for model in models if model.name.role == "teacher"]
    own = [
        t for t in teachers if student is not None and (t.teacher, t.condition) == (student.teacher, student.condition)
    ]
    return next(iter([*own, *teachers]), None)


def reference_of(models: Sequence[Model]) -> int:
    """The place of the model that the others are compared with: the first teacher, else the first model."""
    return next((place for place, model in enumerate(models) if model.name.role == "teacher"), 0)

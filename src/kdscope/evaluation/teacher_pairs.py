"""Every student beside its teacher on every item: who has it right, and whether both give the same wrong answer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as compute

from kdscope.answers.quantities import number_key
from kdscope.evaluation.analysis_settings import AnalysisSettings
from kdscope.evaluation.compared_models import compared_models
from kdscope.evaluation.records import CELL
from kdscope.protocols.item_matrix import PAIR_COLUMNS
from kdscope.results.column_names import SFT


def pair_frame(records: pa.Table, cells: pd.DataFrame, settings: AnalysisSettings) -> pd.DataFrame:
    """Every student beside its teacher on every item, as `item_matrix.PAIR_COLUMNS` has it, means over decoding seeds.

    A control stands beside each teacher of its student's distilled runs. An answer that could not be read is neither
    right nor the same as any other. Tasks of free text have no right and wrong and are left out.
    """
    models = compared_models(cells, settings.controls)
    answered = [name for name, task in settings.tasks.items() if not task.free_text]
    table = asked_records(records, models, settings)
    table = table.filter(compute.is_in(table["task"], pa.array(answered, pa.string())))
    right = np.asarray(table[f"correct_{settings.scoring}"].to_numpy(zero_copy_only=False), dtype=np.bool_)
    keys = table.select([CELL, "task", "item_id", "decoding_seed"]).to_pandas()
    rows = keys.assign(answer=_answers(table, settings), right=right)
    rows["wrong"] = ~rows["right"] & rows["answer"].notna()
    by_cell = {str(cell): some.drop(columns=CELL) for cell, some in rows.groupby(CELL, sort=False)}
    parts = [
        _pair(by_cell[cell], by_cell[teacher]).assign(model=cell, teacher_model=teacher)
        for cell, teacher in _teachers_of(models)
        if cell in by_cell and teacher in by_cell
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(PAIR_COLUMNS))


def asked_records(records: pa.Table, models: pd.DataFrame, settings: AnalysisSettings) -> pa.Table:
    """The records that conclusions are drawn from."""
    asked = compute.is_in(records[CELL], pa.array(list(models.index), pa.string()))
    if settings.exclude_contaminated:
        left_out = pa.array(sorted(settings.contaminated), pa.string())
        asked = compute.and_(asked, compute.invert(compute.is_in(records["item_id"], left_out)))
    return records.filter(asked)


def _teachers_of(models: pd.DataFrame) -> list[tuple[str, str]]:
    """Every distilled student with its teacher, and every control with all teachers of its student's distilled runs."""
    taught = models[(models["student"] != "") & (models["teacher_cell"] != "")]
    of_students = taught.groupby("student", sort=False)["teacher_cell"].unique().to_dict()
    own = list(zip(taught.index, taught["teacher_cell"], strict=True))
    beside = models.loc[models["method"] == SFT, "student"]
    return own + [(cell, teacher) for cell, student in beside.items() for teacher in of_students.get(student, ())]


def _pair(own: pd.DataFrame, teacher: pd.DataFrame) -> pd.DataFrame:
    """Shares of one model and its teacher on every item, seed by seed; a teacher that has one seed is met by all."""
    if teacher["decoding_seed"].nunique() == 1:
        both = own.merge(teacher.drop(columns="decoding_seed"), on=["task", "item_id"], suffixes=("", "_teacher"))
    else:
        both = own.merge(teacher, on=["task", "item_id", "decoding_seed"], suffixes=("", "_teacher"))
    neither = ~both["right"] & ~both["right_teacher"]
    same = (both["answer"] == both["answer_teacher"]) & both["answer"].notna()
    shares = pd.DataFrame(
        {
            "own_right": both["right"],
            "teacher_right": both["right_teacher"],
            "own_wrong": both["wrong"],
            "teacher_wrong": both["wrong_teacher"],
            "both_right": both["right"] & both["right_teacher"],
            "both_wrong": neither,
            "same_wrong": neither & same,
        }
    ).astype(np.float64)
    shares = shares.assign(task=both["task"], item=both["item_id"])
    if not shares.duplicated(["task", "item"]).any():
        return shares
    return shares.groupby(["task", "item"], sort=False).mean().reset_index()


def _answers(table: pa.Table, settings: AnalysisSettings) -> pd.Series:
    """The answers, equal ones alike; missing where none could be read."""
    found = table.select(["task", f"{settings.scoring}_value"]).to_pandas().set_axis(["task", "answer"], axis=1)
    numeric = (
        found["task"].isin([name for name, task in settings.tasks.items() if task.numeric]) & found["answer"].notna()
    )
    known = {value: number_key(value) for value in found.loc[numeric, "answer"].unique()}
    answers: pd.Series = found["answer"].where(~numeric, found["answer"].map(known))
    return answers

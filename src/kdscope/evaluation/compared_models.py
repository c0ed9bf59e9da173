"""Whose answers are compared: main settings, ablations, controls and teachers, and every student beside its teacher."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as compute

from kdscope.answers.quantities import number_key
from kdscope.evaluation.analysis_settings import AnalysisSettings
from kdscope.evaluation.records import CELL
from kdscope.protocols.item_matrix import PAIR_COLUMNS
from kdscope.results.column_names import SFT, TEACHER

_PREFERRED: Mapping[str, Any] = MappingProxyType(
    {"teacher_condition": "adapted", "kd_weight": 1.0, "teacher_noise_std": 0.0}
)
_SETTING = ("student", "teacher", "teacher_condition", "method", "variant", "kd_temperature", "kd_weight")
"""With the noise of the teacher what makes two cells runs of one setting."""


_COLUMNS = (
    *("model", "student", "teacher", "method", "temperature", "seed", "ablation", "teacher_cell", "parameters"),
)


def compared_models(cells: pd.DataFrame, controls: Mapping[str, str]) -> pd.DataFrame:
    """Student, teacher, method, temperature, seed and ablation of every model that a question is about."""
    done = _without_never_distilled(cells[cells["state"] == "done"])
    # A distilled run whose control of the same seed failed still stands beside the controls of other seeds.
    # Without any control, as where levels are told, all students stand.
    some = done[done["cell"].isin([*controls.values()])] if controls else done
    controlled, settings = set(some["student"].dropna()), set(some["variant"].map(_text))
    # Controls of another setting (the prompt in the loss, say) than those that students are compared with stay out.
    beside = (done["method"] != SFT) | done["variant"].map(_text).isin(settings)
    students = (done["role"] == "student") & done["student"].isin(controlled) & beside
    involved = done[students | (done["role"] == "teacher")]
    own_teacher = {(r["teacher"], r["teacher_condition"]): r["cell"] for r in rows_of(done[done["role"] == "teacher"])}
    usual = _usual(cells)
    rows = [
        {
            "model": row["cell"],
            "student": row["student"] if row["role"] == "student" else "",
            "teacher": _text(row["teacher"]),
            "method": _method(row, usual),
            "temperature": row["kd_temperature"],
            "seed": row["seed"],
            "ablation": _ablation(row, usual) if row["role"] == "student" else _as_it_came(row, own_teacher),
            "teacher_cell": own_teacher.get((row["teacher"], row["teacher_condition"]), ""),
            "parameters": row["parameters"],
        }
        for row in rows_of(involved)
    ]
    # With its columns where every model failed.
    return pd.DataFrame(rows, columns=_COLUMNS).set_index("model")


def _without_never_distilled(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells without the settings of which some run's kept step lies in its warm start."""
    if "distilled" not in cells:
        return cells
    never = ~cells["distilled"].astype("boolean").fillna(True)
    columns = [name for name in (*_SETTING, "teacher_noise_std") if name in cells]
    key = cells[columns].astype(object).where(cells[columns].notna(), None).apply(tuple, axis=1)
    return cells[~key.isin(set(key[never]))]


def _usual(cells: pd.DataFrame) -> dict[tuple[str, str, str], dict[str, Any]]:
    """By teacher, method and variant the settings that ablations depart from, in everything that was planned.

    Adapted, full weight and no noise, where there is such a cell; else whatever comes first, which is no ablation then.
    What failed counts too: an ablation does not become the main setting because the main setting broke.
    """
    students = cells[cells["role"] == "student"]
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows_of(students):
        groups.setdefault(_group(row), []).append(row)
    usual = {}
    for group, rows in groups.items():
        known = {name: [row[name] for row in rows if not pd.isna(row[name])] for name in _PREFERRED}
        usual[group] = {
            name: value if value in known[name] or not known[name] else known[name][0]
            for name, value in _PREFERRED.items()
        }
    return usual


def _group(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return _text(row["teacher"]), str(row["method"]), _text(row["variant"])


def _method(row: Mapping[str, Any], usual: Mapping[tuple[str, str, str], dict[str, Any]]) -> str:
    """A method with the settings that tell it from its namesakes; controls of any setting are controls."""
    if row["role"] == "teacher":
        return TEACHER
    if row["method"] == SFT:
        return SFT
    unlike = _told(usual[_group(row)], _PREFERRED)
    parts = [" ".join(part for part in (str(row["method"]), _text(row["variant"])) if part), unlike]
    return ", ".join(part for part in parts if part)


def _ablation(row: Mapping[str, Any], usual: Mapping[tuple[str, str, str], dict[str, Any]]) -> str:
    return _told(row, usual[_group(row)])


def _as_it_came(row: Mapping[str, Any], teachers: Mapping[tuple[str, str], str]) -> str:
    """Of a teacher that stands beside itself adapted: it is not the teacher that main settings learned from."""
    beside = (row["teacher"], "adapted") in teachers
    return "unadapted teacher" if row["teacher_condition"] == "base" and beside else ""


def _told(settings: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """In which settings something is not as usual, in words."""
    parts = []
    for name, value in usual.items():
        own = settings[name]
        if pd.isna(own) or own == value:
            continue
        words = {"kd_weight": f"kd_weight {own}", "teacher_noise_std": f"noise {own}"}
        parts.append(words.get(name, "unadapted teacher" if own == "base" else "adapted teacher"))
    return ", ".join(parts)


def rows_of(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, a dictionary each."""
    return [{str(name): value for name, value in row.items()} for row in cells.to_dict("records")]


def _text(value: object) -> str:
    return "" if value is None or value is pd.NA or value != value else str(value)


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

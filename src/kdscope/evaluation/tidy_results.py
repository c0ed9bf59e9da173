"""A run's tables as one tidy table of results, the shape in which any study's results can be analysed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from kdscope.core.errors import DataError
from kdscope.evaluation.analysis_settings import AnalysisSettings
from kdscope.evaluation.compared_models import rows_of
from kdscope.results.column_names import ADAPTED, FIDELITY, ITEM_STDERR, SFT
from kdscope.results.column_names import AGREEMENT as TIDY_AGREEMENT
from kdscope.results.column_names import AVERAGE as TIDY_AVERAGE
from kdscope.results.measures import AGREEMENT, BLEU

_FIDELITY = {AGREEMENT: (TIDY_AGREEMENT, 100.0), BLEU: (FIDELITY, 1.0)}
"""Measures of a run that answer H4 and H5, the names they have there, and what makes them percent."""


def tidy_results(
    cells: pd.DataFrame,
    accuracy: pd.DataFrame,
    fidelity: pd.DataFrame,
    settings: AnalysisSettings,
    study: str,
    statistics: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Accuracy of every model, and agreement and BLEU of every student, in percent, for `protocols.results_table`.

    An adapted teacher stands in it as a fine-tuned model of its own name. Left out are models that failed, noisy
    teachers (the published study had none), tasks of free text, and controls that no student is compared with.

    Args:
        cells: The run's table of cells.
        accuracy: Its table of accuracies.
        fidelity: Its table of fidelity.
        settings: What the run was asked; its scoring is used.
        study: The run's name.
        statistics: The run's conclusions. From them controls have ``item_stderr``, the error that the choice of items
            leaves in their student's gain, so that the table is tested as the records are.

    Raises:
        DataError: No model has an accuracy.
    """
    students = set(cells.loc[cells["role"] != "teacher", "student"].dropna())
    models = {row["cell"]: _model(row, students) for row in rows_of(cells) if _belongs(row, settings)}
    tasks = {name: task.domain for name, task in settings.tasks.items() if not task.free_text}
    chosen = accuracy[(accuracy["scoring"] == settings.scoring) & accuracy["cell"].isin(list(models))]
    rows = [
        {**models[row["cell"]], "task": row["task"], "metric": "accuracy", "value": 100 * row["accuracy"]}
        for row in rows_of(chosen)
        if row["task"] in tasks
    ]
    teachers = {row["cell"]: row for row in rows_of(cells[cells["role"] == "teacher"])}
    known = fidelity["measure"].isin(list(_FIDELITY)) & fidelity["cell"].isin(list(models)) & fidelity["value"].notna()
    for row in rows_of(fidelity[known & fidelity["task"].isin(list(tasks))]):
        metric, factor = _FIDELITY[row["measure"]]
        model, teacher = models[row["cell"]], teachers[row["teacher_cell"]]
        if model["method"] == SFT and teacher["teacher_condition"] != ADAPTED:
            continue  # a control is compared with every teacher, and has no column for the teacher's condition
        named = {"teacher": teacher["teacher"], "task": row["task"], "metric": metric, "value": factor * row["value"]}
        rows.append({**model, **named})
    if not rows:
        raise DataError(f"{study} has no accuracies to make a table of: its tasks are of free text, or none finished")
    table = pd.DataFrame(rows)
    table = table.assign(domain=table["task"].map(tasks), study=study)
    table = pd.concat([table, _averages(table)], ignore_index=True)
    return table if statistics is None or statistics.empty else _with_item_errors(table, statistics)


def _with_item_errors(table: pd.DataFrame, statistics: pd.DataFrame) -> pd.DataFrame:
    """The table with the error of items in each student's gain beside its controls, on the task of the conclusion."""
    if ITEM_STDERR not in statistics:
        return table
    primary = statistics[(statistics["role"] == "confirmatory") & statistics[ITEM_STDERR].notna()]
    errors = primary.set_index(["domain", "student", "task"])[ITEM_STDERR].to_dict()
    keys = zip(table["domain"], table["student"], table["task"], strict=True)
    control = (table["method"] == SFT) & (table["metric"] == "accuracy")
    own_errors = [errors.get(key) if own else None for key, own in zip(keys, control, strict=True)]
    found = pd.array(own_errors, dtype="Float64").to_numpy(dtype=float, na_value=float("nan"))
    return table.assign(**{ITEM_STDERR: found})


def _belongs(row: Mapping[str, Any], settings: AnalysisSettings) -> bool:
    noisy = not pd.isna(row["teacher_noise_std"]) and row["teacher_noise_std"] > 0
    if row["state"] != "done" or _never_distilled(row) or noisy:
        return False
    if row["role"] == "teacher":
        return bool(row["teacher_condition"] == ADAPTED)
    compared = {*settings.controls, *settings.controls.values()}
    return row["role"] == "base" or row["cell"] in compared


def _never_distilled(row: Mapping[str, Any]) -> bool:
    """Whether a student's kept step lies in its warm start."""
    distilled = row.get("distilled")
    return distilled is not None and not pd.isna(distilled) and not distilled


def _model(row: Mapping[str, Any], students: Collection[str]) -> dict[str, Any]:
    if row["role"] == "teacher":
        # A student may bear its teacher's name; the teacher is no second run of it.
        name = f"{row['teacher']} (teacher)" if row["teacher"] in students else row["teacher"]
        return {"student": name, "method": SFT, "seed": row["seed"]}
    if row["role"] == "base" or row["method"] == SFT:
        return {"student": row["student"], "method": row["method"], "seed": row["seed"]}
    weight = "" if pd.isna(row["kd_weight"]) or row["kd_weight"] == 1.0 else f" w{row['kd_weight']:g}"
    variant = "" if pd.isna(row["variant"]) or not row["variant"] else f" {row['variant']}"
    method = f"{row['method']}{weight}{variant}"
    return {
        **{name: row[name] for name in ("student", "teacher", "teacher_condition", "seed")},
        # The published study's names for families would call forward KL SeqKD, beside a method of that name here.
        **{"method": method, "family": method},
        "temperature": row["kd_temperature"],
    }


def _averages(table: pd.DataFrame) -> pd.DataFrame:
    """The mean over the tasks of each domain, for models that have all of them."""
    keys = [name for name in table.columns if name not in ("task", "value")]
    tasks = table.groupby("domain")["task"].nunique()
    groups = table.groupby(keys, dropna=False, sort=False)["value"].agg(["mean", "size"]).reset_index()
    complete = groups["size"] == groups["domain"].map(tasks)
    means = groups[complete].rename(columns={"mean": "value"}).drop(columns="size")
    return means.assign(task=TIDY_AVERAGE)

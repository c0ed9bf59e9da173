"""From the records of a study to what can be concluded: the rigorous protocol, each result with its sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from kdscope.evaluation.analysis_settings import AnalysisSettings
from kdscope.evaluation.compared_models import asked_records, compared_models, pair_frame, rows_of
from kdscope.evaluation.records import CELL
from kdscope.protocols.fidelity_gains import fidelity_levels
from kdscope.protocols.item_matrix import item_matrix
from kdscope.protocols.results import RigorousResult, results_frame
from kdscope.protocols.rigorous import rigorous_records
from kdscope.protocols.sentences import sentence
from kdscope.protocols.table_runs import KnownNoise
from kdscope.results.measures import ITEM_MEASURE

NEEDED_COLUMNS = (
    *(CELL, "task", "item_id", "item_hash", "decoding_seed", "prompt"),
    *("correct_robust", "correct_published", "robust_value", "published_value", "rouge_l"),
)
"""Columns of `records.read_run_records` that conclusions are drawn from."""


def primary_temperature(cells: pd.DataFrame, wanted: float | None = None) -> float:
    """The temperature of the primary question: the one wanted, else 1 if cells have it, else the first they have."""
    if wanted is not None:
        return wanted
    known = cells["kd_temperature"].dropna().tolist()
    return 1.0 if 1.0 in known or not known else float(known[0])


def draw_conclusions(
    records: pa.Table, cells: pd.DataFrame, settings: AnalysisSettings, known: KnownNoise | None = None
) -> pd.DataFrame:
    """The rigorous protocol on the records of a study.

    Args:
        records: With `NEEDED_COLUMNS`.
        cells: The study's table of cells. A student whose kept step lies in its warm start was never trained by its
            method (``distilled`` is false): it has no part in any conclusion, nor have the other runs of its setting,
            which what they reached has selected.
        settings: What is asked.
        known: Run variance that is known from elsewhere, for accuracies.

    Returns:
        Columns of `protocols.results.RigorousResult`, and ``sentence``; levels of fidelity alone where there is no
        control.

    Raises:
        StatisticsError: As `rigorous_records`.
    """
    if not settings.controls:
        return _levels(records, cells, settings)
    frame = item_frame(records, cells, settings)
    if not {*frame["model"]} & {*settings.controls}:
        return _with_sentences([])  # all of their items are left out, or all were left in their warm start
    found = rigorous_records(
        frame,
        temperature=primary_temperature(cells, settings.primary_temperature),
        margin=settings.equivalence_margin,
        options={name: task.options for name, task in settings.tasks.items() if task.options},
        pairs=pair_frame(records, cells, settings),
        fidelity_margin=settings.fidelity_margin,
        run_sd=_known_run_sd(known, settings),
    )
    return found.assign(sentence=[sentence(row) for row in rows_of(found)])


def _levels(records: pa.Table, cells: pd.DataFrame, settings: AnalysisSettings) -> pd.DataFrame:
    """What can be said of a study without a control: how far its students agree with their teachers, and no test."""
    pairs = pair_frame(records, cells, settings)
    if pairs.empty:
        return _with_sentences([])
    frame = item_frame(records, cells, settings)
    options = {name: task.options for name, task in settings.tasks.items() if task.options}
    rows = [
        row
        for domain, some in frame.groupby("domain", sort=False)
        for row in fidelity_levels(item_matrix(some), str(domain), options, pairs)
    ]
    return _with_sentences(rows)


def _with_sentences(rows: list[RigorousResult]) -> pd.DataFrame:
    found = results_frame(rows)
    return found.assign(sentence=[sentence(row) for row in rows_of(found)])


def item_frame(records: pa.Table, cells: pd.DataFrame, settings: AnalysisSettings) -> pd.DataFrame:
    """The records as `rigorous_records` reads them: students with a control, their controls, and the teachers.

    ``fidelity`` is the item's `ITEM_MEASURE`, with several decoding seeds their mean: missing for
    teachers and controls, no column where it was not measured. ``cluster`` is equal for items with the same prompt.
    """
    models = compared_models(cells, settings.controls)
    table = asked_records(records, models, settings)
    text = table.select([CELL, "task", "item_id"]).to_pandas()
    facts: pd.DataFrame = models.loc[text[CELL]].reset_index(drop=True)
    domains = {
        name: f"{task.domain} (ROUGE-L)" if task.free_text else task.domain for name, task in settings.tasks.items()
    }
    frame: pd.DataFrame = facts.assign(
        model=text[CELL],
        domain=text["task"].map(domains),
        task=text["task"],
        item=text["item_id"],
        correct=_values(table, settings),
        cluster=_clusters(table),
        contaminated=text["item_id"].isin(set(settings.contaminated)),
    )
    if settings.likeness is not None:
        frame = frame.assign(fidelity=_fidelity(text, settings.likeness))
    return frame.drop(columns="teacher_cell")


def _known_run_sd(known: KnownNoise | None, settings: AnalysisSettings) -> dict[str, tuple[float, float]]:
    """By domain, those of free text left out: their values are no accuracies."""
    if known is None or known.run_sd is None:
        return {}
    domains = {task.domain for _, task in settings.tasks.items() if not task.free_text}
    return dict.fromkeys(domains, (known.run_sd, known.run_df))


def _values(table: pa.Table, settings: AnalysisSettings) -> NDArray[np.float64]:
    correct = np.asarray(table[f"correct_{settings.scoring}"].to_numpy(zero_copy_only=False), dtype=np.float64)
    measured = table["rouge_l"].to_pandas().to_numpy(dtype=np.float64)
    free = table["task"].to_pandas().map({name: task.free_text for name, task in settings.tasks.items()}).to_numpy(bool)
    return np.where(free, measured, correct)


def _clusters(table: pa.Table) -> pd.Series:
    """A number for every question of a task: that of its prompt, as the first model was given it."""
    keys = table.select(["task", "item_id", "prompt", "item_hash"]).group_by(["task", "item_id"], use_threads=False)
    known = keys.aggregate([("prompt", "first"), ("item_hash", "first")]).to_pandas()
    text = known["prompt_first"].where(known["prompt_first"] != "", known["item_hash_first"])
    codes = known["task"].str.cat(text, sep="\n").factorize()[0]
    numbers: pd.Series = table["item_id"].to_pandas().map(dict(zip(known["item_id"], codes, strict=True)))
    return numbers


def _fidelity(asked: pd.DataFrame, likeness: pa.Table) -> NDArray[np.float64]:
    """The likeness of each record's model on its item; NaN where there is none."""
    known = likeness.select([CELL, "item_id", ITEM_MEASURE]).to_pandas()
    both = asked[[CELL, "item_id"]].merge(known, on=[CELL, "item_id"], how="left")
    return both[ITEM_MEASURE].to_numpy(dtype=np.float64)

"""Item records as a matrix, models by items, so that a million of them are a few array operations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdscope.errors import StatisticsError

MODEL_COLUMNS = ("model", "student", "teacher", "method", "temperature", "seed")
RECORD_COLUMNS = (*MODEL_COLUMNS, "task", "item", "correct")


@dataclass(frozen=True, slots=True)
class ItemMatrix:
    """What every model did on every item.

    Attributes:
        models: one row a model: `MODEL_COLUMNS`; index 0 to M - 1.
        items: one row an item: ``task``, ``item``, ``cluster`` (equal for copies of one question), ``contaminated``.
        correct: mean over decoding seeds, shape [M, N]; NaN = not measured.
    """

    models: pd.DataFrame
    items: pd.DataFrame
    correct: NDArray[np.float64]

    @property
    def tasks(self) -> tuple[str, ...]:
        """In the order of the records."""
        return tuple(map(str, self.items["task"].unique()))

    def mean_of(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Mean over some models of every item, shape [N]; NaN where one of them was not measured."""
        return np.asarray(self.correct[rows].mean(axis=0))

    def by_task(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean over the measured items of each task, ``values`` [..., N]; shape [..., tasks]."""
        codes = pd.factorize(self.items["task"])[0]
        parts = []
        for number in range(len(self.tasks)):
            inside = values[..., codes == number]
            known = ~np.isnan(inside)
            count = known.sum(axis=-1)
            total = np.where(known, inside, 0.0).sum(axis=-1)
            parts.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
        return np.stack(parts, axis=-1)


def item_matrix(records: pd.DataFrame) -> ItemMatrix:
    """Put long records, one row for each model, task, item and decoding seed, into a matrix.

    Args:
        records: columns `RECORD_COLUMNS`; ``correct`` is boolean or a fraction; optional are ``cluster`` (an id per
            item, equal for copies) and ``contaminated`` (whether training data holds the item). A model is one training
            run; several rows of one model and item are decoding seeds and are averaged.

    Raises:
        StatisticsError: A column is missing, there are no records, a value is outside [0, 1], or one model has several
            settings.

    Example:
        >>> rows = pd.DataFrame({name: ["m", "m"] for name in MODEL_COLUMNS} | {"task": "t", "item": [1, 2]})
        >>> item_matrix(rows.assign(correct=[True, False])).correct
        array([[1., 0.]])
    """
    missing = [name for name in RECORD_COLUMNS if name not in records.columns]
    if missing:
        raise StatisticsError(
            f"the records lack the column {', '.join(missing)}; they have {', '.join(map(str, records))}"
        )
    correct = records["correct"].to_numpy(dtype=np.float64)
    if correct.size == 0 or not np.all((correct >= 0) & (correct <= 1)):
        raise StatisticsError("records need a correctness between 0 and 1 each, and there must be some")
    model_of, names = pd.factorize(records["model"])
    task_of = pd.factorize(records["task"])[0].astype(np.int64)
    item_codes, item_names = pd.factorize(records["item"])
    item_of, keys = pd.factorize(task_of * len(item_names) + item_codes)
    cells = model_of.astype(np.int64) * len(keys) + item_of
    size = len(names) * len(keys)
    count = np.bincount(cells, minlength=size)
    total = np.bincount(cells, weights=correct, minlength=size)
    matrix = np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(len(names), len(keys))
    return ItemMatrix(_models(records, model_of), _items(records, item_of), matrix)


def _models(records: pd.DataFrame, model_of: NDArray[np.intp]) -> pd.DataFrame:
    """The first row of each model, which must be like all of its rows."""
    first = np.unique(model_of, return_index=True)[1]
    settings = records[list(MODEL_COLUMNS)]
    for name in MODEL_COLUMNS[1:]:
        codes = pd.factorize(settings[name])[0]
        different = np.flatnonzero(codes != codes[first][model_of])
        if different.size:
            model = settings["model"].iloc[different[0]]
            raise StatisticsError(f"{model} has more than one {name}; a model is one training run")
    return settings.iloc[first].reset_index(drop=True)


def _items(records: pd.DataFrame, item_of: NDArray[np.intp]) -> pd.DataFrame:
    first = np.unique(item_of, return_index=True)[1]
    rows = records.iloc[first].reset_index(drop=True)
    cluster = rows["cluster"] if "cluster" in rows else rows["task"].astype(str) + "/" + rows["item"].astype(str)
    contaminated = rows["contaminated"].astype(bool) if "contaminated" in rows else False
    return rows[["task", "item"]].assign(cluster=pd.factorize(cluster)[0], contaminated=contaminated)

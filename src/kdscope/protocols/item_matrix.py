"""Item records as matrices, models by items, so that a million of them are a few array operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdscope.core.errors import StatisticsError

MODEL_COLUMNS = ("model", "student", "teacher", "method", "temperature", "seed")
RECORD_COLUMNS = (*MODEL_COLUMNS, "task", "item", "correct")
ABLATION, SIZE = "ablation", "parameters"
"""Optional columns of a model: what is different from a main setting, in words; the number of its parameters."""
TOLD = ("fidelity",)
"""Optional columns of a record, between 0 and 1: likeness of its text to the teacher's. NaN = not told."""
SHARES = ("own_right", "teacher_right", "own_wrong", "teacher_wrong", "both_right", "both_wrong", "same_wrong")
"""Columns of a pair's records, means over decoding seeds between 0 and 1; *wrong* alone: an answer was read and is
wrong; ``both_wrong``: neither is right; ``same_wrong``: neither is right and both gave the same answer."""
PAIR_COLUMNS = ("model", "teacher_model", "task", "item", *SHARES)


@dataclass(frozen=True, slots=True)
class ItemMatrix:
    """What every model did on every item.

    Attributes:
        models: one row a model: `MODEL_COLUMNS`, `ABLATION` (empty: a main setting), `SIZE` where the records tell it;
            missing text is empty; index 0 to M - 1.
        items: one row an item: ``task``, ``item``, ``cluster`` (equal for copies of one question), ``contaminated``.
        correct: mean over decoding seeds, shape [M, N]; NaN = not measured.
        told: the same of those of `TOLD` that the records have.
    """

    models: pd.DataFrame
    items: pd.DataFrame
    correct: NDArray[np.float64]
    told: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def tasks(self) -> tuple[str, ...]:
        """In the order of the records."""
        return tuple(map(str, self.items["task"].unique()))

    def mean_of(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Mean over some models of every item, shape [N]; NaN where one of them was not measured."""
        return np.asarray(self.correct[rows].mean(axis=0))

    def told_of(self, name: str, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """The same of one of `told`."""
        return np.asarray(self.told[name][rows].mean(axis=0))

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


@dataclass(frozen=True, slots=True)
class TeacherPairs:
    """All models that were compared with one teacher.

    Attributes:
        teacher: its model.
        rows: their rows in the item matrix, shape [R].
        shares: of each of `SHARES`, shape [R, N]; NaN = not measured.
    """

    teacher: str
    rows: NDArray[np.intp]
    shares: Mapping[str, NDArray[np.float64]]


def item_matrix(records: pd.DataFrame) -> ItemMatrix:
    """Put long records, one row for each model, task, item and decoding seed, into a matrix.

    Args:
        records: columns `RECORD_COLUMNS`; ``correct`` is boolean or a fraction; optional are ``cluster`` (an id per
            item, equal for copies), ``contaminated`` (whether training data holds the item), `TOLD`, and of a model
            ``ablation`` and ``parameters``. A model is one training run; several rows of one model and item are
            decoding seeds and are averaged.

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
    cells, shape = model_of.astype(np.int64) * len(keys) + item_of, (len(names), len(keys))
    told = {name: _told(records, name, cells, shape) for name in TOLD if name in records}
    return ItemMatrix(_models(records, model_of), _items(records, item_of), _means(correct, cells, shape), told)


def _means(values: NDArray[np.float64], cells: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Mean of the values of each cell; NaN where there are none."""
    count = np.bincount(cells, minlength=shape[0] * shape[1])
    total = np.bincount(cells, weights=values, minlength=count.size)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(shape)


def _told(records: pd.DataFrame, name: str, cells: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.float64]:
    values = records[name].to_numpy(dtype=np.float64, na_value=np.nan)
    known = ~np.isnan(values)
    if not np.all((values[known] >= 0) & (values[known] <= 1)):
        raise StatisticsError(f"the column {name} of records is between 0 and 1, or missing")
    return _means(values[known], cells[known], shape)


def _models(records: pd.DataFrame, model_of: NDArray[np.intp]) -> pd.DataFrame:
    """The first row of each model, which must be like all of its rows."""
    first = np.unique(model_of, return_index=True)[1]
    settings = records[[*MODEL_COLUMNS, *(name for name in (ABLATION, SIZE) if name in records)]]
    for name in settings.columns[1:]:
        codes = pd.factorize(settings[name])[0]
        different = np.flatnonzero(codes != codes[first][model_of])
        if different.size:
            model = settings["model"].iloc[different[0]]
            raise StatisticsError(f"{model} has more than one {name}; a model is one training run")
    models = settings.iloc[first].reset_index(drop=True)
    names = ("student", "teacher", "seed", ABLATION)
    text = {name: models[name].astype(object) if name in models else "" for name in names}
    models = models.assign(**text)
    return models.fillna(dict.fromkeys(text, ""))


def _items(records: pd.DataFrame, item_of: NDArray[np.intp]) -> pd.DataFrame:
    first = np.unique(item_of, return_index=True)[1]
    rows = records.iloc[first].reset_index(drop=True)
    cluster = rows["cluster"] if "cluster" in rows else rows["task"].astype(str) + "/" + rows["item"].astype(str)
    contaminated = rows["contaminated"].astype(bool) if "contaminated" in rows else False
    return rows[["task", "item"]].assign(cluster=pd.factorize(cluster)[0], contaminated=contaminated)


def teacher_pairs(pairs: pd.DataFrame, matrix: ItemMatrix) -> list[TeacherPairs]:
    """Long records of pairs as matrices, one entry for each teacher.

    Args:
        pairs: columns `PAIR_COLUMNS`, a row for each model, teacher, task and item.
        matrix: the models' records; pairs of other models and items are left out.

    Raises:
        StatisticsError: A column is missing or a share is outside [0, 1].
    """
    missing = [name for name in PAIR_COLUMNS if name not in pairs]
    if missing:
        raise StatisticsError(f"records of pairs lack the column {', '.join(missing)}")
    row_of = pd.Series(np.arange(len(matrix.models)), index=matrix.models["model"])
    items = pd.MultiIndex.from_frame(matrix.items[["task", "item"]])
    row = pairs["model"].map(row_of)
    column = items.get_indexer(pd.MultiIndex.from_frame(pairs[["task", "item"]]))
    known = row.notna().to_numpy() & (column >= 0)
    found = []
    for teacher, places in pairs[known].groupby("teacher_model", sort=False).indices.items():
        some = pairs[known].iloc[places]
        rows, place = np.unique(row[known].iloc[places].to_numpy(dtype=np.intp), return_inverse=True)
        shares = {}
        for name in SHARES:
            values = some[name].to_numpy(dtype=np.float64)
            if not np.all((values >= 0) & (values <= 1)):
                raise StatisticsError(f"the column {name} of pairs is between 0 and 1")
            shares[name] = np.full((rows.size, len(matrix.items)), np.nan)
            shares[name][place, column[known][places]] = values
        found.append(TeacherPairs(str(teacher), rows, shares))
    return found

"""Differences between trained models on the same items, with items and training runs both random."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdscope.statistics.estimates import Estimate, in_points, t_estimate
from kdscope.statistics.means import macro_covariance, macro_mean, nothing_varies
from kdscope.statistics.run_variance import (
    CONTROL,
    OTHERS,
    RunComponents,
    RunDesign,
    RunShare,
    item_variance,
    with_runs,
)

Array = NDArray[np.float64]
RUNS, CHECKPOINTS = "runs", "checkpoints"
"""What a difference is about: methods, where training runs are random too; or these trained models and no others."""
_MOST_POOLED = 600
"""Runs of one student that variance components are estimated from; its first settings where there are more."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """A difference between two sets of runs.

    Attributes:
        found: the difference, its error and its test; no error where the run variance of a side is not known.
        scope: `RUNS` or `CHECKPOINTS`.
        items: the same with items alone random.
        runs: training runs of the first side.
        reference_runs: training runs of the other side.
        run_sd: standard deviation of one run, of the group that varies most where runs of several have part in it.
        reason: why there is no error where there might have been one; empty where there is.
        item_stderr: standard error from items, without what runs vary by from item to item.
    """

    found: Estimate
    scope: str
    items: Estimate
    runs: int
    reference_runs: int
    run_sd: float
    reason: str
    item_stderr: float


class TrainedRuns:
    """Training runs of a study: how a set of them is averaged, and what training contributes to a contrast of them.

    Args:
        runs: one row for each run that counts, its index the number of the run: ``student``, ``arm`` (its setting),
            ``control``, ``seed``. A setting that stands twice with one seed is taken for two settings; without a seed
            its runs are repetitions.
        count: of all runs, also of those that do not count.
        run_sd: standard deviation between training runs in the unit of the values, known from elsewhere (a pilot), and
            its degrees of freedom. It stands in where the runs themselves do not tell.
    """

    def __init__(self, runs: pd.DataFrame, count: int, run_sd: tuple[float, float] | None = None) -> None:
        unknown = runs["seed"].isna() | (runs["seed"].astype(str) == "")
        number = runs.groupby(["student", "arm"], sort=False).cumcount()
        runs = runs.assign(seed=runs["seed"].astype(object).where(~unknown, [("run", int(n)) for n in number]))
        again = runs.groupby(["student", "arm", "seed"], sort=False, dropna=False).cumcount()
        arms = [arm if n == 0 else (arm, int(n)) for arm, n in zip(runs["arm"], again, strict=True)]
        self.runs, self.run_sd = runs.assign(arm=pd.Series(arms, index=runs.index, dtype=object)), run_sd
        self._student_of, self._setting_of = (np.full(count, -1, dtype=np.intp) for _ in range(2))
        self._student_of[runs.index] = pd.factorize(self.runs["student"])[0]
        self._setting_of[runs.index] = self.runs.groupby(["student", "arm"], sort=False).ngroup()

    @cached_property
    def several_seeds(self) -> bool:
        """Whether any setting of any student was trained more than once."""
        return bool(self.runs.groupby(["student", "arm"], sort=False).size().gt(1).any())

    @cached_property
    def components(self) -> tuple[RunComponents, NDArray[np.intp]]:
        """Components of the run variance, and the number of each run among those they are estimated from (-1: none)."""
        raise NotImplementedError

    def weights(self, rows: Sequence[int] | NDArray[np.intp]) -> Array:
        """Weights that sum to 1: the same for students, within them for settings, within those for runs; shape [R]."""
        numbers = np.asarray(rows, dtype=np.intp)
        students, setting_of = self._student_of[numbers], self._setting_of[numbers]
        _, first, place, runs = np.unique(setting_of, return_index=True, return_inverse=True, return_counts=True)
        settings = np.bincount(students[first], minlength=int(students.max()) + 1)
        weights = np.zeros(self._student_of.size)
        weights[numbers] = 1.0 / (np.count_nonzero(settings) * settings[students] * runs[place])
        return weights

    def design_of(self, rows: NDArray[np.intp]) -> RunDesign:
        """Student, setting, role and seed of some runs."""
        some = self.runs.loc[rows]
        controls = some["control"].to_numpy(dtype=bool)
        return RunDesign(some["student"].tolist(), some["arm"].tolist(), controls, some["seed"].tolist())

    def with_training(self, items: Estimate, weights: Array, runs: int, reference_runs: int) -> Contrast:
        """A contrast with the variance of training runs added to its error over items.

        Args:
            items: the contrast with items alone random; its error is NaN where that is not known.
            weights: of every run, shape [R].
            runs: how many runs the first side has, to be told.
            reference_runs: of the other side.
        """
        share, run_sd, reason = self._share(weights)
        if reason and self.run_sd is not None:
            run_sd, df = self.run_sd
            share, reason = RunShare(float(np.sum(weights**2)) * run_sd**2, 0.0, df), ""
        stderr = items.stderr if reason else math.sqrt(item_variance(items, share))
        return Contrast(with_runs(items, share), RUNS, items, runs, reference_runs, run_sd, reason, stderr)

    def _share(self, weights: Array) -> tuple[RunShare, float, str]:
        """What runs contribute to a contrast, the standard deviation of one of them, and why that is unknown if it is.

        Runs outside of the pool that components are estimated from have the variance of their group.
        """
        if not self.several_seeds:
            return RunShare(math.nan, math.nan, 0.0), math.nan, "nothing was trained twice"
        components, place = self.components
        used = np.flatnonzero(weights)
        inside = place[used] >= 0
        pooled = np.zeros(len(components))
        pooled[place[used[inside]]] = weights[used[inside]]
        beside = {CONTROL: 0.0, OTHERS: 0.0}
        for row in used[~inside]:
            beside[CONTROL if self.runs.at[row, "control"] else OTHERS] += float(weights[row] ** 2)
        share = components.share(pooled, beside)
        if math.isnan(share.variance):
            known = [variance for variance in components.variances.values() if variance > 0]
            spread = math.sqrt(max(known)) if known else math.nan
            which = " and ".join(components.unknown(pooled, beside))
            return share, spread, f"{which} trained only once, so that its luck is unknown"
        return share, math.sqrt(max(components.largest_variance(pooled, beside), 0.0)), ""


class RunContrasts(TrainedRuns):
    """Differences between training runs on the same items.

    Args:
        values: of every run on every item, shape [R, N]; NaN = not measured.
        runs: as `TrainedRuns`, its index the row in ``values``.
        task_of: number of each item's task, shape [N].
        clusters: number of each item's cluster, shape [N].
        run_sd: as `TrainedRuns`.

    Example:
        >>> runs = pd.DataFrame({"student": "s", "arm": ["control", "kd"], "control": [True, False], "seed": 0})
        >>> values = np.array([[0.0, 0, 1, 1], [1, 0, 1, 1]])
        >>> found = RunContrasts(values, runs, np.zeros(4), np.arange(4)).difference([1], [0])
        >>> found.scope, found.found.value
        ('checkpoints', 0.25)
    """

    def __init__(
        self,
        values: Array,
        runs: pd.DataFrame,
        task_of: NDArray[np.generic],
        clusters: NDArray[np.generic],
        run_sd: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(runs, len(values), run_sd)
        self.values, self.task_of, self.clusters = values, task_of, clusters

    def difference(
        self,
        first: Sequence[int] | NDArray[np.intp],
        second: Sequence[int] | NDArray[np.intp],
        *,
        keep: NDArray[np.bool_] | None = None,
    ) -> Contrast:
        """Mean over tasks of some runs minus that of others, runs averaged as `weights` has it.

        Args:
            first: numbers of runs.
            second: numbers of runs, of the same students.
            keep: items it is computed on, shape [N]; all where None.

        Raises:
            StatisticsError: No item was measured on both sides.
        """
        weights, counts = self.weights(first) - self.weights(second), (len(first), len(second))
        used = np.flatnonzero(weights)
        found = weights[used] @ self.values[used]
        if keep is not None:
            found = np.where(keep, found, np.nan)
        items = macro_mean(found, self.task_of, self.clusters)
        if self.run_sd is None and not self.several_seeds:
            return Contrast(items, CHECKPOINTS, items, *counts, math.nan, "", items.stderr)
        if not items.df > 0 and not nothing_varies(found, self.task_of, self.clusters):
            reason = "a task has one independent item, so that the error of its mean is unknown"
            untested = t_estimate(items.value, math.nan, math.nan, items.n)
            return Contrast(untested, RUNS, items, *counts, math.nan, reason, math.nan)
        return self.with_training(items, weights, *counts)

    def mean_of(self, rows: Sequence[int] | NDArray[np.intp]) -> Array:
        """Weighted mean of some runs on every item, shape [N]; NaN where one of them was not measured."""
        return np.asarray(self.weights(rows)[rows] @ self.values[rows])

    def overlap(self, first: Sequence[int] | NDArray[np.intp], second: Sequence[int] | NDArray[np.intp]) -> bool:
        """Whether there are runs on both sides, and an item that all of them were measured on."""
        if not len(first) or not len(second):
            return False
        return not np.isnan(self.mean_of(first) - self.mean_of(second)).all()

    @cached_property
    def components(self) -> tuple[RunComponents, NDArray[np.intp]]:
        """As `TrainedRuns.components`; residuals from the covariance of runs over items."""
        pooled = self._pooled()
        place = np.full(len(self.values), -1, dtype=np.intp)
        place[pooled] = np.arange(pooled.size)
        design = self.design_of(pooled)
        means, residuals = np.zeros(pooled.size), {}
        for number, block in enumerate(design.blocks):
            values = self.values[pooled[block.rows]]
            known = ~np.isnan(values).any(axis=0)
            tasks, clusters = self.task_of[known], self.clusters[known]
            means[block.rows] = [macro_mean(row, tasks, clusters).value for row in values[:, known]]
            residuals[number] = np.nan_to_num(macro_covariance(values[:, known], tasks, clusters))
        return design.components(means, residuals), place

    def _pooled(self) -> NDArray[np.intp]:
        """Runs that components are estimated from: measured on as many items as any of their student, controls first.

        A run that lacks items would be compared on other items than its repetitions are.
        """
        measured = pd.Series((~np.isnan(self.values[self.runs.index])).sum(axis=1), index=self.runs.index)
        most = measured.groupby(self.runs["student"], sort=False).transform("max")
        order = self.runs[(measured == most) & (measured > 0)]
        order = pd.concat([order[order["control"]], order[~order["control"]]])
        count = order.groupby("student", sort=False).cumcount()
        sizes = order.groupby(["student", "arm"], sort=False)["seed"].transform("size")
        kept = order[(count + sizes <= _MOST_POOLED) | order["control"]]
        return np.sort(kept.index.to_numpy(dtype=np.intp))


def settings_of(models: pd.DataFrame, columns: Sequence[str]) -> list[Hashable]:
    """One value for each distinct combination of columns, missing values equal to each other."""
    text = models[list(columns)].astype(object).where(models[list(columns)].notna(), None)
    return [tuple(row) for row in text.itertuples(index=False)]


def spreads(contrasts: RunContrasts) -> dict[str, tuple[float, float]]:
    """Standard deviation of one run and its degrees of freedom: of `CONTROL` and `OTHERS`, all of the study together.

    Then of every student or setting that varies significantly more or less than the rest and has a variance of its own
    in the intervals. Groups that are not known are left out.
    """
    if not contrasts.several_seeds:
        return {}
    components, _ = contrasts.components
    every = components.without_split()
    found = {group: every.of_group(group) for group in (CONTROL, OTHERS)}
    for (group, whose), variance in components.beside_the_pool().items():
        name = " ".join(str(part) for part in whose if part) if isinstance(whose, tuple) else str(whose)
        found[f"{group}, {name}"] = variance
    return {group: (math.sqrt(max(variance, 0.0)), df) for group, (variance, df) in found.items() if df > 0}


def contrast_in_points(contrast: Contrast) -> Contrast:
    """A contrast of fractions in percentage points."""
    found, items = in_points(contrast.found), in_points(contrast.items)
    run_sd, item_stderr = 100 * contrast.run_sd, 100 * contrast.item_stderr
    return replace(contrast, found=found, items=items, run_sd=run_sd, item_stderr=item_stderr)

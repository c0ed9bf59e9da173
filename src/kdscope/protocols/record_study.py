"""Item records of one domain, and the gains every question starts from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdscope.protocols.item_matrix import ABLATION, ItemMatrix
from kdscope.results.column_names import AVERAGE, BASE, SFT, TEACHER
from kdscope.statistics.estimates import Estimate
from kdscope.statistics.means import macro_mean
from kdscope.statistics.run_contrasts import Contrast, RunContrasts, contrast_in_points, settings_of


class RecordStudy:
    """One domain's matrix with what all questions need of it.

    Attributes:
        name: of the domain.
        matrix: its records.
        models: its models, temperatures as numbers.
        temperature: the one chosen beforehand.
        controls: models of method sft without ablation.
        distilled: distilled models in main settings, at any temperature, of students that have a control.
        kd: those of them at the temperature chosen beforehand, or without one.
        ablated: models of the same students that differ from a main setting.
        students: those that have a gain on at least one item.
        task: what conclusions are drawn on: `Average`, or the only task.
        task_of: number of each item's task, shape [N].
        clusters: number of each item's cluster, shape [N].
        options: of multiple-choice tasks.
        runs: differences between its trained models, with items and training runs random.
    """

    def __init__(
        self,
        name: str,
        matrix: ItemMatrix,
        temperature: float,
        options: Mapping[str, int],
        run_sd: tuple[float, float] | None = None,
    ) -> None:
        models = matrix.models.assign(temperature=pd.to_numeric(matrix.models["temperature"]))
        main = models[ABLATION] == ""
        chosen = models["temperature"].isna() | (models["temperature"] == temperature)
        self.name, self.matrix, self.models, self.options = name, matrix, models, options
        self.temperature = temperature
        self.task_of = pd.factorize(matrix.items["task"])[0]
        self.clusters = matrix.items["cluster"].to_numpy()
        self.controls = models[(models["method"] == SFT) & main]
        known = models["student"].isin(set(self.controls["student"]))
        self.distilled = models[~models["method"].isin([SFT, BASE, TEACHER]) & known & main]
        self.ablated = models[~models["method"].isin([BASE, TEACHER]) & known & ~main]
        self.kd = self.distilled[chosen.reindex(self.distilled.index)]
        self.runs = RunContrasts(matrix.correct, self._trained(), self.task_of, self.clusters, run_sd)
        self.students = [name for name in dict.fromkeys(self.kd["student"]) if self._is_measured(name)]
        self.task = AVERAGE if len(matrix.tasks) > 1 else matrix.tasks[0]

    def _trained(self) -> pd.DataFrame:
        """What `RunContrasts` needs to know of the trained students."""
        trained = pd.concat([self.controls, self.distilled, self.ablated]).sort_index()
        arms = settings_of(trained, ("teacher", "method", "temperature", ABLATION))
        arm = pd.Series(arms, index=trained.index, dtype=object)
        return trained[["student", "seed"]].assign(arm=arm, control=trained.index.isin(self.controls.index))

    def control_of(self, student: str) -> NDArray[np.float64]:
        """Mean of a student's controls, shape [N]."""
        return self.runs.mean_of(self.rows(self.controls, student))

    def distilled_of(self, student: str) -> NDArray[np.float64]:
        """Mean over a student's settings, and over the runs of each, shape [N]."""
        return self.runs.mean_of(self.rows(self.kd, student))

    def gain_of(self, student: str) -> Contrast:
        """Gain of a student in points: its settings count the same, and so do the runs of each."""
        return self.difference(self.rows(self.kd, student), self.rows(self.controls, student))

    def difference(self, first: NDArray[np.intp], second: NDArray[np.intp]) -> Contrast:
        """Mean difference of two sets of models in points (`run_contrasts.RunContrasts.difference`)."""
        return contrast_in_points(self.runs.difference(first, second))

    def mean(self, values: NDArray[np.float64]) -> Estimate:
        """Mean over tasks of a value per item, shape [N] (`means.macro_mean`)."""
        return macro_mean(values, self.task_of, self.clusters)

    def score(self, values: NDArray[np.float64]) -> float:
        """The same as a number in percent, over the tasks with a value; NaN where nothing was measured."""
        by_task = self.matrix.by_task(values)
        known = by_task[~np.isnan(by_task)]
        return 100 * float(known.mean()) if known.size else float("nan")

    def halves(self, seed: int) -> NDArray[np.bool_]:
        """Which items are in the first of two random halves, shape [N]; a cluster is not divided."""
        order = np.random.default_rng(seed).permutation(int(self.clusters.max()) + 1)
        return np.asarray(order[self.clusters] % 2 == 0)

    @staticmethod
    def rows(some: pd.DataFrame, student: str) -> NDArray[np.intp]:
        """Numbers of a student's models among ``some``."""
        return np.asarray(some.index[some["student"] == student], dtype=np.intp)

    def contaminated(self) -> str:
        """A warning on items that training data holds, or nothing."""
        count = int(self.matrix.items["contaminated"].sum())
        told = "item stands" if count == 1 else "items stand"
        return f"{count} {told} in training data, word for word or nearly." if count else ""

    def guessing(self, student: str) -> str:
        """A warning on tasks where a student's distilled runs lie below guessing with their whole 95% interval."""
        values = self.distilled_of(student)
        scores, squares = self.matrix.by_task(values), self.matrix.by_task(values**2)
        counts = [int((~np.isnan(values[self.task_of == number])).sum()) for number in range(len(self.matrix.tasks))]
        highest = scores + 1.96 * np.sqrt(np.maximum(squares - scores**2, 0.0) / np.maximum(counts, 1))
        levels = [1 / self.options.get(task, np.inf) for task in self.matrix.tasks]
        low = [task for task, score, level in zip(self.matrix.tasks, highest, levels, strict=True) if score < level]
        return f"Below guessing on {', '.join(low)}: that measures the format of answers." if low else ""

    def _is_measured(self, student: str) -> bool:
        return not np.isnan(self.distilled_of(student) - self.control_of(student)).all()

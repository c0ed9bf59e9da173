"""Item records of one domain as a sample of items and training runs, and the gains every question starts from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdscope.protocols.item_matrix import ABLATION, SIZE, ItemMatrix, teacher_pairs
from kdscope.protocols.published_gains import model_size
from kdscope.protocols.results import few, noted
from kdscope.protocols.sample import ProtocolSettings, Sample, TaughtPairs
from kdscope.results.column_names import AVERAGE, BASE, SFT, TEACHER
from kdscope.statistics.estimates import Estimate
from kdscope.statistics.means import macro_mean
from kdscope.statistics.run_contrasts import Contrast, RunContrasts, contrast_in_points, settings_of


class RecordSample(Sample):
    """One domain's records as what questions are asked of: items and training runs are random.

    Attributes:
        matrix: its records.
        models: its models, temperatures as numbers.
        pairs: students beside their teachers, one entry for each teacher.
        controls: models of method sft without ablation.
        distilled: distilled models in main settings, at any temperature, of students that have a control.
        kd: those of them at the temperature chosen beforehand, or without one.
        ablated: models of the same students that differ from a main setting.
        students: those that have a gain on at least one item.
        task_of: number of each item's task, shape [N].
        clusters: number of each item's cluster, shape [N].
        runs: differences between its trained models, with items and training runs random.

    Args:
        name: of the domain.
        matrix: its records.
        settings: what is settled before looking.
        run_sd: standard deviation of one training run and its degrees of freedom, known from elsewhere.
        pairs: records of students beside their teachers; None where agreement with teachers is not asked of.
    """

    def __init__(
        self,
        name: str,
        matrix: ItemMatrix,
        settings: ProtocolSettings = ProtocolSettings(),
        run_sd: tuple[float, float] | None = None,
        pairs: pd.DataFrame | None = None,
    ) -> None:
        super().__init__(name, AVERAGE if len(matrix.tasks) > 1 else matrix.tasks[0], settings)
        models = matrix.models.assign(temperature=pd.to_numeric(matrix.models["temperature"]))
        main = models[ABLATION] == ""
        chosen = models["temperature"].isna() | (models["temperature"] == settings.temperature)
        self.matrix, self.models = matrix, models
        self.pairs = [] if pairs is None else teacher_pairs(pairs, matrix)
        self.task_of = pd.factorize(matrix.items["task"])[0]
        self.clusters = matrix.items["cluster"].to_numpy()
        self.controls = models[(models["method"] == SFT) & main]
        known = models["student"].isin(set(self.controls["student"]))
        self.distilled = models[~models["method"].isin([SFT, BASE, TEACHER]) & known & main]
        self.ablated = models[~models["method"].isin([BASE, TEACHER]) & known & ~main]
        self.kd = self.distilled[chosen.reindex(self.distilled.index)]
        self.runs = RunContrasts(matrix.correct, self._trained(), self.task_of, self.clusters, run_sd)
        self.students = [
            name
            for name in dict.fromkeys(self.kd["student"])
            if self.runs.overlap(self.rows(self.kd, name), self.rows(self.controls, name))
        ]

    def _trained(self) -> pd.DataFrame:
        """What `RunContrasts` needs to know of the trained students."""
        trained = pd.concat([self.controls, self.distilled, self.ablated]).sort_index()
        arms = settings_of(trained, ("teacher", "method", "temperature", ABLATION))
        arm = pd.Series(arms, index=trained.index, dtype=object)
        return trained[["student", "seed"]].assign(arm=arm, control=trained.index.isin(self.controls.index))

    @property
    def confirmatory(self) -> int:
        """As `Sample.confirmatory`."""
        return len(self.students)

    def primary_gains(self) -> Iterator[tuple[str, Contrast, str]]:
        """As `Sample.primary_gains`."""
        shared = noted(few(1, "students") if len(self.students) == 1 else "", self.contaminated())
        for student in self.students:
            yield student, self.gain_of(student), noted(self.guessing(student), shared)

    def gains_by_student(self) -> Iterator[tuple[str, Mapping[str, float]]]:
        """As `Sample.gains_by_student`."""
        if self.students:
            yield self.task, {student: self.gain_of(student).found.value for student in self.students}

    def sizes(self, students: Sequence[str]) -> list[float]:
        """As `Sample.sizes`: as the records tell them, else in billions from the names."""
        told = self.controls.groupby("student")[SIZE].first().dropna().to_dict() if SIZE in self.controls else {}
        # Both are not mixed: names are in billions, and round.
        known = all(student in told for student in students)
        return [float(told[student]) if known else model_size(student) for student in students]

    def taught_pairs(self) -> Iterator[tuple[str, TaughtPairs]]:
        """As `Sample.taught_pairs`: each teacher by its own records, or those of a student of that name under SFT."""
        cells = self.kd[self.kd["student"].isin(self.students) & (self.kd["teacher"] != "")]
        own = self.models[(self.models["method"] == TEACHER) & (self.models[ABLATION] == "")]
        accuracy_of = {}
        for name in map(str, self.kd["teacher"].unique()):
            rows = self.rows(own, name, "teacher")
            rows = rows if rows.size else self.rows(self.controls, name)
            if rows.size:
                accuracy_of[name] = self.score(self.matrix.mean_of(rows))
        if cells.empty or not accuracy_of:
            return
        groups = {key: numbers(rows) for key, rows in cells.groupby(["student", "teacher"], sort=False)}
        values = [self.score(self.matrix.mean_of(rows)) for rows in groups.values()]
        students, teachers = zip(*groups, strict=True)
        yield self.task, TaughtPairs(values, students, teachers, accuracy_of)

    def facts_of(self, student: str) -> dict[str, Any]:
        """As `Sample.facts_of`."""
        return super().facts_of(student) | {"temperature": self.settings.temperature}

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

    def halves(self) -> NDArray[np.bool_]:
        """Which items are in the first of two random halves, shape [N]; a cluster is not divided."""
        order = np.random.default_rng(self.settings.seed).permutation(int(self.clusters.max()) + 1)
        return np.asarray(order[self.clusters] % 2 == 0)

    @staticmethod
    def rows(some: pd.DataFrame, whose: str, column: str = "student") -> NDArray[np.intp]:
        """Numbers of a student's models among ``some``."""
        return numbers(some[some[column] == whose])

    def grid(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values [S, N] in points by student and task, for the students that were measured on all tasks."""
        grid = 100 * self.matrix.by_task(values)
        return np.asarray(grid[~np.isnan(grid).any(axis=1)])

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
        levels = [1 / self.settings.options.get(task, np.inf) for task in self.matrix.tasks]
        low = [task for task, score, level in zip(self.matrix.tasks, highest, levels, strict=True) if score < level]
        return f"Below guessing on {', '.join(low)}: that measures the format of answers." if low else ""


def numbers(models: pd.DataFrame) -> NDArray[np.intp]:
    """The numbers of some models."""
    return np.asarray(models.index, dtype=np.intp)

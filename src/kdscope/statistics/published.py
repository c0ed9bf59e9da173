"""The published protocol's first hypothesis: distillation beats fine-tuning, and methods differ.

"On the Generalization vs Fidelity Paradox in Knowledge Distillation" (Ramesh, Sengupta, Chakraborty, Findings of ACL
2025, arXiv 2505.15442), H1, as its authors computed it. Cells are maxima over temperatures and are treated as
independent; both flatter distillation, which is why this protocol is reported beside a rigorous one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from kdscope.errors import StatisticsError

HYPOTHESIS = "H1"


@dataclass(frozen=True, slots=True)
class TestResult:
    """One hypothesis test on one group of cells.

    Attributes:
        hypothesis: its name in the paper.
        group: method family tested, or ``all``.
        task: task tested; ``Average`` is one of them.
        test: name of the test, as scipy spells it.
        statistic: t or F; NaN where the test is not defined.
        p_value: NaN where the test is not defined.
        n: number of gains that entered.
    """

    __test__ = False  # not a test case, whatever a test collector thinks of the name

    hypothesis: str
    group: str
    task: str
    test: str
    statistic: float
    p_value: float
    n: int


def h1_gain_positive(gains: ArrayLike, *, group: str = "all", task: str = "Average") -> TestResult:
    """One-sided one-sample t-test of mean gain > 0; NaN with fewer than two gains or none that differ.

    Args:
        gains: accuracy of the distilled minus that of the fine-tuned student, shape [n]; NaN = not measured, left out.
        group: label of the result.
        task: label of the result.

    Example:
        >>> round(h1_gain_positive([1.0, 2.0, 3.0]).statistic, 6)
        3.464102
    """
    values = _measured(gains)
    statistic = p_value = math.nan
    if values.size >= 2 and not _is_constant(values):
        outcome = stats.ttest_1samp(values, 0.0, alternative="greater")
        statistic, p_value = float(outcome.statistic), float(outcome.pvalue)
    return TestResult(HYPOTHESIS, group, task, "ttest_1samp", statistic, p_value, values.size)


def h1_methods_differ(gains: Mapping[str, ArrayLike], *, group: str = "all", task: str = "Average") -> TestResult:
    """One-way ANOVA of gain by method; NaN with fewer than two methods or no variance within them.

    Args:
        gains: gains of each method, shape [n of that method]; NaN = not measured, left out.
        group: label of the result.
        task: label of the result.
    """
    samples = [values for values in map(_measured, gains.values()) if values.size]
    total = sum(values.size for values in samples)
    statistic = p_value = math.nan
    if len(samples) >= 2 and not all(map(_is_constant, samples)):
        outcome = stats.f_oneway(*samples)
        statistic, p_value = float(outcome.statistic), float(outcome.pvalue)
    return TestResult(HYPOTHESIS, group, task, "f_oneway", statistic, p_value, total)


def published_h1(gains: pd.DataFrame) -> list[TestResult]:
    """H1 on tidy gains: the t-test per task over all cells and per family, then the ANOVA per task.

    Args:
        gains: one row per cell and task, columns ``task``, ``family``, ``gain`` (others are ignored).

    Raises:
        StatisticsError: if a column is missing.
    """
    _require_columns(gains, ("task", "family", "gain"))
    tasks = list(gains["task"].unique())
    results = [
        h1_gain_positive(cells.loc[cells["task"] == task, "gain"].to_numpy(), group=group, task=task)
        for group, cells in _groups(gains)
        for task in tasks
    ]
    for task in tasks:
        by_family = gains[gains["task"] == task].groupby("family")["gain"]
        samples = {str(family): values.to_numpy() for family, values in by_family}
        results.append(h1_methods_differ(samples, task=task))
    return results


def published_gains(table: pd.DataFrame) -> pd.DataFrame:
    """Gains over fine-tuning from a wide results table, by the authors' protocol.

    Distilled rows are those whose method contains ``student``, less those of an unadapted teacher (``base_teacher_``);
    the family is RevKD or GKD if the method contains it, else SeqKD; the teacher's name ends at the first ``_``
    (a checkpoint follows). A cell is the maximum over temperatures of one (teacher, student, family) on one task; its
    gain is that minus the student's ``SFT`` row. Tables of several model families may be concatenated first.

    Args:
        table: columns ``Teacher``, ``Student``, ``Method`` and one column of accuracies per task, in percent.

    Returns:
        Columns ``teacher``, ``student``, ``family``, ``task``, ``accuracy``, ``sft_accuracy``, ``gain``, tasks in the
        table's order.

    Raises:
        StatisticsError: if a column is missing or a distilled student has not exactly one SFT row.
    """
    _require_columns(table, ("Teacher", "Student", "Method"))
    tasks = [column for column in table.columns if column not in ("Teacher", "Student", "Method")]
    method = table["Method"].astype(str)
    distilled = table[method.str.contains("student") & ~method.str.contains("base_teacher_")]
    cells = (
        distilled.assign(
            teacher=distilled["Teacher"].str.split("_").str[0],
            student=distilled["Student"],
            family=distilled["Method"].map(_family),
        )
        .melt(id_vars=["teacher", "student", "family"], value_vars=tasks, var_name="task", value_name="accuracy")
        .groupby(["teacher", "student", "family", "task"], sort=False, as_index=False)["accuracy"]
        .max()
    )
    baseline = _baseline(table[method == "SFT"], list(distilled["Student"].unique()))
    sft = baseline.melt(id_vars=["Student"], value_vars=tasks, var_name="task", value_name="sft_accuracy")
    sft = sft.rename(columns={"Student": "student"})
    gains: pd.DataFrame = cells.merge(sft, on=["student", "task"], how="left", validate="many_to_one")
    gains["gain"] = gains["accuracy"] - gains["sft_accuracy"]
    return gains


def _groups(gains: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "all", gains
    for family, cells in gains.groupby("family"):
        yield str(family), cells


def _baseline(sft: pd.DataFrame, students: list[str]) -> pd.DataFrame:
    """The SFT rows of ``students``, one each."""
    for student in students:
        found = int((sft["Student"] == student).sum())
        if found != 1:
            raise StatisticsError(f"{student}: a gain needs exactly one SFT row of the student, found {found}")
    return sft[sft["Student"].isin(students)]


def _family(method: str) -> str:
    return next((family for family in ("RevKD", "GKD") if family in method), "SeqKD")


def _measured(gains: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(gains, dtype=np.float64)
    return values[~np.isnan(values)]


def _is_constant(values: NDArray[np.float64]) -> bool:
    """Whether all values are equal up to rounding, where a variance would be noise."""
    return bool(np.ptp(values) <= 1e-12 * np.max(np.abs(values)))


def _require_columns(table: pd.DataFrame, names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise StatisticsError(f"the table lacks the column {', '.join(missing)}; it has {', '.join(map(str, table))}")

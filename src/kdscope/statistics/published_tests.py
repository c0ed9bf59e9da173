"""The tests of the published protocol, on gains: distillation beats fine-tuning, methods differ, what gains go with.

"On the Generalization vs Fidelity Paradox in Knowledge Distillation" (Ramesh, Sengupta, Chakraborty, Findings of ACL
2025, arXiv 2505.15442), as its authors computed it. Cells are maxima over temperatures and are treated as independent;
both flatter distillation, which is why this protocol is reported beside a rigorous one. `published_gains` makes the
gains of a table, `published_protocol` runs all of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from kdscope.core.errors import StatisticsError
from kdscope.results.hypotheses import H1, H1_ANOVA


@dataclass(frozen=True, slots=True)
class TestResult:
    """One hypothesis test on one group of cells.

    Attributes:
        hypothesis: its name in the paper.
        group: method family tested, or ``all``.
        task: task tested; ``Average`` is one of them.
        test: name of the test, as scipy spells it.
        statistic: t, F or rho; NaN where the test is not defined.
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
    return TestResult(H1, group, task, "ttest_1samp", statistic, p_value, values.size)


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
    return TestResult(H1_ANOVA, group, task, "f_oneway", statistic, p_value, total)


def rank_correlation(
    gains: ArrayLike, values: ArrayLike, hypothesis: str, *, group: str = "all", task: str = "Average"
) -> TestResult:
    """Spearman's rho of gains with something else, two-sided; NaN below three pairs or where one side is constant.

    The p-value is that of t with n - 2 degrees of freedom, as scipy's `spearmanr` has it.

    Args:
        gains: accuracy of the distilled minus that of the fine-tuned student, shape [n].
        values: what they may go with, shape [n]; a pair with a NaN was not measured and is left out.
        hypothesis: label of the result.
        group: label of the result.
        task: label of the result.

    Example:
        >>> round(rank_correlation([5.0, 3.0, 4.0, 1.0], [0.5, 1.5, 3.0, 7.0], "gain by size").statistic, 6)
        -0.8
    """
    x, y = np.asarray(gains, dtype=np.float64), np.asarray(values, dtype=np.float64)
    measured = ~np.isnan(x) & ~np.isnan(y)
    x, y = x[measured], y[measured]
    statistic = p_value = math.nan
    if x.size >= 3 and np.ptp(x) > 0 and np.ptp(y) > 0:
        outcome = stats.spearmanr(x, y)
        statistic, p_value = float(outcome.statistic), float(outcome.pvalue)
    return TestResult(hypothesis, group, task, "spearmanr", statistic, p_value, x.size)


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
        for group, cells in groups_of(gains)
        for task in tasks
    ]
    for task in tasks:
        by_family = gains[gains["task"] == task].groupby("family")["gain"]
        samples = {str(family): values.to_numpy() for family, values in by_family}
        results.append(h1_methods_differ(samples, task=task))
    return results


def groups_of(gains: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """All gains, then those of each family by name."""
    yield "all", gains
    for family, cells in gains.groupby("family"):
        yield str(family), cells


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

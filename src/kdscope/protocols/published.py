"""The published study, "On the Generalization vs Fidelity Paradox in Knowledge Distillation", and its protocol.

Ramesh, Sengupta, Chakraborty, Findings of ACL 2025, arXiv 2505.15442: its result tables, and H1 to H5 as its authors
computed them, on any tidy table of results. `published_gains` has the gains, `published_claims` what the paper
says in words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import as_file, files

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from kdscope.core.errors import StatisticsError
from kdscope.protocols.published_gains import published_gains, require_columns
from kdscope.protocols.results_table import read_results_table
from kdscope.results.column_names import AVERAGE
from kdscope.results.hypotheses import H1, H1_ANOVA, RELATIONS, hypothesis

__all__ = [
    "PREDICTORS",
    "PUBLISHED_STUDIES",
    "TestResult",
    "h1_gain_positive",
    "h1_methods_differ",
    "load_published",
    "published_gains",
    "published_h1",
    "published_protocol",
    "rank_correlation",
]

PUBLISHED_STUDIES = ("ramesh2025",)
PREDICTORS = {name: hypothesis(name).predictor for name in RELATIONS}
"""What each hypothesis relates the gain to: a column of `published_gains`."""


def load_published(study: str = "ramesh2025") -> pd.DataFrame:
    """The result tables of a published study as one tidy table, in percent; needs no network.

    ``ramesh2025``: Ramesh, Sengupta, Chakraborty, Findings of ACL 2025, arXiv 2505.15442. All 2064 cells of the tables
    their authors released (github.com/LCS2-IIITD/KD_generalization, Apache-2.0): accuracy of base, fine-tuned and
    distilled models in mathematics and commonsense; ``agreement`` of answers with the teacher's (their EM1) and
    ``agreement_2`` (EM2, against another reference); ``fidelity`` of solutions (BLEU, by its values a similarity of
    embeddings) and ``fidelity_2`` (BLEU2), for mathematics. Agreement and fidelity are told per pair of teacher and
    student, not per method: their distilled rows are of family ``any``. Column ``source`` names the table, and
    ``teacher_checkpoint`` the checkpoint where a row names one.

    Raises:
        StatisticsError: if no such study comes with kdscope.
    """
    if study not in PUBLISHED_STUDIES:
        raise StatisticsError(f"no published study is called {study}; there is {', '.join(PUBLISHED_STUDIES)}")
    with as_file(files("kdscope.protocols") / "data" / f"{study}.csv") as path:
        return read_results_table(path, unit="percent").table


def published_protocol(table: pd.DataFrame) -> pd.DataFrame:
    """Every test of the published protocol, on each domain of a table.

    H1: one-sided t-test of mean gain > 0; H1-anova: gain by family; Spearman's rho of gain with the teacher's SFT
    accuracy (H2), the student's size (H3) and SFT accuracy (H3.2), agreement (H4) and fidelity (H5). Each for all cells
    and per family (H1-anova: all only), on each task, `Average` included where the table has the quantity on it. Gains
    are those of `published_gains`. A quantity that the table does not have makes no rows.

    Args:
        table: a tidy table of one study in percent, as `read_results_table` or `load_published` gives it.

    Returns:
        Columns ``protocol``, ``domain``, ``hypothesis``, ``group``, ``task``, ``test``, ``statistic``, ``p_value``,
        ``n``.

    Raises:
        StatisticsError: as `published_gains`.
    """
    rows = [
        {"protocol": "published", "domain": domain, **asdict(result)}
        for domain, cells in published_gains(table).groupby("domain", sort=False)
        for result in (*published_h1(cells), *_correlations(cells))
    ]
    return pd.DataFrame(rows, columns=["protocol", "domain", *TestResult.__slots__])


def _correlations(cells: pd.DataFrame) -> Iterator[TestResult]:
    for name, column in PREDICTORS.items():
        known = cells[cells[column].notna()]
        for group, some in groups_of(known):
            for task in known["task"].unique():
                on_task = some[some["task"] == task]
                yield rank_correlation(on_task["gain"], on_task[column], name, group=group, task=task)


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


def h1_gain_positive(gains: ArrayLike, *, group: str = "all", task: str = AVERAGE) -> TestResult:
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


def h1_methods_differ(gains: Mapping[str, ArrayLike], *, group: str = "all", task: str = AVERAGE) -> TestResult:
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
    gains: ArrayLike, values: ArrayLike, hypothesis: str, *, group: str = "all", task: str = AVERAGE
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
    require_columns(gains, ("task", "family", "gain"))
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

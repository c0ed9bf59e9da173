"""The published study, "On the Generalization vs Fidelity Paradox in Knowledge Distillation", and its protocol.

Ramesh, Sengupta, Chakraborty, Findings of ACL 2025, arXiv 2505.15442: its result tables, and H1 to H5 as its authors
computed them, on any tidy table of results. Parts: `published_gains`, `published_tests`, `published_claims`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from importlib.resources import as_file, files

import pandas as pd

from kdscope.core.errors import StatisticsError
from kdscope.results.hypotheses import RELATIONS, hypothesis
from kdscope.statistics.published_gains import published_gains
from kdscope.statistics.published_tests import (
    TestResult,
    groups_of,
    h1_gain_positive,
    h1_methods_differ,
    published_h1,
    rank_correlation,
)
from kdscope.statistics.tables import read_results_table

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
    with as_file(files("kdscope.statistics") / "data" / f"{study}.csv") as path:
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

"""The rigorous protocol on tables of results: the same questions as the published one, in tests that hold their level.

No maximum over temperatures; students are the units, so that cells with one control do not count as independent; one
primary question, whose p-values are adjusted together; everything else is labelled exploratory.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd

from kdscope.statistics.cells import domains_of
from kdscope.statistics.results import RigorousResult, results_frame
from kdscope.statistics.rigorous_claims import ablations, largest_gain
from kdscope.statistics.rigorous_gains import (
    count_students,
    gains_of_grid,
    methods_differ,
    methods_equivalent,
    pooled_gains,
    student_gains,
    student_gains_by_family,
)
from kdscope.statistics.rigorous_relations import relations
from kdscope.statistics.table_runs import KnownNoise

OPTIONS: Mapping[str, int] = MappingProxyType(
    {
        **{"AQuA": 5, "boolq": 2, "piqa": 2, "winogrande": 2, "social_i_qa": 3},
        **{"hellaswag": 4, "ARC-Easy": 4, "ARC-Challenge": 4, "openbookqa": 4},
    }
)
"""Options of the multiple-choice tasks: what guessing gives. Tasks that are not here have free answers."""


def rigorous_protocol(
    table: pd.DataFrame,
    *,
    temperature: float = 1.0,
    margin: float = 1.0,
    options: Mapping[str, int] = OPTIONS,
    known: KnownNoise | None = None,
) -> pd.DataFrame:
    """Every question of the published protocol, asked so that the answer can be relied on.

    - ``H1-student`` (confirmatory, Holm over all students and domains): gain of each student over SFT on the average,
      training runs random, as in `record_protocol.rigorous_records` (`table_runs.TableRuns.gain`); by family as detail.
      With one run of each setting it has an interval and no test.
    - ``H1``: mean gain, students as units (`estimates.mean_over_units`); by family and task as detail. As
      sensitivity the mean over temperatures, and ``H1-grid``: students and tasks both random (`grid.grid_effect`),
      and both resampled (`grid.bootstrap_mean`).
      ``effect_size`` (detail): Hedges' g and Cliff's delta (`effect_rows`).
    - ``H1-anova``: families permuted within students (`blocks.blocked_permutation`). ``equivalence``: each two
      families within the margin (`equivalence.tost_of_units`).
    - ``H2`` to ``H5`` (Benjamini and Yekutieli): `rigorous_relations.relations`.
    - ``temperature``, ``unadapted_teacher``, ``largest_gain``: `rigorous_claims`.

    Inference is for the teachers and tasks of the table (``H1-grid``: for tasks like them too). Tests are two-sided.

    Args:
        table: a tidy table of one study in percent, as `read_results_table` or `load_published` gives it.
        temperature: chosen before looking; 1 is plain distillation.
        margin: families closer than this, in percentage points, count as equal.
        options: of multiple-choice tasks, for warnings below chance and for agreement beyond chance.
        known: of noise, from elsewhere.

    Returns:
        Columns are the attributes of `results.RigorousResult`.

    Raises:
        StatisticsError: as `cells.domains_of`; the margin is not positive.
    """
    domains = domains_of(table, temperature)
    family = sum(count_students(domain) for domain in domains)
    rows: list[RigorousResult] = []
    for domain in domains:
        rows += [
            *student_gains(domain, family, options, known),
            *student_gains_by_family(domain, known),
            *pooled_gains(domain, options),
            *gains_of_grid(domain),
            *methods_differ(domain),
            *methods_equivalent(domain, margin),
            *relations(domain, options),
            *ablations(domain),
            *largest_gain(domain),
        ]
    return results_frame(rows)

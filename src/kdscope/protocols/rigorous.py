"""The rigorous protocol on tables of results: the same questions as the published one, in tests that hold their level.

No maximum over temperatures; students are the units, so that cells with one control do not count as independent; one
primary question, whose p-values are adjusted together; everything else is labelled exploratory.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd

from kdscope.core.errors import StatisticsError
from kdscope.protocols.item_matrix import item_matrix
from kdscope.protocols.likeness import teacher_pairs
from kdscope.protocols.record_cells import cells, changed_settings
from kdscope.protocols.record_choices import best_temperatures
from kdscope.protocols.record_fidelity import fidelity
from kdscope.protocols.record_gains import mean_gain, method_contrasts, resampled_gains
from kdscope.protocols.record_gains import student_gains as gains_of_records
from kdscope.protocols.record_relations import relations as relations_of_records
from kdscope.protocols.record_study import RecordStudy
from kdscope.protocols.record_teachers import teacher_relations
from kdscope.protocols.record_variance import variance_components
from kdscope.protocols.results import RigorousResult, results_frame
from kdscope.protocols.rigorous_claims import ablations, largest_gain
from kdscope.protocols.rigorous_gains import (
    count_students,
    gains_of_grid,
    methods_differ,
    methods_equivalent,
    pooled_gains,
    student_gains,
    student_gains_by_family,
)
from kdscope.protocols.rigorous_relations import relations
from kdscope.protocols.table_runs import KnownNoise, domains_of
from kdscope.results.column_names import SFT

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
      training runs random, as in `rigorous.rigorous_records` (`table_runs.TableRuns.gain`); by family as detail.
      With one run of each setting it has an interval and no test.
    - ``H1``: mean gain, students as units (`estimates.mean_over_units`); by family and task as detail. As
      sensitivity the mean over temperatures, and ``H1-grid``: students and tasks both random (`crossed.grid_effect`),
      and both resampled (`crossed.bootstrap_mean`).
      ``effect_size`` (detail): Hedges' g and Cliff's delta (`effect_rows`).
    - ``H1-anova``: families permuted within students (`crossed.blocked_permutation`). ``equivalence``: each two
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
        StatisticsError: as `table_runs.domains_of`; the margin is not positive.
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


_UNKNOWN: Mapping[str, tuple[float, float]] = MappingProxyType({})


def rigorous_records(
    records: pd.DataFrame,
    *,
    temperature: float = 1.0,
    margin: float = 1.0,
    options: Mapping[str, int] = OPTIONS,
    pairs: pd.DataFrame | None = None,
    fidelity_margin: float = 1.0,
    run_sd: Mapping[str, tuple[float, float]] = _UNKNOWN,
    draws: int = 9999,
    seed: int = 0,
) -> pd.DataFrame:
    """The rigorous protocol on one row for each model, task and item.

    Differences of trained models have items (or clusters of copies) and training runs random wherever a setting was
    trained with two seeds or more (`run_contrasts`, scope ``runs``). With one seed they have items alone and are about
    these checkpoints, of no method (scope ``checkpoints``). Where the run variance of one side cannot be estimated a
    row has no p-value, and a note says why.

    - ``H1-student`` (confirmatory, Holm): gain of each student's distilled runs over its SFT runs, mean over tasks.
      With one seed, as sensitivity, the same by `resampling.paired_bca` and random signs of items.
    - ``H1-grid``: mean gain, students and tasks random (`crossed.grid_effect`), as sensitivity both resampled
      (`crossed.bootstrap_mean`). ``method``: each two methods on these students and tasks, with ``equivalence`` within
      the margin; as sensitivity with students and tasks random.
    - ``cell``: every setting against its student's SFT, by Holm's method; with one seed by max-T over all
      (`multiplicity.max_t`).
    - ``fidelity``, ``shared_right``, ``shared_wrong``, ``inherited_errors``, ``fidelity_method``,
      ``fidelity_noninferiority``: likeness to the teacher beyond the control's (`record_fidelity.fidelity`).
    - ``variance`` (detail): what the numbers vary with (`record_variance.variance_components`).
    - ``effect_size`` (detail): Hedges' g, Cliff's delta, matched odds ratios (`effect_rows`).
    - ``temperature``: each other temperature against the one chosen beforehand, and ``ablation``: each ablation against
      the same student, teacher, method and temperature without it; Holm over both.
    - ``best_temperature``: gain of choosing the best temperature, judged on other items and runs (`record_choices`).
    - ``H3``, ``H3.2``: gain on size, and on the SFT accuracy of the other half of the items
      (`slopes.instrument_slope`). ``H2``, ``H4``, ``H5`` where the records tell: `record_teachers.teacher_relations`.

    Only ``cell`` and ``ablation`` know of ablations; every other question is about main settings.

    Args:
        records: as `item_matrix.item_matrix` has it, with an optional column ``domain``. Controls are of method
            ``sft``; a teacher itself is of method ``teacher``, its name in the column ``teacher``. Tasks whose values
            are no accuracies (ROUGE-L) belong in a domain of their own.
        temperature: chosen before looking; models without a temperature stand as they are.
        margin: methods closer than this, in percentage points, count as equal.
        options: of multiple-choice tasks, for warnings below chance.
        pairs: what models and their teachers answered, item by item, columns `likeness.PAIR_COLUMNS`; controls are
            paired with every teacher. None: nothing is asked of fidelity by answers.
        fidelity_margin: a method whose fidelity is lower by less than this, in percentage points, counts as not less
            faithful.
        run_sd: by domain the standard deviation of one training run in percentage points, known from elsewhere (a
            pilot), and its degrees of freedom. It stands in for accuracies where the records do not tell; likeness to
            the teacher varies by another measure and stays without.
        draws: sign vectors of max-T, and resamples of the bootstraps.
        seed: of those, and of the halves of the items.

    Returns:
        Columns are the attributes of `results.RigorousResult`; estimates in percentage points. A question that a study
        is too small for has no row, or one without a p-value.

    Raises:
        StatisticsError: as `item_matrix.item_matrix`; no distilled student at the temperature has a control.
    """
    parts = records.groupby("domain", sort=False) if "domain" in records else [("all", records)]
    known = {domain: (value / 100, df) for domain, (value, df) in run_sd.items()}
    studies = [
        RecordStudy(str(name), item_matrix(rows), temperature, options, known.get(str(name))) for name, rows in parts
    ]
    tests = sum(len(study.students) for study in studies)
    if tests == 0:
        raise StatisticsError(f"no student distilled at temperature {temperature:g} has a control (method {SFT})")
    rows: list[RigorousResult] = []
    for study in studies:
        likeness = [] if pairs is None else teacher_pairs(pairs, study.matrix)
        rows += [
            *gains_of_records(study, tests),
            *resampled_gains(study, draws, seed),
            *mean_gain(study, draws, seed),
            *method_contrasts(study, margin),
            *cells(study, draws, seed),
            *changed_settings(study),
            *best_temperatures(study, seed),
            *relations_of_records(study, seed),
            *teacher_relations(study, likeness, seed),
            *fidelity(study, likeness, fidelity_margin),
            *variance_components(study),
        ]
    return results_frame(rows)

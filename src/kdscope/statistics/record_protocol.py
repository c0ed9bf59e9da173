"""The rigorous protocol on item records: the same questions as on tables, with items as what is sampled."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd

from kdscope.core.errors import StatisticsError
from kdscope.statistics.item_matrix import item_matrix
from kdscope.statistics.likeness import teacher_pairs
from kdscope.statistics.record_cells import cells, changed_settings
from kdscope.statistics.record_choices import best_temperatures
from kdscope.statistics.record_fidelity import fidelity
from kdscope.statistics.record_gains import mean_gain, method_contrasts, resampled_gains, student_gains
from kdscope.statistics.record_relations import relations
from kdscope.statistics.record_study import RecordStudy
from kdscope.statistics.record_teachers import teacher_relations
from kdscope.statistics.record_variance import variance_components
from kdscope.statistics.results import RigorousResult, results_frame
from kdscope.statistics.rigorous import OPTIONS
from kdscope.statistics.tidy import SFT

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
      With one seed, as sensitivity, the same by `paired_bootstrap.paired_bca` and random signs of items.
    - ``H1-grid``: mean gain, students and tasks random (`grid.grid_effect`), as sensitivity both resampled
      (`grid.bootstrap_mean`). ``method``: each two methods on these students and tasks, with ``equivalence`` within the
      margin; as sensitivity with students and tasks random.
    - ``cell``: every setting against its student's SFT, by Holm's method; with one seed by max-T over all
      (`westfall_young.max_t`).
    - ``fidelity``, ``shared_right``, ``shared_wrong``, ``inherited_errors``, ``fidelity_method``,
      ``fidelity_noninferiority``: likeness to the teacher beyond the control's (`record_fidelity.fidelity`).
    - ``variance`` (detail): what the numbers vary with (`record_variance.variance_components`).
    - ``effect_size`` (detail): Hedges' g, Cliff's delta, matched odds ratios (`effect_rows`).
    - ``temperature``: each other temperature against the one chosen beforehand, and ``ablation``: each ablation against
      the same student, teacher, method and temperature without it; Holm over both.
    - ``best_temperature``: gain of choosing the best temperature, judged on other items and runs (`record_choices`).
    - ``H3``, ``H3.2``: gain on size, and on the SFT accuracy of the other half of the items
      (`coupling.instrument_slope`). ``H2``, ``H4``, ``H5`` where the records tell: `record_teachers.teacher_relations`.

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
            *student_gains(study, tests),
            *resampled_gains(study, draws, seed),
            *mean_gain(study, draws, seed),
            *method_contrasts(study, margin),
            *cells(study, draws, seed),
            *changed_settings(study),
            *best_temperatures(study, seed),
            *relations(study, seed),
            *teacher_relations(study, likeness, seed),
            *fidelity(study, likeness, fidelity_margin),
            *variance_components(study),
        ]
    return results_frame(rows)

"""The rigorous protocol: every question of the published one, in tests that hold their level, and more beside.

No maximum over temperatures; what is random is students and runs (of a table of results) or items and runs (of item
records); one primary question, whose p-values are adjusted together; everything else is labelled exploratory.

To add a question, write a function in a file of its own that takes a `sample.Sample` and yields rows (made by its
`contrast` and `row`), and put it into one or both of the lists below, in the order in which results are reported. Its
name, title, multiplicity family and sentence are one entry in `results.hypotheses`; without one it is a family of its
own, adjusted by Holm's method, and described as a gain. Nothing else needs to know of it: rows are adjusted, put into
words, written and shown with all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

import pandas as pd

from kdscope.core.errors import StatisticsError
from kdscope.protocols.fidelity_gains import fidelity
from kdscope.protocols.gains import (
    families_differ,
    families_equivalent,
    grid_of_records,
    grid_of_table,
    mean_gains,
    methods_compared,
    resampled_student_gains,
    student_gains,
    student_gains_by_family,
    variance_components,
)
from kdscope.protocols.item_matrix import item_matrix
from kdscope.protocols.record_sample import RecordSample
from kdscope.protocols.relations import (
    baseline_of_records,
    baseline_of_table,
    likeness_of_records,
    likeness_of_table,
    size_at_equal_baseline,
    students_size,
    teachers_accuracy,
)
from kdscope.protocols.results import RigorousResult, results_frame
from kdscope.protocols.sample import OPTIONS, ProtocolSettings, Sample
from kdscope.protocols.single_settings import (
    best_temperatures,
    cells,
    changed_settings,
    changed_settings_of_table,
    largest_gain,
)
from kdscope.protocols.table_runs import KnownNoise, TableSample, domains_of
from kdscope.results.column_names import SFT

_Sampled = TypeVar("_Sampled", bound=Sample)

OF_TABLES: tuple[Callable[[TableSample], Iterator[RigorousResult]], ...] = (
    student_gains,  # H1-student, the primary question
    student_gains_by_family,
    mean_gains,  # H1, effect_size
    grid_of_table,  # H1-grid
    families_differ,  # H1-anova
    families_equivalent,  # equivalence
    teachers_accuracy,  # H2
    students_size,  # H3
    size_at_equal_baseline,
    baseline_of_table,  # H3.2
    likeness_of_table,  # H4, H5
    changed_settings_of_table,  # temperature, unadapted_teacher
    largest_gain,
)
"""The questions that are asked of a table of results."""
OF_RECORDS: tuple[Callable[[RecordSample], Iterator[RigorousResult]], ...] = (
    student_gains,  # H1-student, the primary question
    resampled_student_gains,
    grid_of_records,  # H1-grid, effect_size
    methods_compared,  # method, equivalence
    cells,  # cell, effect_size
    changed_settings,  # temperature, ablation
    best_temperatures,  # best_temperature
    students_size,  # H3
    baseline_of_records,  # H3.2
    teachers_accuracy,  # H2
    likeness_of_records,  # H4, H5
    fidelity,  # fidelity, shared_right, shared_wrong, inherited_errors, fidelity_method, fidelity_noninferiority
    variance_components,  # variance
)
"""The questions that are asked of item records."""
_UNKNOWN: Mapping[str, tuple[float, float]] = MappingProxyType({})


def rigorous_protocol(
    table: pd.DataFrame,
    *,
    temperature: float = 1.0,
    margin: float = 1.0,
    options: Mapping[str, int] = OPTIONS,
    known: KnownNoise | None = None,
) -> pd.DataFrame:
    """The rigorous protocol on a table of results, students as units; `OF_TABLES` has what is asked.

    Inference is for the teachers and tasks of the table (``H1-grid``: for tasks like them too). Tests are two-sided.
    With one run of each setting the primary question has an interval and no test.

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
    settings = ProtocolSettings(temperature, margin, options=options)
    return _answers([TableSample(domain, settings, known) for domain in domains_of(table, temperature)], OF_TABLES)


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
    """The rigorous protocol on one row for each model, task and item; `OF_RECORDS` has what is asked.

    Differences of trained models have items (or clusters of copies) and training runs random wherever a setting was
    trained with two seeds or more (`run_contrasts`, scope ``runs``). With one seed they have items alone and are about
    these checkpoints, of no method (scope ``checkpoints``). Where the run variance of one side cannot be estimated a
    row has no p-value, and a note says why. Only ``cell`` and ``ablation`` know of ablations; every other question is
    about main settings.

    Args:
        records: as `item_matrix.item_matrix` has it, with an optional column ``domain``. Controls are of method
            ``sft``; a teacher itself is of method ``teacher``, its name in the column ``teacher``. Tasks whose values
            are no accuracies (ROUGE-L) belong in a domain of their own.
        temperature: chosen before looking; models without a temperature stand as they are.
        margin: methods closer than this, in percentage points, count as equal.
        options: of multiple-choice tasks, for warnings below chance.
        pairs: what models and their teachers answered, item by item, columns `item_matrix.PAIR_COLUMNS`; controls are
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
    settings = ProtocolSettings(temperature, margin, fidelity_margin, options, draws, seed)
    known = {domain: (value / 100, df) for domain, (value, df) in run_sd.items()}
    parts = records.groupby("domain", sort=False) if "domain" in records else [("all", records)]
    samples = [
        RecordSample(str(name), item_matrix(rows), settings, known.get(str(name)), pairs) for name, rows in parts
    ]
    if not any(sample.students for sample in samples):
        raise StatisticsError(f"no student distilled at temperature {temperature:g} has a control (method {SFT})")
    return _answers(samples, OF_RECORDS)


def _answers(
    samples: Sequence[_Sampled], questions: Sequence[Callable[[_Sampled], Iterator[RigorousResult]]]
) -> pd.DataFrame:
    """Every question asked of every domain, p-values adjusted."""
    tests = sum(sample.confirmatory for sample in samples)
    for sample in samples:
        sample.tests = tests
    return results_frame(row for sample in samples for ask in questions for row in ask(sample))

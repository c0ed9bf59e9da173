"""What gains on item records go with, what is shared between the two sides taken out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kdscope.protocols.item_matrix import SIZE
from kdscope.protocols.published_gains import model_size
from kdscope.protocols.record_study import RecordStudy
from kdscope.protocols.results import RigorousResult, few, noted, result_of
from kdscope.results.hypotheses import H3, H3_2
from kdscope.statistics.estimates import Estimate
from kdscope.statistics.slopes import instrument_slope, slope_over_units


def relations(study: RecordStudy, seed: int) -> Iterator[RigorousResult]:
    """``H3``: gain on size; ``H3.2``: on the SFT accuracy of the other half of the items."""
    if not study.students:
        return
    gains = [study.gain_of(student).found.value for student in study.students]
    found = slope_over_units(_sizes(study), gains)
    where = (study.name, H3, "all", study.task, "slope over students")
    told = "" if found.n == len(gains) else f"The size of {len(gains) - found.n} of {len(gains)} students is not known."
    yield result_of(found, *where, per="doubling of size", note=noted(told, few(len(gains), "students", slope=True)))
    first = study.halves(seed)
    slopes = [_half(study, half) for half in (first, ~first)]
    both = slopes[0] if slopes[0].p_value >= slopes[1].p_value else slopes[1]
    note = noted("The less significant of the two ways to halve the items.", few(both.n, "students", slope=True))
    where = (study.name, H3_2, "all", study.task, "slope on the other half's SFT accuracy")
    yield result_of(both, *where, per="point of SFT accuracy", note=note)


def _sizes(study: RecordStudy) -> NDArray[np.float64]:
    """Binary logarithm of each student's size: as the records tell it, else from its name."""
    named = {student: model_size(student) for student in study.students}
    told = study.controls.groupby("student")[SIZE].first().dropna().to_dict() if SIZE in study.controls else {}
    # Both are not mixed: names are in billions, and round.
    sizes = told if all(student in told for student in study.students) else named
    return np.log2(np.array([sizes[student] for student in study.students], dtype=np.float64))


def _half(study: RecordStudy, inside: NDArray[np.bool_]) -> Estimate:
    control = np.stack([study.control_of(student) for student in study.students])
    distilled = np.stack([study.distilled_of(student) for student in study.students])
    first, second, outcome = (
        study.matrix.by_task(np.where(where, values, np.nan)).mean(axis=-1)
        for values, where in ((control, inside), (control, ~inside), (distilled, inside))
    )
    return instrument_slope(100 * first, 100 * second, 100 * outcome)

"""Effect sizes as rows beside the tests they belong to: the same gains in units that compare across studies."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdscope.results.hypotheses import DETAIL, EFFECT
from kdscope.statistics.effects import EffectSize, cliffs_delta, hedges_g, matched_odds_ratio
from kdscope.statistics.results import RigorousResult


def effects_over_students(domain: str, task: str, distilled: ArrayLike, control: ArrayLike) -> Iterator[RigorousResult]:
    """Hedges' g of the students' gains, and Cliff's delta of distilled against fine-tuned students.

    Args:
        domain: of the table or records.
        task: that the accuracies are on.
        distilled: accuracy of each student distilled, shape [n]; NaN = not measured, left out.
        control: the same under SFT, shape [n].
    """
    both = np.column_stack([np.asarray(distilled, dtype=np.float64), np.asarray(control, dtype=np.float64)])
    both = both[~np.isnan(both).any(axis=1)]
    gains = both[:, 0] - both[:, 1]
    if len(gains) < 2:
        return
    if np.ptp(gains) > 1e-9 * np.abs(gains).max():
        yield _row(hedges_g(gains), domain, task, "all", len(gains), "students")
    yield _row(cliffs_delta(both[:, 0], both[:, 1]), domain, task, "all", len(gains), "students")


def effect_of_pair(
    domain: str, task: str, group: str, first: NDArray[np.float64], second: NDArray[np.float64]
) -> Iterator[RigorousResult]:
    """Matched odds ratio of two models on the same items, shape [N]; none unless all values are right or wrong."""
    known = ~np.isnan(first) & ~np.isnan(second)
    a, b = first[known], second[known]
    if not np.isin(a, (0, 1)).all() or not np.isin(b, (0, 1)).all() or np.array_equal(a, b):
        return
    found = matched_odds_ratio(int(np.sum(a > b)), int(np.sum(b > a)))
    yield _row(found, domain, task, group, int(known.sum()), "items")


def _row(found: EffectSize, domain: str, task: str, group: str, n: int, unit: str) -> RigorousResult:
    nan = math.nan
    return RigorousResult(
        *("rigorous", domain, EFFECT, group, task, found.name, nan, nan, n, found.value, found.low, found.high),
        unit=unit,
        role=DETAIL,
    )

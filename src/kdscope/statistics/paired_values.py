"""Two models on the same items, where an item's value is any number: means over decoding seeds, ROUGE-L."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdscope.core.errors import StatisticsError
from kdscope.statistics.item_means import checked_items, estimate_mean

_DRAWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class PairedValues:
    """The mean difference of two models on the same items, and what follows from it.

    Attributes:
        items: number of items.
        clusters: number of different questions among them.
        difference: mean of the first minus mean of the second.
        stderr: cluster-robust standard error of the difference; NaN for a single cluster.
        low: lower limit of the difference; NaN where no difference varies.
        high: upper limit of the difference; NaN where no difference varies.
        p_value: two-sided, of no difference.
        confidence: level of the interval.
        method: names of the test and of the interval.
    """

    items: int
    clusters: int
    difference: float
    stderr: float
    low: float
    high: float
    p_value: float
    confidence: float
    method: str


def compare_paired_values(
    first: ArrayLike,
    second: ArrayLike,
    clusters: Sequence[object] | None = None,
    *,
    confidence: float = 0.95,
    draws: int = 9999,
    seed: int = 0,
) -> PairedValues:
    """Compare the mean values of two models on the same items.

    Interval: Student's t on the item differences, with a cluster-robust error and clusters minus one degrees of
    freedom (`item_means.estimate_mean`). P-value: the share of random sign flips of whole clusters whose total is at
    least as far from 0 as the one seen (Fisher 1935, The Design of Experiments, section 21), over all flips where
    there are no more than ``draws + 1`` of them, else over ``draws`` drawn ones and the one seen, which keeps the
    test exact (Phipson and Smyth 2010, Stat Appl Genet Mol Biol 9:39).

    Args:
        first: values of the first model, shape [n].
        second: values of the second model, in the same order of items, shape [n].
        clusters: an id per item, equal for items that are copies of each other, length n.
        confidence: level of the interval.
        draws: sign flips drawn at most.
        seed: of the drawn flips; the same seed gives the same p-value.

    Raises:
        StatisticsError: if there are no items, shapes differ, a value is not finite, or a setting is out of range.

    Example:
        >>> result = compare_paired_values([0.9, 0.7, 0.8, 0.6], [0.5, 0.6, 0.6, 0.5])
        >>> round(result.difference, 3), result.p_value
        (0.2, 0.125)
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape:
        raise StatisticsError(f"the two models answered different numbers of items: {a.shape} and {b.shape}")
    if draws < 1:
        raise StatisticsError(f"a permutation test needs at least one draw, not {draws}")
    differences, cluster_of, g = checked_items(a - b, clusters, confidence)
    estimate = estimate_mean(differences, clusters, confidence)
    sums: NDArray[np.float64] = np.bincount(cluster_of, weights=differences).astype(np.float64)
    drawn = _is_drawn(sums, draws)
    test = f"paired sign flips ({draws + 1:,})" if drawn else "paired sign flips (all)"
    unit = "; t interval" if g == differences.size else " of clusters; cluster-robust t interval"
    return PairedValues(
        items=estimate.items,
        clusters=estimate.clusters,
        difference=estimate.mean,
        stderr=estimate.stderr,
        low=estimate.low,
        high=estimate.high,
        p_value=_sign_flip_p_value(sums, draws if drawn else None, seed),
        confidence=confidence,
        method=test + unit,
    )


def _is_drawn(sums: NDArray[np.float64], draws: int) -> bool:
    return int(np.count_nonzero(sums)) > math.log2(draws + 1)


def _sign_flip_p_value(sums: NDArray[np.float64], draws: int | None, seed: int) -> float:
    """Two-sided p-value of the total of ``sums`` [g] under sign flips; all of them where ``draws`` is None."""
    moving = sums[sums != 0]
    if moving.size == 0:
        return 1.0
    # Totals equal in exact arithmetic may differ in the last bits: they count as equally far.
    threshold = abs(float(moving.sum())) - 1e-12 * float(np.abs(moving).sum())
    flips = _all_flips(moving.size) if draws is None else _drawn_flips(moving.size, draws, seed)
    far, total = 0, 0
    for negative in flips:
        totals = moving.sum() - 2 * (negative @ moving)
        far, total = far + int(np.sum(np.abs(totals) >= threshold)), total + len(totals)
    return far / total if draws is None else (far + 1) / (total + 1)


def _all_flips(count: int) -> Iterator[NDArray[np.float64]]:
    yield np.array(list(itertools.product((0.0, 1.0), repeat=count)))


def _drawn_flips(count: int, draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    generator = np.random.default_rng(seed)
    for start in range(0, draws, _DRAWS_AT_ONCE):
        rows = min(_DRAWS_AT_ONCE, draws - start)
        bits = np.frombuffer(generator.bytes(rows * ((count + 7) // 8)), dtype=np.uint8)
        yield np.unpackbits(bits.reshape(rows, -1), axis=1, count=count).astype(np.float64)

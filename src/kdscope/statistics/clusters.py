"""Items that are copies of each other: tests and errors whose unit is the cluster, not the item."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom


def cluster_sums(
    differences: NDArray[np.int64], ids: NDArray[np.generic]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sum of ``differences`` [n] within each of the ``g`` distinct ``ids`` [n], and each cluster's size: [g], [g]."""
    _, cluster_of, sizes = np.unique(ids, return_inverse=True, return_counts=True)
    sums = np.zeros(sizes.size, dtype=np.int64)
    np.add.at(sums, cluster_of, differences)
    return sums, sizes.astype(np.int64)


def sign_flip_p_value(sums: NDArray[np.int64]) -> float:
    """Two-sided p-value of the total when the sign of every cluster's sum is a fair coin, without sampling.

    The ``m`` clusters of absolute sum ``k`` contribute ``k (2 Binomial(m, 1/2) - m)``; the distribution of the total
    is the convolution over ``k``, which is what all ``2^g`` sign flips give (Fisher 1935, The Design of Experiments,
    section 21). Clusters of one item: McNemar's exact test. Unlike drawn flips it has no seed and no sampling error.

    Example:
        >>> sign_flip_p_value(np.array([2, 1, 1]))
        0.25
    """
    magnitudes, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    distribution = np.ones(1)
    for magnitude, count in zip(magnitudes, counts, strict=True):
        steps = np.zeros(2 * magnitude * count + 1)
        steps[:: 2 * magnitude] = binom.pmf(np.arange(count + 1), count, 0.5)
        distribution = np.convolve(distribution, steps)
    reach = distribution.size // 2
    totals = np.arange(-reach, reach + 1)
    return min(1.0, float(distribution[np.abs(totals) >= abs(int(sums.sum()))].sum()))


def robust_standard_error(sums: NDArray[np.int64], sizes: NDArray[np.int64]) -> float:
    """Cluster-robust standard error of the mean difference; NaN for a single cluster.

    ``sqrt(g / (g - 1) * sum over clusters of (sum - size * mean)^2) / n``: the sandwich estimator of Liang and Zeger
    (1986, Biometrika 73:13) for an intercept alone, with the usual correction for few clusters.
    """
    g, n = sums.size, int(sizes.sum())
    if g < 2:
        return math.nan
    # In integers up to the last step, so that equal clusters give 0 and not a rounding error.
    residuals = sums * n - sizes * int(sums.sum())
    return math.sqrt(g / (g - 1) * float(np.sum(residuals.astype(np.float64) ** 2))) / n**2

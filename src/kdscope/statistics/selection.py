"""The best of several settings: chosen on some items, judged on others, so that the choice itself is not counted."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdscope.core.errors import StatisticsError
from kdscope.statistics.estimates import Estimate, cluster_numbers, t_estimate
from kdscope.statistics.means import estimate_mean


@dataclass(frozen=True, slots=True)
class SelectedGain:
    """What the best setting gains over the control, and what its maximum pretends.

    Attributes:
        gain: of the setting chosen, judged on items that had no part in the choice; a fraction.
        maximum: largest gain of any setting on all items: too large by what noise adds.
        chosen: number of the setting.
        choosing: items it was chosen on.
    """

    gain: Estimate
    maximum: float
    chosen: int
    choosing: int


def select_then_test(
    distilled: ArrayLike,
    control: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    validation: ArrayLike | None = None,
    share: float = 1 / 3,
    seed: int = 0,
    confidence: float = 0.95,
) -> SelectedGain:
    """Gain of the best setting (temperature): chosen on validation items, tested on the others.

    The setting with the highest mean on the validation items is taken; the control is given the same choice among its
    own settings, if it has several. The gain is that on the other items, with a cluster-robust t interval: the items
    are independent of the choice, so that test and interval are those of any two models (Cox 1975, Biometrika 62:441).
    Choosing anew in each fold of a cross-validation would use all items for both, but its folds are correlated where
    settings tie: simulated with nine equal settings, it rejects at three times its level.

    Args:
        distilled: value of each setting on each item, shape [k, n].
        control: the same for the control, shape [n] or [j, n].
        clusters: an id per item, equal for copies of one item, length n; a cluster is not divided.
        validation: which items to choose on, boolean, shape [n]; drawn at random unless told.
        share: of the items that are drawn for the choice.
        seed: of the draw.
        confidence: level of the interval.

    Raises:
        StatisticsError: Shapes do not fit, a value is not finite, or one of the two sides would have no items.

    Example:
        >>> values = np.array([[1, 1, 0, 1, 1, 0, 1, 1], [0, 0, 0, 1, 0, 0, 0, 0]])
        >>> select_then_test(values, values[1]).chosen
        0
    """
    kd, sft = np.atleast_2d(np.asarray(distilled, np.float64)), np.atleast_2d(np.asarray(control, np.float64))
    if kd.ndim != 2 or kd.shape[1] != sft.shape[1] or not (np.isfinite(kd).all() and np.isfinite(sft).all()):
        raise StatisticsError(f"settings and control need finite values of the same items: {kd.shape}, {sft.shape}")
    ids = cluster_numbers(clusters, kd.shape[1])
    chosen_on = chosen_items(ids, share, seed) if validation is None else np.asarray(validation, dtype=np.bool_)
    if chosen_on.shape != ids.shape or chosen_on.all() or not chosen_on.any():
        raise StatisticsError("a choice needs items of its own, and others to be judged on")
    best, best_control = (int(np.argmax(side[:, chosen_on].mean(axis=1))) for side in (kd, sft))
    judged = ~chosen_on
    found = estimate_mean(kd[best, judged] - sft[best_control, judged], ids[judged].tolist(), confidence)
    gain = t_estimate(found.mean, found.stderr, found.clusters - 1, found.clusters, confidence)
    return SelectedGain(gain, float(kd.mean(axis=1).max() - sft.mean(axis=1).max()), best, int(chosen_on.sum()))


def chosen_items(ids: NDArray[np.intp], share: float, seed: int) -> NDArray[np.bool_]:
    """Which items belong to a random ``share`` of the clusters, shape [n].

    Args:
        ids: number of each item's cluster, from 0, shape [n].
        share: inside (0, 1).
        seed: of the draw.

    Raises:
        StatisticsError: The share is out of range.
    """
    if not 0 < share < 1:
        raise StatisticsError(f"the share of items to choose on lies between 0 and 1, not {share}")
    count = int(ids.max()) + 1 if ids.size else 0
    order = np.random.default_rng(seed).permutation(count)
    return np.asarray(order < round(share * count))[ids]

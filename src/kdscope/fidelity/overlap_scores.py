"""BLEU and chrF from their sufficient statistics, for many sums of them at once."""

from __future__ import annotations

import numpy as np

from kdscope.fidelity.measures import Values, ratio

BLEU_ORDER = 4
CHRF_ORDER = 6
_BETA_SQUARED = 4.0


def bleu_score(statistics: Values, *, effective_order: bool = False) -> Values:
    """BLEU from 0 to 100 (Papineni 2002), smoothed as in NIST's mteval (Chen and Cherry 2014, W14-3346, method 3).

    ``100 * min(1, exp(1 - r / c)) * (prod over n of p_n)^(1/4)`` with ``p_n`` the share of the student's n-grams that
    the teacher has; the k-th order that shares none counts as ``2^-k`` n-grams. As sacrebleu's, whose defaults these
    are.

    Args:
        statistics: the number of items (not used), c and r (the lengths of the student's and the teacher's text), the
            shared n-grams of orders 1 to 4, the student's n-grams of orders 1 to 4, shape [..., 11].
        effective_order: leave out orders of which the student has no n-gram, as for single sentences.

    Returns:
        Scores of shape [...]; 0 where nothing is shared, NaN without items.
    """
    items, length, reference = statistics[..., 0], statistics[..., 1], statistics[..., 2]
    shared, total = statistics[..., 3 : 3 + BLEU_ORDER], statistics[..., 3 + BLEU_ORDER :]
    there = total > 0
    none = (shared == 0) & there
    counted = np.where(none, 0.5 ** none.cumsum(axis=-1), shared)
    logs = np.log(counted / np.where(there, total, 1.0), out=np.zeros_like(total), where=there)
    orders = there.sum(axis=-1)
    geometric = np.exp(logs.sum(axis=-1) / np.maximum(orders, 1))
    penalty = np.exp(np.minimum(0.0, 1 - ratio(reference, length)))
    complete = (orders > 0) if effective_order else (orders == BLEU_ORDER)
    score = np.where(complete & (shared[..., 0] > 0), 100 * penalty * geometric, 0.0)
    return np.where(items > 0, score, np.nan)


def chrf_score(statistics: Values) -> Values:
    """ChrF2 from 0 to 100 (Popovic 2015, W15-3049): F with beta = 2 of precision and recall, each a mean over orders.

    As sacrebleu's, an order counts only where both texts have n-grams of it.

    Args:
        statistics: the number of items (not used), then for each order the n-grams of the student, of the teacher, and
            the shared ones, shape [..., 19].

    Returns:
        Scores of shape [...]; 0 where nothing is shared, NaN without items.
    """
    student, teacher, shared = (statistics[..., 1 + part :: 3] for part in range(3))
    both = (student > 0) & (teacher > 0)
    orders = both.sum(axis=-1)
    precision, recall = (
        ratio(np.where(both, ratio(shared, side), 0.0).sum(axis=-1), orders) for side in (student, teacher)
    )
    score = 100 * (1 + _BETA_SQUARED) * ratio(precision * recall, _BETA_SQUARED * precision + recall)
    return np.where(statistics[..., 0] > 0, np.nan_to_num(score), np.nan)
